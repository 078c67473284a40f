"""What the search dialog offers while something is typed."""

import json

import pytest
from in_browser import page_alone

INDEX = {
    "docnames": ["notebooks/04", "book/glossary", "book/api/weighting"],
    "alltitles": {
        "": [[0, "thm-one"]],
        "Baselines": [[0, None]],
        "Leave one out": [[0, "leave-one-out"]],
        "Glossary": [[1, None]],
        "A gradient (again)": [[0, "again"]],
    },
    "indexentries": {
        "kl divergence": [[1, "term-KL-divergence", True]],
        "leave_one_out() (in module ostrl.weighting)": [[2, "ostrl.weighting.leave_one_out", False]],
        "gradient (row attribute)": [[2, "ostrl.exact.Row.gradient", False]],
        "gradients (in module ostrl.lm)": [[2, "ostrl.lm.GRADIENTS", False]],
    },
}
PAGE = """<!doctype html><html data-content_root="./"><dialog id="pst-search-dialog"><form action="search.html">
<input type="search" name="q"></form></dialog><script src="suggest.js"></script></html>"""


@pytest.fixture
def page(browser, tmp_path):
    (tmp_path / "searchindex.js").write_text(f"Search.setIndex({json.dumps(INDEX)})", encoding="utf8")
    page = browser.new_page()
    page.goto(page_alone(tmp_path, PAGE, "suggest.js"))
    page.evaluate("document.querySelector('dialog').showModal()")
    yield page
    page.close()


def offered(page, typed, status):
    page.locator("input").fill(typed)
    page.wait_for_function(
        "said => document.querySelector('[role=status]').textContent.startsWith(said)", arg=f"{status} suggestion"
    )
    return page.locator("ul a").all_inner_texts()


def test_what_begins_with_the_letters_comes_first_and_says_where_it_is(page):
    assert offered(page, "leav", 2) == ["Leave one out Baselines", "leave_one_out ostrl.weighting"]
    links = page.locator("ul a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert links == ["./notebooks/04.html#leave-one-out", "./book/api/weighting.html#ostrl.weighting.leave_one_out"]
    assert offered(page, "one out", 1) == ["Leave one out Baselines"]


def test_a_term_has_its_capitals_and_attributes_and_data_are_left_out(page):
    assert offered(page, "KL", 1) == ["KL divergence glossary"]
    assert offered(page, "gradient (", 1) == ["A gradient (again) Baselines"]  # a bracket is a bracket
    assert offered(page, "nothing like it", "No") == []
    assert page.locator("ul").is_hidden()


def test_arrows_go_through_them_and_back_and_the_way_closes_the_dialog(page):
    offered(page, "leav", 2)
    page.locator("input").focus()
    stops = []
    for key in ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"]:
        page.keyboard.press(key)
        stops.append(page.evaluate("[...document.querySelectorAll('input, ul a')].indexOf(document.activeElement)"))
    assert stops == [1, 2, 2, 1, 0]
    page.evaluate("document.querySelector('ul').addEventListener('click', event => event.preventDefault())")
    page.locator("ul a").first.click()
    assert not page.evaluate("document.querySelector('dialog').open")


def test_without_the_index_nothing_is_offered_and_nothing_breaks(page, tmp_path):
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    (tmp_path / "searchindex.js").unlink()
    assert offered(page, "leave", "No") == []
    assert errors == []
