"""The contents of a page say where the reader is, after jumps too."""

import pytest
from in_browser import page_alone

PAGE = """<!doctype html><nav id="pst-page-toc-nav"><ul>
<li class="toc-entry"><a href="#one">1</a><ul><li class="toc-entry"><a href="#part">1.1</a></li></ul></li>
<li class="toc-entry"><a href="#two">2</a></li></ul></nav>
<style>body { margin: 0 } nav { position: fixed } h1 { height: 500px } section { height: 1000px }</style>
<h1>Title</h1><section id="one"></section><section id="part"></section>
<section id="two"></section><script src="contents.js"></script>"""


@pytest.fixture
def page(browser, tmp_path):
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(page_alone(tmp_path, PAGE, "contents.js"))
    yield page
    page.close()


def active(page):
    page.wait_for_timeout(800)  # longer than a jump is animated
    return page.evaluate("[...document.querySelectorAll('a.active')].map(a => a.textContent + (a.ariaCurrent ?? ''))")


def test_a_jump_is_followed_and_above_the_first_section_there_is_none(page):
    assert active(page) == []
    page.keyboard.press("End")
    assert active(page) == ["2true"]
    page.evaluate("document.getElementById('part').scrollIntoView()")
    assert active(page) == ["1.1true"]
    assert page.locator("li.active").count() == 2  # its entry, and the one it lies in
    page.keyboard.press("Home")
    assert active(page) == []


def test_what_the_theme_shows_stays_where_its_heading_is_near_the_top(page):
    page.evaluate("document.querySelector('section').style.height = '20px'")  # two headings in view
    page.evaluate("document.querySelector('a').classList.add('active')")
    page.evaluate("document.getElementById('one').scrollIntoView()")
    assert active(page) == ["1"]
