"""The bound book: the site's words and numbers, formulas as MathML, no script, and nothing for EPUBCheck to say."""

import io
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from in_browser import missing
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import check_epub  # noqa: E402
import chromium  # noqa: E402
import ebook  # noqa: E402
import epub  # noqa: E402
import formulas  # noqa: E402

sys.path.insert(0, str(ROOT / "book/_ext"))
import ostrl_math  # noqa: E402

MENU = """<nav class="bd-links"><p class="caption"><span class="caption-text">Start here</span></p><ul>
<li class="toctree-l1"><a href="../notebooks/one.html">1. One</a></li></ul>
<p class="caption"><span class="caption-text">Back matter</span></p><ul>
<li class="toctree-l1"><a href="glossary.html">Glossary</a></li>
<li class="toctree-l1"><a href="api/index.html">API</a><ul><li class="toctree-l2"><a href="api/x.html">x</a></li></ul>
</li></ul></nav>"""
HEAD = '<html><head><meta name="description" content="What it is about.">{}</head><body>{}<article class="bd-article">'
CANONICAL = '<link rel="canonical" href="https://ada.example/b/book/intro.html">'
PAGES = {
    "book/intro.html": """<section id="top"><h1>The book<a class="headerlink" href="#top">#</a></h1>
<p>Read <a class="internal" href="../notebooks/one.html#eq-a">(1.1)</a>, <a href="#top">this</a>,
<a href="api/x.html#f"><code>f</code></a> and <a href="https://example.org">that</a>.</p>
<script>1</script><button>Press</button><div class="toctree-wrapper"></div></section>""",
    "notebooks/one.html": r"""<section id="one"><h1><span class="section-number">1. </span>One</h1>
<section id="part"><h2><span class="section-number">1.1. </span>Part \(\theta\)<a class="headerlink" href="#part">#</a>
</h2><div class="math" id="eq-a"><span class="eqno"><a href="#eq-a">(1.1)</a></span>\[\begin{aligned}
J &amp;= \mathbb{E}[R] \\ &amp;&lt; 2 \end{aligned}\]</div>
<details class="admonition hide above-input"><summary><span class="collapsed">Show the code</span></summary>
<pre>print(r"\(no formula\)")</pre></details>
<details><summary>Proof that it is so</summary><p>Clear.</p></details>
<details><summary>Solution of 1.1</summary><p>Two.</p></details>
<details class="admonition hide above-input"><summary><span class="collapsed">Solution in code</span>
<span class="expanded">Hide the code</span></summary><pre>two</pre></details>
<div class="ostrl-live-host" data-figure="Objective"><p class="ostrl-live-fallback">A live figure.</p></div>
<table class="ostrl"><tr><td style="--x:1">\(\pi\)</td></tr></table>
<img alt="A line." src="../_images/line.webp" width="4" height="3"></section></section>""",
    "book/glossary.html": '<dl><dt id="term-a">a</dt><dd><p>First <br> letter.</p></dd></dl>',
}
PNG = io.BytesIO()
Image.new("RGB", (4, 3)).save(PNG, "PNG")
CONFIG = {"title": "The book & more", "author": "Ada", "rights": "Hers", "version": "1.2"}


def as_set(formula):
    """A formula as the pages have it: what is displayed twice, the second time in lines for a narrow column."""
    tex, displayed = formula
    kind = ' display="true"' if displayed else ""
    text = f'<mjx-container class="MathJax" jax="CHTML"{kind} style="position: relative;"><mjx-math>set</mjx-math>'
    text += "</mjx-container>"
    return ostrl_math.versions(tex, [(26, text), (0, text)] if displayed else [(0, text)])


@pytest.fixture(params=[CANONICAL, ""], ids=["published", "no address"])
def site(request, tmp_path, monkeypatch):
    for name, body in PAGES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = ostrl_math.each(body, as_set)
        path.write_text(f"{HEAD.format(request.param, MENU)}{body}</article></body></html>", encoding="utf8")
    (tmp_path / "site/_images").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "site/_images/line.webp")
    said = {"images/cover.png": "The book", "images/live-one-0.png": "The objective. A triangle."}
    taken = {name: (PNG.getvalue(), words) for name, words in said.items()}
    monkeypatch.setattr(ebook, "photograph", lambda *_: taken)
    return tmp_path / "site"


@pytest.fixture
def book(site, tmp_path):
    ebook.bind(site, tmp_path / "book.epub", CONFIG, "2026-01-02")
    with zipfile.ZipFile(tmp_path / "book.epub") as packed:
        assert packed.namelist()[0] == "mimetype"
        return {name.removeprefix("EPUB/"): packed.read(name) for name in packed.namelist()}


def chapter(book, name):
    return BeautifulSoup(book[name].decode(), "html.parser")


def test_the_pages_of_the_menu_are_there_in_its_order_without_the_reference(book):
    order = re.findall(r'href="([^"]+\.xhtml)"', book["book.opf"].decode())
    assert order[2:] == ["book-intro.xhtml", "notebooks-one.xhtml", "book-glossary.xhtml"]
    contents = " ".join(chapter(book, "contents.xhtml").nav.get_text(" ").split())
    assert contents == r"Contents About this book Start here 1. One 1.1. Part \theta Back matter Glossary"


def test_formulas_are_mathml_with_their_tex_and_numbers_stay(book):
    one = chapter(book, "notebooks-one.xhtml")
    inline, displayed, cell = one.select("math")
    assert (inline["alttext"], cell["alttext"]) == (r"\theta", r"\pi")
    assert displayed["display"] == "block" and "𝔼" in displayed.get_text()
    assert displayed["alttext"].startswith(r"\begin{aligned} J &= \mathbb{E}[R]")
    assert one.select_one("#eq-a .eqno").get_text() == "(1.1)"
    assert r'print(r"\(no formula\)")' in one.pre.get_text()
    assert not re.search("data-|\ue000", book["notebooks-one.xhtml"].decode())


def test_for_a_kindle_formulas_are_pictures_with_their_tex_as_large_as_the_text(site, tmp_path):
    if not chromium.find():
        missing("no Chromium found; install it (Debian: apt-get install chromium) or set $CHROMIUM")
    ebook.bind(site, tmp_path / "kindle.epub", CONFIG, None, drawn=True)
    with zipfile.ZipFile(tmp_path / "kindle.epub") as packed:
        one = BeautifulSoup(packed.read("EPUB/notebooks-one.xhtml"), "html.parser")
        package = packed.read("EPUB/book.opf").decode()
        images = {img["src"]: Image.open(io.BytesIO(packed.read(f"EPUB/{img['src']}"))) for img in one.select("img")}
    assert not one.select("math")
    assert "MathML" not in package and "Formulas are pictures" in package
    inline, displayed, cell = one.select("img.formula")
    assert (inline["alt"], cell["alt"]) == (r"\theta", r"\pi")
    assert displayed["alt"].startswith(r"\begin{aligned} J &= \mathbb{E}[R]")
    assert "vertical-align" in inline["style"] and "vertical-align" not in displayed["style"]
    for img in (inline, displayed, cell):  # black on white, and 48 dots for an em
        picture = images[img["src"]].convert("L")
        assert picture.getextrema() == (0, 255)
        assert abs(float(re.search(r"width:([\d.]+)em", img["style"])[1]) - picture.width / 48) < 0.02
    if shutil.which("java"):
        assert check_epub.problems(shutil.which("java"), tmp_path / "kindle.epub") == []


def test_what_is_folded_is_shown_but_solutions(book):
    one = chapter(book, "notebooks-one.xhtml")
    assert [fold.summary.get_text() for fold in one.select("details")] == ["Solution of 1.1", "Solution in code"]
    assert one.select_one("p.unfolded").get_text() == "Proof that it is so"
    assert "Show the code" not in one.get_text()


def test_nothing_needs_a_script_or_is_for_a_pointer(book):
    for name in ("book-intro.xhtml", "notebooks-one.xhtml"):
        assert not chapter(book, name).select("script, button, .headerlink, .toctree-wrapper, [style]")
    live = chapter(book, "notebooks-one.xhtml").select_one("figure.live")
    assert live.img["alt"] == "The objective. A triangle."
    assert (
        live.get_text()
        == "A live figure in its first state. It answers your hand in the web edition, and in the notebook."
    )
    assert "images/live-one-0.png" in book and "images/line.png" in book


def test_links_lead_to_the_book_to_the_site_or_are_words(book, request):
    links = {a.get_text(): a["href"] for a in chapter(book, "book-intro.xhtml").select("a")}
    published = "published" in request.node.name
    assert links.pop("that") == "https://example.org"
    assert links == {"(1.1)": "notebooks-one.xhtml#eq-a", "this": "#top"} | (
        {"f": "https://ada.example/b/book/api/x.html#f"} if published else {}
    )
    edition = chapter(book, "notebooks-one.xhtml").select("figure.live a")
    assert [a["href"] for a in edition] == (["https://ada.example/b/notebooks/one.html"] if published else [])


def test_the_package_says_what_it_is_and_the_same_book_is_the_same_file(book, site, tmp_path):
    package = book["book.opf"].decode()
    assert "<dc:title>The book &amp; more</dc:title>" in package
    assert "<dc:description>What it is about. Version 1.2.</dc:description>" in package
    assert "2026-01-02T00:00:00Z" in package
    ebook.bind(site, tmp_path / "again.epub", CONFIG, "2026-01-02")
    assert (tmp_path / "again.epub").read_bytes() == (tmp_path / "book.epub").read_bytes()


needs_java = pytest.mark.skipif(not shutil.which("java"), reason="EPUBCheck needs Java; bash .ci/run brings it")


@needs_java
def test_epubcheck_has_nothing_to_say(site, tmp_path):
    ebook.bind(site, tmp_path / "book.epub", CONFIG, None)
    assert check_epub.problems(shutil.which("java"), tmp_path / "book.epub") == []


@needs_java
def test_epubcheck_would_say_it(tmp_path):
    chapters = [epub.Chapter("a.xhtml", "A", "", '<p><a href="b.xhtml">b</a></p>', [])]
    about = epub.About("T", "A", "D", "R", "1", None, None)
    epub.write(tmp_path / "book.epub", about, chapters, {"images/cover.png": PNG.getvalue()}, "")
    (line,) = check_epub.problems(shutil.which("java"), tmp_path / "book.epub")
    assert line.startswith("EPUB/a.xhtml:5: RSC-007") and "b.xhtml" in line


@pytest.mark.parametrize(("tex", "reason"), [(r"\nosuch x", "Undefined control sequence"), (r"\frac{1", "Missing")])
def test_a_formula_that_tex_does_not_know_stops_it_and_is_named(tex, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        formulas.mathml([("x", False), (tex, True)])
    assert tex in str(raised.value)


@pytest.mark.parametrize(
    ("face", "character", "found"),
    [("double-struck", "E", "𝔼"), ("double-struck", "R", "ℝ"), ("script", "L", "ℒ"), ("bold", "x", "𝐱")],
)
def test_a_letter_carries_its_face(face, character, found):
    assert formulas.letter(face, character) == found


def test_a_site_without_a_menu_is_refused(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book/intro.html").write_text('<article class="bd-article"></article>', encoding="utf8")
    with pytest.raises(ValueError, match="no menu of chapters"):
        ebook.read(tmp_path)


def test_live_figures_are_taken_as_they_begin(tmp_path):
    if not chromium.find():
        missing("no Chromium found; install it (Debian: apt-get install chromium) or set $CHROMIUM")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_static").mkdir()
    named = '<p role="group" aria-label="The objective"></p><svg role="img" aria-label="A triangle."></svg>'
    host = f'<div class="ostrl-live-host" style="width: 40px; height: 30px; overflow: hidden">{named}</div>'
    late = "<script>setTimeout(() => document.querySelector('div').dataset.live = 'yes', 200)</script>"
    (tmp_path / "notebooks/one.html").write_text(f"<!doctype html>{host}{late}", encoding="utf8")
    page = ebook.Page("notebooks/one.html", "One", "", BeautifulSoup("", "html.parser"), ["images/live-one-0.png"])
    taken = ebook.photograph(tmp_path, [page], "The book", "Ada")
    assert taken["images/live-one-0.png"][1] == "The objective. A triangle."
    sizes = {name: Image.open(io.BytesIO(data)).size for name, (data, _) in taken.items()}
    assert sizes == {"images/live-one-0.png": (80, 60), "images/cover.png": (1600, 2400)}
    assert list((tmp_path / "_static").iterdir()) == []
