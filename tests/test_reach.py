"""A page stays as wide as its window, whatever the size of its text."""

import pytest
from in_browser import page_alone

PAGE = """<!doctype html><style>span.pre { white-space: nowrap }</style><main class="bd-article">
<h1><code class="literal"><span class="pre">ostrl.diagnostics</span></code></h1>
<p>A call of <code class="literal"><span class="pre">policies.CategoricalPolicy.log_probs</span></code>, with
<code class="literal"><span class="pre">an</span> <span class="pre">argument</span></code>.</p></main>
<script>const DOCUMENTATION_OPTIONS = {};</script>
<link rel="stylesheet" href="book.css"><script src="book.js"></script>"""


@pytest.fixture
def page(browser, tmp_path):
    page = browser.new_page(viewport={"width": 390, "height": 700})
    page.goto(page_alone(tmp_path, PAGE, "book.css", "book.js"), wait_until="load")
    yield page
    page.close()


def width(page):
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_name_that_no_line_can_hold_is_broken_and_whole_again_where_there_is_room(page):
    page.evaluate("document.documentElement.style.fontSize = '300%'")
    assert width(page) > 390
    page.set_viewport_size({"width": 380, "height": 700})
    page.wait_for_function("document.querySelector('.wide')")
    assert page.locator(".wide").all_inner_texts() == ["policies.CategoricalPolicy.log_probs"]
    assert width(page) == 380
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size({"width": 390, "height": 700})
    page.wait_for_function("!document.querySelector('.wide')")
    assert width(page) == 390
