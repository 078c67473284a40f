"""The map of the chapters: arrows where one leads to another, boxes that do not cover each other."""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "book/_ext"))

import ostrl_front as front
from docutils.core import publish_doctree

TABLE = """
.. list-table::
   :header-rows: 1

   * - Chapter
     - What happens
     - Needs
     - Runs in
   * - `Tour <tour.html>`_
     - all at once
     - –
     - 5 s
   * - **1** · `One <one.html>`_
     - words
     - –
     - 20 s
   * - **2** · `Two & more <two.html>`_
     - words
     - 1
     - 20 s
   * - **3** · `Three <three.html>`_
     - words
     - 1–2
     - 60 s
   * - **4** · `Four <four.html>`_
     - words
     - 2
     - 20 s
   * - **5** · `Five <five.html>`_
     - words
     - 3, 4
     - 20 s
"""


def chapters():
    (table,) = publish_doctree(TABLE).findall(front.nodes.table)
    return front.read(table)


def test_the_table_is_read():
    found = chapters()
    assert [c.number for c in found] == [1, 2, 3, 4, 5]  # the tour has no number
    assert found[1].title == "Two & more"
    assert found[2].href == "three.html"
    assert found[2].needs == {1, 2}
    assert found[2].time == "60 s"


def test_an_arrow_has_no_chapter_between_its_ends():
    assert front.arrows(chapters()) == {1: [], 2: [1], 3: [2], 4: [2], 5: [3, 4]}


def test_boxes_lie_below_what_they_need_and_beside_each_other():
    before = front.arrows(chapters())
    boxes, columns = front.places(before)
    assert columns == 2
    for number, box in boxes.items():
        assert all(boxes[b].row < box.row for b in before[number])
    for x, y in itertools.combinations(boxes.values(), 2):
        assert x.row != y.row or x.last <= y.first or y.last <= x.first


def test_the_map_links_every_chapter_and_says_what_it_needs():
    drawn = front.draw(chapters())
    assert drawn.count("<path") == 5
    assert '<a class="reference internal" href="two.html">' in drawn
    assert "Two &amp; more" in drawn
    assert "needs chapters 3, 4" in drawn
