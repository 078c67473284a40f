"""The number of an equation leads to it, and the TeX of formulas can be copied: by a button, and with a selection."""

import sys
from pathlib import Path

import pytest
from in_browser import page_alone

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_equations  # noqa: E402

LINK = '<a class="headerlink" href="#equation-eq-a" title="Link to this equation">#</a>'
NUMBER = f'<span class="eqno">(1.1){LINK}</span>'


def test_the_number_is_the_link():
    link = '<span class="eqno"><a href="#equation-eq-a" title="Link to this equation">(1.1)</a></span>'
    assert ostrl_equations.linked(NUMBER) == link


ALIGNED = "\\begin{aligned}\nx &amp;= 1, \\\\\ny &amp;&lt; 2\n\\end{aligned}"
PAGE = f"""<!doctype html><main class="bd-article"><div class="math" id="one">{ostrl_equations.linked(NUMBER)}
<mjx-container display="true" data-tex="J = \\sum_o P(o)">J</mjx-container></div>
<div class="math" id="two"><span class="eqno"><a href="#two">(1.2)</a></span><mjx-container display="true"
data-tex="\\begin{{split}}
{ALIGNED}
\\end{{split}}">x</mjx-container></div>
<div class="math" id="three"><mjx-container display="true" data-tex="x">x</mjx-container></div></main>
<link rel="stylesheet" href="equations.css"><script src="equations.js"></script>"""


@pytest.fixture
def page(browser, tmp_path, request):
    context = browser.new_context(**getattr(request, "param", {}))
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(page_alone(tmp_path, PAGE, "equations.css", "equations.js"))
    yield page
    context.close()


def opacity(button):
    return button.evaluate("e => getComputedStyle(e).opacity")


@pytest.mark.parametrize(
    ("number", "tex"), [(1, "J = \\sum_o P(o)"), (2, ALIGNED.replace("&amp;", "&").replace("&lt;", "<"))]
)
def test_the_keyboard_copies_what_the_author_wrote_and_stays(page, number, tex):
    button = page.get_by_role("button", name=f"Copy TeX of equation (1.{number})")
    for _ in range(2 * number):  # the number, then the button
        page.keyboard.press("Tab")
    assert button.evaluate("e => e === document.activeElement")
    assert opacity(button) == "1"
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[role=status]').textContent")
    assert page.get_by_role("status").inner_text() == f"Copied: TeX of equation (1.{number})"
    assert button.inner_text() == "Copied"
    assert button.evaluate("e => e === document.activeElement")
    assert page.evaluate("navigator.clipboard.readText()") == tex


def test_a_copy_that_fails_does_not_say_that_it_worked(page):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    page.locator(".copy-tex").first.press("Enter")
    page.wait_for_function("document.querySelector('[role=status]').textContent")
    assert page.get_by_role("status").inner_text().startswith("Not copied")


def test_it_is_there_under_the_pointer_for_each_displayed_formula(page):
    assert page.locator(".copy-tex").count() == 3
    assert page.get_by_role("button", name="Copy TeX of this formula").count() == 1
    button = page.locator("#one .copy-tex")
    assert opacity(button) == "0"
    page.locator("#one").hover()
    assert opacity(button) == "1"


@pytest.mark.parametrize("page", [{"has_touch": True}], indirect=True)
def test_a_tap_on_an_equation_shows_it_and_a_tap_elsewhere_hides_it(page):
    # what a tap does to the pointer, :hover, differs from browser to browser: the class is what holds
    page.locator("#two").tap()
    assert page.locator(".tapped").evaluate_all("all => all.map(e => e.id)") == ["two"]
    page.locator("#one").tap()
    assert page.locator(".tapped").evaluate_all("all => all.map(e => e.id)") == ["one"]
    page.locator("#three").tap()
    assert page.locator("#one.tapped").count() == 0


SET = """<!doctype html><main><p id="a">Let <span class="math"><mjx-container data-tex="\\pi_\\theta"><i>glyphs</i>
</mjx-container></span> be <b>bold</b>.</p><div class="math"><mjx-container display="true" data-tex="\\begin{split}
\\begin{aligned}x\\end{aligned}
\\end{split}"><i id="z">more</i></mjx-container><mjx-container display="true" data-tex="\\begin{split}
\\begin{aligned}x\\end{aligned}
\\end{split}">in lines</mjx-container></div><p>No formula.</p></main><script src="equations.js"></script>"""
TAKEN = """e => {
  const copied = kind => e.clipboardData.getData(kind);
  window.taken = e.defaultPrevented && [copied('text/plain'), copied('text/html')];
}"""


@pytest.fixture
def copied(browser, tmp_path):
    page = browser.new_page()
    page.goto(page_alone(tmp_path, SET, "equations.js"))
    page.evaluate(f"document.addEventListener('copy', {TAKEN})")

    def copy(first, last):
        page.evaluate(
            """([first, last]) => {
              const [from, to] = [first, last].map(one => document.querySelector(one).firstChild);
              getSelection().setBaseAndExtent(from, 0, to, 2);
              document.execCommand('copy');
            }""",
            [first, last],
        )
        return page.evaluate("window.taken")

    yield copy
    page.close()


def test_a_selection_is_copied_with_the_tex_of_its_formulas(copied):
    text, html = copied("#a", "#z")
    assert text.split("\n") == ["Let $\\pi_\\theta$ be bold.", "", "$$\\begin{aligned}x\\end{aligned}$$"]
    assert "<b>bold</b>" in html and "glyphs" not in html and "more" not in html


def test_a_part_of_a_formula_is_copied_as_all_of_it(copied):
    assert copied("#z", "#z")[0] == "$$\\begin{aligned}x\\end{aligned}$$"


def test_a_selection_without_formulas_is_left_to_the_browser(copied):
    assert copied("b", "b") is False
