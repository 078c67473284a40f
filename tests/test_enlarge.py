"""A figure is enlarged on a phone, by its button and by a tap, and a wide window has neither."""

import sys
from pathlib import Path

import pytest
from in_browser import page_alone

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_figures  # noqa: E402

FIGURE = """<figure id="fig-a"><img width="1200" height="900" alt="A line." src="a.svg">
<figcaption>
<p><span class="caption-number">Figure 3.1 </span><span class="caption-text">It rises.</span></p>
</figcaption></figure>"""
PAGE = f"""<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<style>figure img {{ max-width: 100%; height: auto; }}</style>
<main class="bd-article">{ostrl_figures.enlargeable(FIGURE)}</main>
<link rel="stylesheet" href="figures.css"><script src="back.js"></script><script src="figures.js"></script></html>"""


@pytest.fixture
def page(browser, tmp_path, request):
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3"/>', encoding="utf8")
    context = browser.new_context(viewport={"width": getattr(request, "param", 390), "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(page_alone(tmp_path, PAGE, "figures.css", "figures.js", "back.js"))
    yield page
    context.close()


def test_only_a_figure_with_a_number_has_a_button_and_its_text_stays_what_it_is():
    assert ostrl_figures.enlargeable(FIGURE).count('aria-label="Enlarge Figure 3.1"></button>') == 1
    plain = "<figcaption>\n<p>Without a number.</p></figcaption>"
    assert ostrl_figures.enlargeable(plain) == plain


@pytest.mark.parametrize("key", ["Enter", "Escape"])
def test_the_keyboard_opens_it_closes_it_and_is_where_it_was(page, key):
    button = page.get_by_role("button", name="Enlarge Figure 3.1")
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="Figure 3.1")
    image = dialog.get_by_role("img", name="A line.")
    assert image.bounding_box()["width"] == 2 * 390
    page.keyboard.press(key)  # Enter: the first stop is the button that closes
    dialog.wait_for(state="hidden")
    assert button.evaluate("e => e === document.activeElement")


def test_a_tap_opens_it_and_all_of_it_can_be_reached(page):
    page.locator("figure img").tap()
    room = page.get_by_role("region", name="Figure 3.1, enlarged")
    reach = room.evaluate("e => { e.scrollTo(9999, 9999); return [e.scrollLeft + e.clientWidth, e.scrollWidth]; }")
    assert reach == [780, 780]
    box = page.get_by_role("button", name="Close").bounding_box()
    assert min(box["width"], box["height"]) >= 44
    page.get_by_role("button", name="Close").tap()
    page.get_by_role("dialog").wait_for(state="hidden")


@pytest.mark.parametrize("page", [1200], indirect=True)
def test_a_wide_window_shows_the_figure_as_it_was_drawn(page):
    assert page.get_by_role("button", name="Enlarge").count() == 0
    page.locator("figure img").click()
    assert page.get_by_role("dialog").count() == 0


@pytest.mark.parametrize("leave", ["back", "close"])
def test_back_closes_it_and_leaves_the_reader_where_they_were(page, leave):
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<p id=end style=\"height: 3000px\">')"
    )
    page.evaluate("location.hash = 'end'")
    page.locator("figure img").scroll_into_view_if_needed()
    place, steps = page.evaluate("[scrollY, history.length]")
    page.locator("figure img").tap()
    page.get_by_role("dialog").wait_for()
    if leave == "back":
        page.go_back()
    else:
        page.get_by_role("button", name="Close").tap()
    page.get_by_role("dialog").wait_for(state="hidden")
    page.wait_for_function("!history.state?.over")
    page.wait_for_timeout(100)
    assert page.evaluate("[scrollY, location.hash]") == [place, "#end"]
    page.go_back()  # the next step leads on, not to the dialog again
    assert page.evaluate("location.hash") == ""
    assert page.evaluate("history.length") <= steps + 1
