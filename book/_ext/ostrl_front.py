"""The front page: a live figure without a notebook, and the map of the chapters, drawn from their own table.

``:::{live-figure} ThreeAnswers`` puts a figure of :mod:`ostrl.live` on a page, just as a cell's output would. The
table of class ``chapters`` says what each chapter needs and how long it runs; the map above it shows the same, with
an arrow where one chapter leads to another and no third lies between.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

CLEARANCE = 0.22  # of a row: how much of it lies free between two boxes


class LiveFigure(SphinxDirective):
    """A live figure in its first state; the builders treat it as the output of a notebook's cell."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from ostrl import live  # brings torch along

        figure = getattr(live, self.arguments[0], None)
        if figure is None:
            raise self.error(f"ostrl.live has no figure {self.arguments[0]!r}")
        bundle = nodes.container(nb_element="mime_bundle", classes=["cell_output"])
        output, _ = figure()._repr_mimebundle_()
        version = nodes.container(mime_type="text/html")
        version += nodes.raw("", output["text/html"], format="html", classes=["output", "text_html"])
        bundle += version
        return [bundle]


@dataclass
class Chapter:
    """A row of the table: ``needs`` are the numbers that it names."""

    number: int
    title: str
    href: str
    needs: frozenset[int]
    time: str


def numbers(text: str) -> frozenset[int]:
    """2–4, 6 -> 2, 3, 4, 6."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:–(\d+))?", text):
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def read(table: nodes.table) -> list[Chapter]:
    """The numbered chapters of the table: the page as *number · title*, what happens, needs, time."""
    chapters = []
    for row in table.findall(nodes.row):
        page, *_, needs, time = [cell.astext().strip() for cell in row.children]
        link = next(row.findall(nodes.reference), None)
        number = re.match(r"(\d+) · ", page)
        if number and link is not None:
            chapters.append(Chapter(int(number[1]), page[number.end() :], link["refuri"], numbers(needs), time))
    return chapters


def arrows(chapters: list[Chapter]) -> dict[int, list[int]]:
    """For each chapter those that lead to it directly: not those needed anyway by another that it needs."""
    needs = {chapter.number: set(chapter.needs) for chapter in chapters}
    for number in sorted(needs):
        for needed in list(needs[number]):
            needs[number] |= needs[needed]
    return {n: sorted(m for m in needs[n] if not any(m in needs[k] for k in needs[n])) for n in needs}


@dataclass
class Box:
    """Where a chapter stands: its row, and the columns from ``first`` up to but not including ``last``."""

    row: int
    first: int
    last: int

    @property
    def middle(self) -> float:
        return (self.first + self.last) / 2


def places(before: dict[int, list[int]]) -> tuple[dict[int, Box], int]:
    """A box for each chapter, and the number of columns: one below another, beside each other where ways part."""
    rows: dict[int, int] = {}
    for number in sorted(before):
        rows[number] = max((rows[b] + 1 for b in before[number]), default=0)
    columns = max(list(rows.values()).count(row) for row in set(rows.values()))
    boxes: dict[int, Box] = {}
    for number, row in rows.items():
        beside = [n for n in rows if rows[n] == row]
        above = [boxes[b] for b in before[number]]
        if len(beside) == columns:
            boxes[number] = Box(row, beside.index(number), beside.index(number) + 1)
        elif above:
            boxes[number] = Box(row, min(b.first for b in above), max(b.last for b in above))
        else:
            boxes[number] = Box(row, 0, columns)
    return boxes, columns


def draw(chapters: list[Chapter]) -> str:
    """The map as HTML: links in a grid, and arrows behind them that stretch with it."""
    before = arrows(chapters)
    boxes, columns = places(before)
    height = 1 + max(box.row for box in boxes.values())
    lines, items = [], []
    for chapter in chapters:
        box = boxes[chapter.number]
        for b in before[chapter.number]:
            down, half = boxes[b].row + 1 - CLEARANCE, box.row - CLEARANCE / 2
            lines.append(f'<path d="M{boxes[b].middle:g} {down:g} V{half:g} H{box.middle:g} V{box.row}"/>')
        needs = ", ".join(map(str, sorted(chapter.needs)))
        place = f"grid-row:{box.row + 1};grid-column:{box.first + 1}/{box.last + 1}"
        items.append(
            f'<li style="{place}"><a class="reference internal" href="{html.escape(chapter.href)}">'
            f'<span class="map-title"><b>{chapter.number}</b> {html.escape(chapter.title)}</span> '
            f'<span class="map-time">runs in {html.escape(chapter.time)}</span>'
            + (f'<span class="visually-hidden">, needs chapters {needs}</span>' if needs else "")
            + "</a></li>"
        )
    return (
        f'<nav class="chapter-map" aria-label="Map of the chapters" style="--rows:{height};--columns:{columns}">'
        f'<svg viewBox="0 0 {columns} {height}" preserveAspectRatio="none" aria-hidden="true">{"".join(lines)}</svg>'
        f"<ol>{''.join(items)}</ol></nav>"
    )


class DrawMap(SphinxPostTransform):
    default_priority = 900  # the links of the table are resolved
    formats: ClassVar[tuple[str, ...]] = ("html",)

    def run(self, **kwargs: Any) -> None:
        for table in list(self.document.findall(nodes.table)):
            if "chapters" in table["classes"]:
                drawn = nodes.raw("", draw(read(table)), format="html")
                table.parent.insert(table.parent.index(table), drawn)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("live-figure", LiveFigure)
    app.add_post_transform(DrawMap)
    app.add_css_file("front.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
