"""Formulas are set while the book is built; later ones, for cards and passages, by math.js."""

import re
import sys
from pathlib import Path

import pytest
from in_browser import page_alone

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import formulas  # noqa: E402
import ostrl_math  # noqa: E402

PAGE = r"""<head><title>\(t\)</title><meta content="\(m\)"></head><p>Let <span class="math">\(a &lt; b\)</span>, and
<code>\(c\)</code>.</p><div class="math"><span class="eqno">(1)</span>\[
x \\[2pt] y
\]</div><script>"\(s\)"</script><pre>\[p\]</pre><td>\(d\) and \(e\)</td>"""


def test_formulas_are_found_in_the_text_and_nowhere_else():
    assert ostrl_math.found(PAGE) == [("a < b", False), (r"x \\[2pt] y", True), ("d", False), ("e", False)]
    changed = ostrl_math.each(PAGE, lambda formula: f"<{formula[0]}>")
    assert "<td><d> and <e></td>" in changed and r"<code>\(c\)</code>" in changed and r'content="\(m\)"' in changed


LONG = r"J(\theta) = \sum_o P(o) \sum_a \pi_\theta(a \mid o)\, r(a, o) = \mathbb{E}[R] = x + y + z + u + v + w"
OPTIONS = {
    "output": {"displayOverflow": "linebreak", "linebreaks": {"inline": True}, "matchFontHeight": False, "scale": 1.06},
    "widths": ostrl_math.WIDTHS,
    "broken": ostrl_math.BROKEN,
}


@pytest.fixture(scope="module")
def ready():
    inline, long, short, rules = formulas.convert([("a < b", False), (LONG, True), ("x", True)], "html", OPTIONS)
    return {"inline": inline, "long": long, "short": short, "rules": rules}


def test_only_what_a_narrow_column_cannot_hold_has_versions(ready):
    assert [width for width, _ in ready["inline"]] == [0]
    assert [width for width, _ in ready["short"]] == [0]
    whole, *broken = ready["long"]
    assert [width for width, _ in broken] == [26, 17, 0] and whole[0] > 26
    assert "mjx-linebox" not in whole[1] and all("mjx-linebox" in text for _, text in broken)


def test_what_stands_left_of_relation_signs_is_not_broken():
    tex = rf"\begin{{aligned}} V(b) &= {LONG.replace('=', '+')} \\\\ &= {LONG.replace('=', '+')} \end{{aligned}}"
    whole, *broken = formulas.convert([(tex, True)], "html", OPTIONS)[0]
    assert len(broken) == 3 and all("mjx-linebox" in text for _, text in broken)
    left = [re.search(r'<mjx-mtd style="text-align: right.*?</mjx-mtd>', text)[0] for _, text in [whole, *broken]]
    assert all("𝑉" in text and "mjx-linebox" not in text for text in left)


def test_a_formula_carries_its_tex_and_not_what_mathjax_notes_for_itself(ready):
    text = ostrl_math.versions("a < b", ready["inline"])
    assert text.startswith('<mjx-container jax="CHTML" data-tex="a &lt; b"><mjx-math')
    assert "data-latex" not in text and "<math>" in text and "style=" not in text[:60]
    with pytest.raises(ValueError, match="in another way now"):
        ostrl_math.light("<svg></svg>", "x", "")


def test_a_single_letter_looks_the_same_in_one_element_as_in_two(browser, tmp_path, ready, monkeypatch):
    tex = LONG + r" \tfrac{1}{B} \hat{g}_{\text{best}}^{2} \not= \log \left( \frac{a'}{b} \right) \textstyle\sum_i x_i"
    *texts, rules = formulas.convert([(tex, True), (tex, False)], "html", OPTIONS)
    page = browser.new_page()

    def shown():
        set_ = "<p>".join(ostrl_math.versions(tex, text) for text in texts)
        style = ostrl_math.sheet(rules, "font-size: 106%; position: relative;").replace(ostrl_math.FACES, "no")
        page.goto(page_alone(tmp_path, f'<!doctype html><style>{style}</style><div class="math">{set_}</div>'))
        return set_.count("<mjx-"), page.screenshot()

    few, picture = shown()
    monkeypatch.setattr(ostrl_math, "SINGLE", re.compile("(?!)" + 5 * "()"))
    many, other = shown()
    assert few < 0.85 * many
    assert picture == other
    page.close()


def test_what_tex_does_not_know_stops_the_build():
    with pytest.raises(ValueError, match=r"Undefined control sequence \\nosuch"):
        formulas.convert([(r"\nosuch", False)], "html", OPTIONS)


@pytest.mark.parametrize("width", [12, 13, 17, 20, 26, 30, 60])
def test_of_the_versions_the_one_that_fits_is_shown(browser, tmp_path, ready, width):
    rules = ostrl_math.sheet(ready["rules"], "font-size: 106%; position: relative;").replace(ostrl_math.FACES, "no")
    text = ostrl_math.versions(LONG, ready["long"])
    style = f"{rules} div.math {{ width: {width}em; overflow: hidden }}"
    page = browser.new_page()
    page.goto(page_alone(tmp_path, f'<!doctype html><style>{style}</style><div class="math">{text}</div>'))
    shown = page.locator("mjx-container:visible")
    assert shown.count() == 1
    wide, room = page.locator("div.math").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= room + 1
    expected = max(start for start, _ in ready["long"] if start <= width)
    assert (shown.get_attribute("class") or "").startswith(f"from-{expected}" if expected else "to-")
    page.close()


LATER = """<!doctype html><main><div class="math"><mjx-container display="true" data-tex="x + y">whole</mjx-container>
<mjx-container display="true" class="to-9" data-tex="x + y">lines</mjx-container></div></main>
<div id="card"><div class="math">\\[ x + y \\]</div><span class="math">\\(z\\)</span></div>
<script>window.MathJax = { startup: {} }</script><script src="math.js"></script>"""


def test_a_formula_that_the_page_has_is_copied_in_all_its_versions(browser, tmp_path):
    page = browser.new_page()
    page.goto(page_alone(tmp_path, LATER, "math.js"))
    page.evaluate("setFormulas(document.querySelectorAll('#card div.math'))")
    assert page.locator("#card mjx-container").all_inner_texts() == ["whole", "lines"]
    page.close()


def test_without_mathjax_a_formula_that_the_page_has_not_stays_as_tex(browser, tmp_path):
    page = browser.new_page()
    page.goto(page_alone(tmp_path, LATER, "math.js"))
    said = page.evaluate("setFormulas(document.querySelectorAll('#card span')).catch(error => error.message)")
    assert re.search(r"startup\.js cannot be had", said)
    assert page.locator("#card span").inner_text() == r"\(z\)"
    page.close()
