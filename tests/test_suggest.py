"""What the book knows by name: read off its pages, offered while something is typed, shown with what is found."""

import json
import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from in_browser import page_alone

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_names  # noqa: E402
import ostrl_passages  # noqa: E402
from ostrl_names import Name, letters  # noqa: E402

# ----------------------------------------------------------------------------------------------- read off the pages

CHAPTER = """<h1>menus</h1><article class="bd-article" role="main">
<h1><span class="section-number">2. </span>The policy gradient<a class="headerlink" href="#top" title="Link">#</a></h1>
<h2><span class="section-number">2.1. </span>The <b>theorem</b>: \\(\\nabla J\\)<a class="headerlink" href="#thm">#</a>
</h2><div class="proof theorem admonition" id="thm-a">
<p class="admonition-title"><span class="caption-number">Theorem 2.2 </span><a class="headerlink" href="#a">#</a></p>
<section class="theorem-content" id="c"><p><strong>It is so.</strong> And <strong>more</strong></p>
<div class="math"><span class="eqno"><a href="#equation-eq-a" title="Link">(2.5)</a></span>\\[x\\]</div></section></div>
<figure class="align-default" id="fig-a"><img alt="A line."><figcaption>
<p><span class="caption-number">Figure 2.1 </span><span class="caption-text">It rises &amp; falls.</span>
<a class="headerlink" href="#fig-a">#</a></p></figcaption></figure>
<div class="exercise admonition" id="ex-1">
<p class="admonition-title"><span class="caption-number">Exercise 2.1 </span></p></div>
<dl class="py method">
<dt class="sig sig-object py" id="ostrl.batch.Batch.to">to</dt></dl>
<dl class="py attribute">
<dt class="sig sig-object py" id="ostrl.batch.Batch.size">size</dt></dl>
<dt id="term-KL">KL divergence<a class="headerlink" href="#term-KL">#</a></dt>
</article>"""


def test_names_are_what_a_page_says_with_their_numbers():
    assert list(ostrl_names.on_page("a.html", CHAPTER)) == [
        Name(1, "2 The policy gradient", "", "a.html"),
        Name(1, "2.1 The theorem: ∇J", "The policy gradient", "a.html#thm"),
        Name(3, "Theorem 2.2: It is so", "The theorem: ∇J", "a.html#thm-a", "thm"),
        Name(3, "Equation (2.5)", "The theorem: ∇J", "a.html#equation-eq-a"),
        Name(3, "Figure 2.1", "It rises & falls.", "a.html#fig-a"),
        Name(3, "Exercise 2.1", "The theorem: ∇J", "a.html#ex-1"),
        Name(2, "to", "ostrl.batch.Batch", "a.html#ostrl.batch.Batch.to"),
        Name(0, "KL divergence", "glossary", "a.html#term-KL"),
    ]


NOTATION = r"""<section id="the-problem"><table class="ledger notation"><thead><tr><th>Symbol</th></tr></thead><tbody>
<tr><td><p><span class="math">\(\pi_\theta(a \mid o)\)</span></p></td><td><p>the <em>policy</em></p></td></tr>
<tr><td><p><span class="math">\(\bar R\)</span>, <span class="math">\(\hat g\)</span></p></td><td>means</td></tr>
</tbody></table></section>"""


def test_a_symbol_is_found_by_its_letters_and_by_what_they_are_called():
    page = "n.html#the-problem"
    assert list(ostrl_names.symbols("n.html", NOTATION)) == [
        Name(4, "π_θ(a | o)", "the policy", page, "pi theta"),
        Name(4, "R\u0304", "means", page),
        Name(4, "ĝ", "means", page),
    ]


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\mathbb E[R \mid o]", "E[R | o]"),
        (r"\lVert s \rVert^2", "‖s ‖^2"),
        (r"\text{pass@}k", "pass@k"),
        (r"\tfrac{1}{N} \cdot \frac12", "1/N ·1/2"),
        ("a", "a"),
    ],
)
def test_formulas_are_read_in_letters(tex, text):
    assert letters(tex) == text


@pytest.mark.parametrize(
    ("name", "short"), [("leave-one-out", "loo"), ("leave_one_out", "loo"), ("log-derivative trick", "ldt"), ("to", "")]
)
def test_a_name_of_three_words_is_found_by_its_initials(name, short):
    assert ostrl_names.initials(name) == short


def test_what_a_name_stands_for_is_cut_at_the_end_of_a_word():
    assert ostrl_names.words("word " * 20) == "word " * 14 + "…"


def test_passages_are_what_a_section_says_itself_with_its_formulas_in_letters():
    page = publish_doctree(PAGE, settings_overrides={"doctitle_xform": False})
    assert ostrl_passages.sections("a.html", page) == [
        ostrl_passages.Section("Top", "a.html#top", ["Of π, here."]),
        ostrl_passages.Section("Below", "a.html#below", ["In a box.", "In a list."]),
    ]
    assert [ostrl_passages.rank(page) for page in ("notebooks/01", "book/glossary", "book/api/batch")] == [0, 1, 2]


PAGE = r"""
Top
===

Of :math:`\pi`,
here.

Below
-----

.. note:: In a box.

* In a list.

::

   code

Silent
------
"""


# ------------------------------------------------------------------------------------------------- offered and shown

NAMES = [
    [1, "4 Baselines", "", "notebooks/04.html", ""],
    [1, "4.5 Leave one out", "Baselines", "notebooks/04.html#leave-one-out", ""],
    [1, "4.7 A loop", "Baselines", "notebooks/04.html#loop", ""],
    [1, "4.6 A gradient (again)", "Baselines", "notebooks/04.html#again", ""],
    [0, "KL divergence", "glossary", "book/glossary.html#term-KL-divergence", ""],
    [2, "leave_one_out", "ostrl.weighting", "book/api/weighting.html#ostrl.weighting.leave_one_out", "loo"],
    [3, "Equation (2.5)", "The theorem", "notebooks/02.html#equation-eq-a", ""],
    [3, "Equation (12.5)", "Later", "notebooks/12.html#equation-eq-b", ""],
    [3, "Theorem 2.2", "The theorem", "notebooks/02.html#thm-a", "thm"],
    [4, "∇J", "the gradient", "book/notation.html#a", "nabla"],
    [4, "ρ", "a ratio", "book/notation.html#b", "rho"],
    [4, "R", "the return", "book/notation.html#a", ""],
]
PASSAGES = [
    ["Baselines", 0, [
        ["Leave one out", "notebooks/04.html#leave", ["The others say nothing about it.", "It reduces the variance."]],
        ["Notes", "notebooks/04.html#notes", ["Called the score-function method.", "A score, a function: σ^2."]]]],
    ["Glossary", 1, [["score", "book/glossary.html#score", ["A score function, " + "and so on, " * 30]]]],
    ["Look", 0, [["Look", "notebooks/05.html#look", ["Look, a loop. The function has a score. Scores, a function."]]]],
]  # fmt: skip
DIALOG = """<!doctype html><html data-content_root="./"><meta charset="utf-8"><dialog id="pst-search-dialog">
<form><input type="search" name="q"></form></dialog>
<script src="slips.js"></script><script src="suggest.js"></script></html>"""
RESULTS = """<!doctype html><html data-content_root="./"><meta charset="utf-8"><div id="search-results"></div>
<script src="slips.js"></script><script src="suggest.js"></script></html>"""


@pytest.fixture
def page(browser, tmp_path, request):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static/names.js").write_text(f"ostrlNames({json.dumps(NAMES)})", encoding="utf8")
    (tmp_path / "_static/passages.js").write_text(f"ostrlPassages({json.dumps(PASSAGES)})", encoding="utf8")
    page = browser.new_page()
    address = page_alone(tmp_path, getattr(request, "param", DIALOG), "suggest.js", "slips.js")
    page.goto(f"{address}?q=THEOREM+2.2")
    if page.locator("dialog").count():
        page.evaluate("document.querySelector('dialog').showModal()")
    yield page
    page.close()


def offered(page, typed, status):
    page.locator("input").fill(typed)
    said = "said => document.querySelector('[role=status]').textContent.startsWith(said)"
    page.wait_for_function(said, arg=status)
    return page.locator("ul").first.locator("a").all_inner_texts()


def test_what_begins_with_the_letters_comes_first_and_says_where_it_is(page):
    assert offered(page, "leav", "2 sugg") == ["4.5 Leave one out Baselines", "leave_one_out ostrl.weighting"]
    links = page.locator("ul a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert links == ["./notebooks/04.html#leave-one-out", "./book/api/weighting.html#ostrl.weighting.leave_one_out"]
    assert offered(page, "one out", "2 sugg")[0] == "4.5 Leave one out Baselines"
    assert offered(page, "gradient (", "1 sugg") == ["4.6 A gradient (again) Baselines"]  # a bracket is a bracket


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("2.5", ["Equation (2.5) The theorem"]),
        ("eq 2.5", ["Equation (2.5) The theorem"]),
        ("Theorem 2.2", ["Theorem 2.2 The theorem"]),
        ("thm 2.2", ["Theorem 2.2 The theorem"]),
        ("∇", ["∇J the gradient"]),
        ("nabla", ["∇J the gradient"]),
        ("r", ["R the return"]),
        ("kl", ["KL divergence glossary"]),
        ("loo", ["leave_one_out ostrl.weighting", "4.7 A loop Baselines"]),
    ],
)
def test_numbers_and_symbols_are_names_too(page, typed, found):
    assert offered(page, typed, f"{len(found)} sugg") == found


def test_a_slip_is_mended_and_that_is_said(page):
    assert offered(page, "baxelines", "1 suggestion for “baselines”.") == ["4 Baselines"]
    assert offered(page, "kl divergance", "1 suggestion for “kl divergence”.") == ["KL divergence glossary"]


def test_it_says_what_can_be_typed_and_that_nothing_was_found(page):
    assert page.locator(".said").is_visible()
    assert "a symbol" in page.locator(".said").inner_text()
    assert offered(page, "nothing like it", "No suggestions. Return searches") == []
    assert page.locator("ul").first.is_hidden()
    assert offered(page, "", "A word, a symbol") == []


def test_arrows_go_through_them_and_back(page):
    offered(page, "leav", "2 sugg")
    page.locator("input").focus()
    stops = []
    for key in ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"]:
        page.keyboard.press(key)
        stops.append(page.evaluate("[...document.querySelectorAll('input, ul a')].indexOf(document.activeElement)"))
    assert stops == [1, 2, 2, 1, 0]


def test_without_the_names_nothing_is_offered_and_nothing_breaks(page, tmp_path):
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    (tmp_path / "_static/names.js").unlink()
    (tmp_path / "_static/passages.js").unlink()
    assert offered(page, "leave", "No sugg") == []
    assert errors == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("score function", ["Notes Baselines", "score Glossary", "Look"]),  # these very words first, hyphen or not
        ("function score", ["Notes Baselines", "Look", "score Glossary"]),
        ("sigma", ["Notes Baselines"]),  # signs by their names
        ("σ", ["Notes Baselines"]),
        ("loo", []),  # a short word is a whole one
    ],
)
def test_sections_whose_text_says_it_stand_below(page, typed, found):
    page.evaluate("document.querySelector('[role=status]').textContent = 'waits'")
    page.locator("input").fill(typed)
    page.wait_for_function("!document.querySelector('[role=status]').textContent.startsWith('waits')")
    sections = page.locator("ul").nth(1)
    heads = "all => all.map(a => [...a.childNodes].slice(0, 3).map(n => n.textContent).join('').trim())"
    assert sections.locator("a").evaluate_all(heads) == found
    assert sections.is_visible() is bool(found)


def test_a_passage_is_cut_around_the_words_and_marks_them(page):
    offered(page, "score function", "No suggestions, 3 sections in the text.")
    passages = page.locator("ul small")
    assert passages.nth(0).inner_text() == "Called the score-function method."
    assert passages.nth(1).inner_text().startswith("A score function, and so on,")
    assert passages.nth(1).inner_text().endswith(" …")
    assert len(passages.nth(1).inner_text()) < 140
    assert page.locator("mark").all_inner_texts()[:3] == ["score", "function", "score function"]
    page.locator("input").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "./notebooks/04.html#notes"


@pytest.mark.parametrize("page", [RESULTS], indirect=True)
def test_the_page_of_the_search_shows_them_above_what_it_finds(page):
    page.locator("ul a").wait_for()
    assert page.locator("ul + #search-results").count() == 1
    assert page.locator("ul a").all_inner_texts() == ["Theorem 2.2 The theorem"]
