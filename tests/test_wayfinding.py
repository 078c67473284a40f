"""Finding one's way in the book: glossary links, previews, lines from equations to code, and references told apart."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.core import publish_doctree
from pybtex.database import parse_file
from sphinx.addnodes import glossary, pending_xref
from sphinx.util.docutils import new_document

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import check_ways  # noqa: E402
import claims  # noqa: E402
import ostrl_code_links  # noqa: E402
import ostrl_previews  # noqa: E402
import ostrl_terms  # noqa: E402

# ----------------------------------------------------------------------------------------------------- glossary terms

NAMES = {
    "baseline": "baseline",
    "entropy": "entropy",
    "entropy bonus": "entropy bonus",
    "label": "label",
    "leave-one-out": "leave-one-out",
    "policy": "policy",
    "policy gradient": "policy gradient",
    "return": "return",
    "RLOO": "leave-one-out",
}


def links(text: str) -> list[tuple[str, str]]:
    """The words that become links on a page, each with its term."""
    page = publish_doctree(text, settings_overrides={"report_level": 5, "doctitle_xform": False})
    ostrl_terms.link_terms(page, NAMES)
    return [(link.astext(), link["reftarget"]) for link in page.findall(pending_xref)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One baseline, and the baseline again.", [("baseline", "baseline")]),
        ("Policies have a policy. Baselines differ.", [("Policies", "policy"), ("Baselines", "baseline")]),
        ("An entropy bonus is a policy gradient.", [("entropy bonus", "entropy bonus"), ("policy gradient",) * 2]),
        ("A leave-one-out weight, or RLOO.", [("leave-one-out", "leave-one-out")]),
        ("The *baseline* is this. That baseline is known.", []),
        ("Say ``baseline``, or `baseline`_ or :math:`baseline`.\n\n.. _baseline: https://example.org", []),
        ("It returns a number. Who labels? Baselined, baseline-free, sub-policy.", []),
        ("What is the return of those labels?", [("return", "return"), ("labels", "label")]),
        ("Baseline\n========\n\nNo word of it.", []),
        (".. note:: A baseline.\n\n.. figure:: x.png\n\n   A baseline.", []),
        ("========  =\nbaseline  x\n========  =", []),
        ("- in a list, a baseline", [("baseline", "baseline")]),
        ("T\n=\n\n**You need** a baseline.\n\nS\n-\n\n**Now** a policy.", [("policy", "policy")]),
    ],
)
def test_the_first_use_of_a_term_in_prose_is_linked(text: str, found: list[tuple[str, str]]) -> None:
    assert links(text) == found


def test_every_exception_is_a_term_of_the_glossary() -> None:
    page = (ROOT / "book/glossary.md").read_text(encoding="utf8")
    terms = re.findall(r"^[^\s:].*$", page.split(":::{glossary}")[1], re.M)
    assert set(ostrl_terms.ONLY) <= set(terms)
    entries = re.findall(r"\n\n([^\s:].*)\n", "\n" + page.split(":::{glossary}")[1])
    assert entries == sorted(entries, key=str.lower)
    assert len(entries) > 60


def test_the_glossary_begins_with_its_letters() -> None:
    page = new_document("glossary")
    words = glossary()
    for entry in (["advantage"], ["answer"], ["GRPO", "RLOO"], ["ω"], ["return"]):
        terms = [nodes.term("", term, ids=[f"term-{term}"]) for term in entry]
        words += nodes.definition_list_item("", *terms, nodes.definition())
    page += words
    page.settings.env = SimpleNamespace(docname="book/glossary")
    ostrl_terms.Letters(page).run()
    links = re.findall('<a href="#term-(.*?)">(.)</a>', page[0].astext())
    assert links == [("advantage", "A"), ("GRPO", "G"), ("ω", "Ω"), ("return", "R")]


# ----------------------------------------------------------------------------------------------------------- previews

CHAPTER = """<main><section><h2><span class="section-number">2.1. </span>Why<a class="headerlink">#</a></h2>
<div class="math" id="equation-eq-one"><span class="eqno">(2.1)<a class="headerlink">#</a></span>\\[x<1\\]</div>
<p class="in-code">In code: <a href="../book/api/x.html#ostrl.x">x</a></p>
<div class="proof theorem" id="thm-one"><p>So <a class="internal" href="#equation-eq-one">(2.1)</a>.</p></div>
<figure id="fig-one"><img alt="A line" src="../_images/a.png"></figure><p id="plain">No.</p>
<div class="highlight"><a href="../book/api/x.html#ostrl.f"><span class="n">f</span></a></div>
<p><a class="internal" href="#plain">plain</a> <a class="internal" href="#thm-one">2.1</a></p></section></main>"""
OTHER = """<main><a class="internal" href="../notebooks/02.html#equation-eq-one">(2.1)</a>
<a class="internal" href="../notebooks/02.html#fig-one">2.1</a> <a class="internal" href="words.html#term-b">b</a>
<a class="internal" href="bibliography.html#id7">2020</a>
<a class="internal" href="words.html#term-gone">gone</a></main>"""
WORDS = """<main><dl><dt id="term-b">b<a class="headerlink">#</a></dt>
<dd><p>A <a href="x">number</a>.</p></dd></dl></main>"""
SOURCES = '<main><div class="citation" id="id7"><span>[7]</span><p>A. Title. 2020.</p></div></main>'


@pytest.fixture
def pages() -> dict[str, BeautifulSoup]:
    texts = {
        "notebooks/02.html": CHAPTER,
        "book/other.html": OTHER,
        "front.html": '<main><a class="internal" href="notebooks/02.html#fig-one">2.1</a></main>',
        "book/words.html": WORDS,
        "book/bibliography.html": SOURCES,
    }
    return {name: BeautifulSoup(text, "html.parser") for name, text in texts.items()}


def test_a_page_carries_the_previews_that_its_links_need(pages: dict[str, BeautifulSoup]) -> None:
    found = ostrl_previews.previews(pages)
    assert set(found) == {"notebooks/02.html", "book/other.html", "front.html"}
    assert 'src="_images/a.png"' in found["front.html"]["notebooks/02.html#fig-one"]
    assert set(found["notebooks/02.html"]) == {"#equation-eq-one", "#thm-one"}
    other = found["book/other.html"]
    equation = other["../notebooks/02.html#equation-eq-one"]
    assert equation.startswith('<p class="preview-where">Equation (2.1) · Why</p>')
    assert "x&lt;1" in equation
    assert 'src="../_images/a.png"' in other["../notebooks/02.html#fig-one"]
    assert other["words.html#term-b"] == '<p class="preview-name">b</p><p>A number.</p>'
    assert other["bibliography.html#id7"] == "<p>A. Title. 2020.</p>"
    assert "words.html#term-gone" not in other


def test_a_function_is_shown_as_it_is_called_with_what_it_is_for() -> None:
    entry = """<dl><dt class="sig sig-object py" id="ostrl.f"><em class="property">class </em>
    <span class="descname">f</span><span class="sig-paren">(</span><span class="sig-params">
    <em class="sig-param"><span class="n">a</span>: <span class="n"><a href="x">int</a></span></em>,
    <em class="sig-param"><span class="o">*</span></em>,
    <em class="sig-param"><span class="n">b</span>: str = <span class="default_value">'&lt;'</span></em></span>
    <span class="sig-paren">)</span><a href="x"><span class="viewcode-link">[source]</span></a></dt>
    <dd><p>For <a href="y">this</a>.</p><p>And more.</p></dd></dl>"""
    api = BeautifulSoup(f"<main>{entry}</main>", "html.parser")
    chapter = BeautifulSoup('<main><a class="internal" href="../book/api/x.html#ostrl.f">f</a></main>', "html.parser")
    found = ostrl_previews.previews({"book/api/x.html": api, "notebooks/02.html": chapter})
    shown = '<p class="preview-signature"><code>f(a, *, b=&#x27;&lt;&#x27;)</code></p><p>For this.</p>'
    assert found == {"notebooks/02.html": {"../book/api/x.html#ostrl.f": shown}}


def test_an_equation_in_a_claim_is_placed_by_the_section_around_it() -> None:
    text = '<section><h2>Why</h2><div class="proof"><section><div class="math"></div></section></div></section>'
    equation = BeautifulSoup(text, "html.parser").find(class_="math")
    assert ostrl_previews.heading(equation) == "Why"


def test_a_preview_has_nothing_that_could_clash_or_be_clicked(pages: dict[str, BeautifulSoup]) -> None:
    for entries in ostrl_previews.previews(pages).values():
        for html in entries.values():
            assert not BeautifulSoup(html, "html.parser").select("[id], a, script, button, [title]")


def test_a_picture_is_found_from_another_folder() -> None:
    html = '<img src="../_images/a.png">'
    assert ostrl_previews.moved(html, "notebooks/02.html", "search.html") == '<img src="_images/a.png">'
    assert ostrl_previews.moved(html, "notebooks/02.html", "book/api/x.html") == '<img src="../../_images/a.png">'


def test_the_data_cannot_end_its_own_script() -> None:
    text = ostrl_previews.block({"#a": "</script><b>"})
    assert text.count("</script>") == 1
    (script,) = BeautifulSoup(text, "html.parser").find_all("script")
    assert json.loads(script.get_text()) == {"#a": "</script><b>"}


# ---------------------------------------------------------------------------------------------------- equation to code


def test_an_equation_knows_the_public_functions_that_implement_it() -> None:
    found = claims.documented_names(ROOT)
    assert "ostrl.exact.value" in found["eq-objective"]
    assert "ostrl.weighting.leave_one_out" in found["eq-leave-one-out"]
    assert not any(part.startswith("_") for names in found.values() for name in names for part in name.split("."))
    assert claims.is_documented("ostrl.lm.gradients.compare", {"ostrl.lm", "ostrl.lm.gradients"})
    assert not claims.is_documented("ostrl.lm.gradients", {"ostrl.lm", "ostrl.lm.gradients"})


def test_a_function_without_an_entry_in_the_reference_implements_nothing(tmp_path: Path) -> None:
    files = {
        "ostrl/exact.py": 'def scores():\n    "``eq-score``"\n\ndef _inner():\n    "``eq-score``, ``eq-inner``"\n',
        "ostrl/other.py": 'def other():\n    "``eq-score``, ``eq-other``"\n',
        "book/api/exact.md": "automodule:: ostrl.exact\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf8")
    assert claims.documented_names(tmp_path) == {"eq-score": ["ostrl.exact.scores"]}


def test_the_line_below_an_equation_names_each_function() -> None:
    paragraph = ostrl_code_links.line(["ostrl.exact.value", "ostrl.exact.gradient"])
    assert paragraph.astext() == "In code: exact.value, exact.gradient"
    targets = [link["reftarget"] for link in paragraph.findall(pending_xref)]
    assert targets == ["ostrl.exact.value", "ostrl.exact.gradient"]
    assert all(link.next_node(nodes.literal) for link in paragraph.findall(pending_xref))


API = """<main><dl><dt class="sig" id="ostrl.x">x</dt><dd><p>Implements
<a class="internal" href="../../notebooks/02.html#equation-eq-one">(2.1)</a>.</p></dd></dl></main>
<script id="previews" type="application/json">{"../../notebooks/02.html#equation-eq-one": "x"}</script>"""


@pytest.mark.parametrize(
    ("page", "old", "new", "finding"),
    [
        ("api", "", "", None),
        ("api", "#equation-eq-one", "#equation-eq-two", "its entry in the API reference does not link to it"),
        ("api", 'id="ostrl.x"', 'id="ostrl.y"', "has no entry in the API reference"),
        ("api", '"../../notebooks/02.html#equation-eq-one": ', '"#": ', "no preview of ../../notebooks/02.html"),
        ("chapter", "#ostrl.x", "#ostrl.y", "below equation eq-one nothing leads to ostrl.x"),
        ("chapter", 'class="in-code"', "", "below equation eq-one nothing leads to ostrl.x"),
        ("chapter", "#ostrl.f", "#f", "nothing in its code leads to the API reference"),
    ],
)
def test_the_gate_notices_a_way_that_is_missing(page: str, old: str, new: str, finding: str | None) -> None:
    entries = '<script id="previews">{"#equation-eq-one": "x", "#thm-one": "y"}</script>'
    texts = {"chapter": CHAPTER + entries, "api": API}
    texts[page] = texts[page].replace(old, new, 1 if old else 0) if page == "chapter" else texts[page].replace(old, new)
    names = {"chapter": "notebooks/02.html", "api": "book/api/x.html"}
    built = {names[key]: BeautifulSoup(text, "html.parser") for key, text in texts.items()}
    found = list(check_ways.problems(built, {"eq-one": ["ostrl.x"]}))
    assert [line for line in found if finding and finding in line] == found[:1] if finding else not found


# --------------------------------------------------------------------------------------------------------- references


def test_no_two_references_read_alike() -> None:
    shown: dict[tuple[str, ...], str] = {}
    for key, entry in parse_file(str(ROOT / "book/references.bib")).entries.items():
        authors = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
        names = (*authors[:2], "") if len(authors) < 3 else (authors[0], "et al.")
        reads = (*names, entry.fields.get("year", ""))
        assert reads not in shown, f"{key} and {shown[reads]} both read {reads}: give their years a letter"
        shown[reads] = key
