"""A report that is begun on a page says where the reader is, and quotes what they have marked."""

from urllib.parse import parse_qs, urlsplit

import pytest
from in_browser import page_alone

PAGE = """<!doctype html><link rel="canonical" href="https://ada.example/b/one.html">
<style>#top { margin-bottom: 700px } section { height: 700px }</style>
<a id="report" href="https://github.com/ada/ostrl/issues/new?title=T&amp;body=Why%3A" onclick="event.preventDefault()">
Suggest</a><article class="bd-article"><p id="top">First.</p><section id="one"><h2>One</h2>
<p id="a">A wrong word.</p></section><section id="two"><h2>Two</h2><p id="b">Right.</p></section></article>
<script src="report.js"></script>"""


@pytest.fixture
def page(browser, tmp_path):
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(page_alone(tmp_path, PAGE, "report.js"))
    yield page
    page.close()


def body(page):
    page.evaluate("document.getElementById('report').click()")
    query = parse_qs(urlsplit(page.locator("#report").get_attribute("href")).query)
    assert query["title"] == ["T"]
    return query["body"][0]


def test_it_names_the_page_and_the_section_in_view(page):
    assert body(page) == "https://ada.example/b/one.html\n\nWhy:"
    page.evaluate("document.getElementById('b').scrollIntoView()")
    assert body(page) == "https://ada.example/b/one.html#two\n\nWhy:"


def test_it_quotes_what_is_marked_wherever_one_has_scrolled_since(page):
    page.locator("#a").click(click_count=3)
    page.evaluate("scrollTo(0, 0)")
    wanted = "https://ada.example/b/one.html#one\n\n> A wrong word.\n\nWhy:"
    assert body(page) == wanted
    page.evaluate("getSelection().removeAllRanges()")  # opening a menu may take the mark away
    assert body(page) == wanted
    page.locator("#top").click()  # the reader took it back
    page.evaluate("scrollTo(0, 0)")
    assert body(page) == "https://ada.example/b/one.html\n\nWhy:"
