"""Back closes what lies over a page and stays there; what is chosen in it is left for from the page below."""

import json

import pytest
from in_browser import page_alone

CARDS = {"#far": "<p>What is far.</p>", "#near": "<p>What is near.</p>"}
PAGE = f"""<!doctype html><html lang="en"><title>one</title><meta name="viewport" content="width=device-width">
<style>a {{ display: inline-block; margin: 30px }} main {{ position: relative }} p {{ height: 1500px }}</style>
<main><p>Above.</p><a class="internal" href="#far">far</a><a class="internal" href="#near">near</a>
<a id="next" href="two.html">next</a><button onclick="document.querySelector('dialog').showModal()">contents</button>
<p id="near">Near.</p><p id="far">Far.</p></main>
<dialog id="drawer"><a href="#far">here</a><a href="two.html">there</a><form action="two.html"><input name="q"></form>
<button onclick="this.closest('dialog').close()">close</button></dialog>
<script type="application/json" id="previews">{json.dumps(CARDS)}</script>
<script src="back.js"></script><script src="previews.js"></script></html>"""


@pytest.fixture
def page(browser, tmp_path):
    """The page at its links, one step into a tab's history, on a telephone."""
    (tmp_path / "two.html").write_text("<!doctype html><title>two</title>", encoding="utf8")
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("about:blank")
    page.goto(page_alone(tmp_path, PAGE, "back.js", "previews.js"))
    page.get_by_role("link", name="far").scroll_into_view_if_needed()
    yield page
    context.close()


def tap(page, role, name):
    page.get_by_role(role, name=name, exact=True).tap()


def where(page):
    """The page, the fragment, how far down, and what lies over it; when all is at rest."""
    page.wait_for_timeout(150)
    return page.evaluate(
        "[document.title, location.hash, Math.round(scrollY),"
        " [...document.querySelectorAll('dialog[open], #preview:not([hidden])')].map(e => e.id).join()]"
    )


def is_at_top(page, name):
    return abs(page.locator(f"#{name}").evaluate("element => element.getBoundingClientRect().top")) < 2


@pytest.mark.parametrize("after", ["nothing", "a dialog"])
def test_a_link_within_the_page_goes_there_and_back(page, after):
    before = where(page)
    if after == "a dialog":
        tap(page, "button", "contents")
        tap(page, "button", "close")
    for name in ("near", "far"):  # the second from a page whose address names a place
        page.evaluate("name => Object.assign(document.createElement('a'), { href: '#' + name }).click()", name)
        assert where(page)[1] == f"#{name}"
        assert is_at_top(page, name)
    page.go_back()
    assert where(page)[1] == "#near"
    assert is_at_top(page, "near")
    page.go_back()
    assert where(page) == before


@pytest.mark.parametrize(("role", "name", "what"), [("link", "far", "preview"), ("button", "contents", "drawer")])
def test_back_closes_it_and_stays(page, role, name, what):
    before = where(page)
    for _ in range(2):  # a second time as well
        tap(page, role, name)
        assert where(page) == [*before[:3], what]
        page.go_back()
        assert where(page) == before
    page.go_forward()  # leads to nothing
    assert where(page) == before
    page.go_back()
    assert page.url == "about:blank"


@pytest.mark.parametrize("fragment", ["", "#near"])
def test_closed_by_other_means_it_leaves_no_step_behind(page, fragment):
    if fragment:  # to which a step back would scroll
        page.evaluate("location.hash = 'near'")
        page.get_by_role("link", name="far").scroll_into_view_if_needed()
    before = where(page)
    assert before[1] == fragment
    tap(page, "button", "contents")
    tap(page, "button", "close")
    assert where(page) == before
    tap(page, "link", "far")
    tap(page, "link", "near")  # one card after the other
    assert where(page) == [*before[:3], "preview"]
    page.touchscreen.tap(300, 700)
    assert where(page) == before
    page.go_back()
    assert page.url == ("about:blank" if not fragment else page.url.split("#")[0])


def test_a_link_that_is_followed_leads_back_to_its_place_in_one_step(page):
    before = where(page)
    tap(page, "link", "far")
    tap(page, "link", "far")
    assert where(page)[1] == "#far"
    assert is_at_top(page, "far")
    page.go_back()
    assert where(page) == before
    page.go_back()
    assert page.url == "about:blank"


@pytest.mark.parametrize("choice", ["here", "there", "form", "next"])
def test_what_is_chosen_over_the_page_leads_back_to_the_page(page, choice):
    before = where(page)
    if choice == "next":  # below an open card
        tap(page, "link", "far")
        page.locator("#next").tap()
    else:
        tap(page, "button", "contents")
        if choice == "form":
            page.locator("input").fill("word")
            page.locator("input").press("Enter")
        else:
            tap(page, "link", choice)
    page.wait_for_function("document.title === 'two' || location.hash === '#far'")
    assert where(page)[3] == ""
    assert choice != "here" or is_at_top(page, "far")
    assert ("q=word" in page.url) is (choice == "form")
    page.go_back()
    assert where(page) == before
    page.go_back()
    assert page.url == "about:blank"


def test_loaded_anew_with_something_open_a_page_has_no_empty_step(page):
    tap(page, "button", "contents")
    page.wait_for_function("history.state?.over")
    page.reload()
    assert where(page)[3] == ""
    page.go_back()
    assert page.url == "about:blank"
