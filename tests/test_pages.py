"""What the book's extensions do to its pages: code line by line, outputs that know their width, lighter pictures."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from docutils import nodes
from docutils.utils import new_document
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "book/_ext"))

import ostrl_book
import ostrl_code
import ostrl_machines
import ostrl_noscript
import ostrl_search
import ostrl_weight

PYTHON = '<div class="highlight-python notranslate"><div class="highlight"><pre><span></span>{}\n</pre></div>'


def test_each_line_of_code_knows_its_indentation():
    page = ostrl_code.line_by_line(PYTHON.format('<span class="k">if</span> x:\n    <span class="n">y</span>'))
    assert page == PYTHON.replace("{}\n", "{}").format(
        '<span class="line"><span class="k">if</span> x:\n</span>'
        '<span class="line" style="--indent:4ch">    <span class="n">y</span>\n</span>'
    )


def test_only_what_would_fill_a_phone_is_broken_and_not_inside_a_name():
    def broken(code):
        return ostrl_code.words(ostrl_code.line(code).replace("<wbr>", "|")).rstrip("\n")

    assert broken("y = f(x, a.b[c])") == "y = f(x, a.b[c])"
    long = '<span class="n">grad</span><span class="p">(</span><span class="n">log_prob</span>.sum(), &quot;x&quot;)'
    assert broken(long) == 'grad(|log_prob|.sum(), "x")'
    assert broken("zeros((), shape=[0.25,0.125,0.0625],)") == "zeros((), shape=[|0.25,|0.125,|0.0625],)"
    arguments = '<span class="s2">&quot;oa,oaj,oak-&gt;jk&quot;</span>,<span class="mf">1e-12</span>'
    equation = f'<span class="n">einsum</span>({arguments})'
    whole = equation.replace('"s2"', '"s2 whole"').replace('"mf"', '"mf whole"')
    marked = whole.replace("(<span", "(<wbr><span", 1).replace(",<span", ",<wbr><span")
    assert ostrl_code.line(equation) == f'<span class="line">{marked}\n</span>'
    text = 'x = "&lt;" + abcdefghijklmnopqrstuvwxyz'
    assert ostrl_code.line(text) == f'<span class="line">{text}\n</span>'


def test_words_in_code_without_a_look_of_their_own_have_no_element():
    sheet = """html[data-theme="light"] .highlight { background: #fefefe; color: #080808 }
html[data-theme="light"] .highlight .k { color: #6730C5 } /* Keyword */
html[data-theme="light"] .highlight .n { color: #080808 } /* Name */
html[data-theme="light"] .highlight .p { color: #080808 } /* Punctuation */
html[data-theme="light"] .highlight .gs { color: #080808; font-weight: bold } /* Generic.Strong */
html[data-theme="dark"] .highlight { background: #2b2b2b; color: #F8F8F2 }
html[data-theme="dark"] .highlight .k { color: #DCC6E0 } /* Keyword */
html[data-theme="dark"] .highlight .n { color: #F8F8F2 } /* Name */
html[data-theme="dark"] .highlight .p { color: #F8F8F0 } /* Punctuation */
html[data-theme="dark"] .highlight .gs { color: #F8F8F2; font-weight: bold } /* Generic.Strong */
"""
    assert ostrl_code.plain(sheet) == {"n"}
    code = '<span class="k">if</span> <a><span class="n">ab<wbr>c</span></a> <span class="n">d</span>'
    bare = '<span class="k">if</span> <a>ab<wbr>c</a> d'
    text = '<span class="n">text</span>'
    assert ostrl_code.bare(text + PYTHON.format(code), {"n"}) == text + PYTHON.format(bare)


def test_a_question_is_searched_by_the_words_that_say_what_it_is_about():
    language = ostrl_search.SearchQuestions({})
    question = language.split("Why doesn't my loss go down?")
    assert [word for word in question if language.word_filter(word.lower())] == ["loss", "go", "down"]


def test_the_output_of_a_cell_keeps_its_columns():
    output = PYTHON.replace("python", "myst-ansi").format("a  1\nb  2")
    assert ostrl_code.line_by_line(output) == output


def test_readers_do_not_see_what_only_tools_read():
    cell = "# NBVAL_IGNORE_OUTPUT\nx = [  # fmt: skip\n    1,  # one\n]  # noqa: B023\n# fmt: off\ny  # fmt: skipped\n"
    assert ostrl_code.readable(cell) == "x = [\n    1,  # one\n]\ny  # fmt: skipped\n"
    assert ostrl_code.readable("y\n# NBVAL_SKIP") == "y\n"


def cell_of(source, tag):
    cell = nodes.container(nb_element="cell_code", classes=["cell", tag], prompt_show="Show the code")
    cell += nodes.container("", nodes.literal_block(source, source), nb_element="cell_code_source")
    cell += nodes.container("", nodes.literal_block(source, source), nb_element="cell_code_output")
    return cell


def test_code_below_a_solution_in_words_is_called_the_solution_in_code():
    doctree = new_document("page")
    end = nodes.raw("", "</details>", format="html")
    doctree += [cell_of("a", "tag_hide-cell"), end, cell_of("b", "tag_hide-cell"), cell_of("c", "tag_hide-cell")]
    doctree += [end.deepcopy(), cell_of("d", "tag_hide-input")]
    ostrl_code.tidy(None, doctree)
    cells = [node for node in doctree if "cell" in node["classes"]]
    assert [cell["prompt_show"] == "Solution in code" for cell in cells] == [False, True, False, False]


def test_a_cell_loses_the_words_to_tools_and_an_output_keeps_its_own():
    doctree = new_document("page")
    doctree += cell_of("x  # fmt: skip", "tag_hide-input")
    ostrl_code.tidy(None, doctree)
    source, output = doctree.findall(nodes.literal_block)
    assert source.rawsource == source.astext() == "x"  # else nothing highlights it
    assert output.astext() == "x  # fmt: skip"


def test_a_source_file_is_marked_line_by_line_and_its_functions_stay_blocks():
    block = '<span class="viewcode-block" id="f">\n<a class="viewcode-back" href="x">[docs]</a>\n'
    source = '<h1>f</h1><div class="highlight"><pre>\n{}def f():\n    <span class="k">pass</span>{}\n</pre></div>'
    page = ostrl_code.listing(source.format(block, "</span>"))
    start = '<h1>f</h1><div class="highlight highlight-python"><pre><span class="line">\n</span>'
    body = '<span class="line" style="--indent:4ch">    <span class="k">pass</span>\n</span>'
    assert page == start + block + '<span class="line">def f():\n</span>' + body + "</span></pre></div>"


def test_a_picture_keeps_its_colors_to_within_2_in_255(tmp_path):
    shaded = Image.effect_noise((60, 40), 50).convert("RGBA")
    shaded.putalpha(Image.linear_gradient("L").resize((60, 40)))
    flat = Image.new("RGB", (400, 300), (255, 114, 0))
    shaded.save(tmp_path / "shaded.png")
    flat.save(tmp_path / "flat.png")
    assert ostrl_weight.compress(tmp_path) == {"shaded", "flat"}
    for name, original in (("shaded", shaded), ("flat", flat.convert("RGBA"))):
        (path,) = tmp_path.glob(f"{name}.*")  # the PNG is gone
        before, after = (np.asarray(picture.convert("RGBA"), int) for picture in (original, Image.open(path)))
        seen = after[..., 3] > 0  # what is transparent has no color
        assert np.abs(before - after)[seen].max() <= 2
        assert before[..., 3][~seen].max(initial=0) <= 2


def test_a_printed_table_knows_its_width_and_sentences_do_not():
    output = PYTHON.replace("highlight-python", "output stream highlight-myst-ansi").format
    assert '<pre style="--columns:8"><span></span>a &lt;' in ostrl_code.columns(output("a &lt; <b>b</b>\n1  45678"))
    sentence = output("  a sentence that is longer than a phone\n")
    assert ostrl_code.columns(sentence) == sentence


def test_only_the_page_of_the_search_carries_its_index():
    script = '<script src="{}.js"></script>'.format
    scripts = "\n".join(map(script, ("_static/doctools", "../searchindex", "_static/searchtools.js?v=1")))
    assert ostrl_weight.SEARCH.sub("", scripts) == script("_static/doctools")


def test_the_text_does_not_wait_for_scripts_that_can_come_later():
    def late(tag):
        return ostrl_weight.WAITED.sub(r"<script defer\1 src=\2", tag)

    assert late('<script src="../_static/doctools.js?v=9a"></script>') == (
        '<script defer src="../_static/doctools.js?v=9a"></script>'
    )
    tabs = '<script data-prefix="x" src="_static/design-tabs.js"></script>'
    assert late(tabs) == tabs.replace("<script", "<script defer")
    for tag in ('<script defer="defer" src="a/copybutton.js"></script>', "<script>let a = 1;</script>"):
        assert late(tag) == tag


@pytest.mark.parametrize(
    "tag",
    [
        '<script defer src="../_static/scripts/fontawesome.js?digest=5"></script>',
        '<link rel="preload" as="script" href="_static/scripts/fontawesome.js?digest=5">',
    ],
)
def test_the_script_of_icons_is_left_out(tag):
    assert ostrl_weight.ICONS.sub("", f"<p>\n  {tag}\n</p>") == "<p>\n</p>"


def app(baseurl=""):
    config = {"project": "The book", "author": "The authors", "copyright": "2026, them", "root_doc": "book/intro"}
    return SimpleNamespace(config=SimpleNamespace(html_baseurl=baseurl, **config))


def test_a_chapter_says_how_to_cite_it():
    tags = ostrl_machines.metadata(app("https://a.example/b/"), "notebooks/01_x", '1. A "b" & c')
    assert '<meta name="citation_title" content="A &quot;b&quot; &amp; c">' in tags
    assert '<meta name="citation_inbook_title" content="The book">' in tags
    data = json.loads(re.search(r'<script type="application/ld\+json">(.*)</script>', tags)[1])
    assert (data["@type"], data["name"], data["datePublished"]) == ("Chapter", 'A "b" & c', "2026")
    assert data["url"] == "https://a.example/b/notebooks/01_x.html"
    assert "url" not in ostrl_machines.metadata(app(), "notebooks/01_x", "A")  # no address is invented
    assert '"@type": "Book"' in ostrl_machines.metadata(app(), "book/intro", "A")


def test_a_page_is_described_with_and_without_an_address(monkeypatch):
    monkeypatch.setattr(ostrl_machines, "PAGES", {})
    words = 'A first sentence, with "quotes", that is long enough to say what the page is about.'
    page = new_document("one")
    page += nodes.paragraph("", words)
    card = '<meta property="og:description" content="A fi..." />\n<meta name="description" content="A fi..." />'
    for tags in ("", card):  # which breaks off within a word
        for name, said in (("notebooks/01_x", words.replace('"', "&quot;")), ("book/intro", ostrl_machines.ABOUT)):
            context = {"title": "One", "metatags": tags}
            ostrl_machines.add_metadata(app(), name, "page.html", context, page)
            found = re.findall('<meta [a-z]*="[a-z:]*description" content="(.*?)"', context["metatags"])
            assert found == [said] * (2 if tags else 1)


def test_without_javascript_a_page_is_light_and_says_so(browser, tmp_path):
    shell = '<!doctype html><html lang="en" data-theme="auto"><title>A</title><body data-theme="auto">{}</body></html>'
    (tmp_path / "page.html").write_text(ostrl_noscript.light(shell.format(ostrl_noscript.NOTE)), encoding="utf8")
    for on in (True, False):
        page = browser.new_page(java_script_enabled=on)
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator("html[data-theme=light] > body[data-theme=auto]").count() == 1
        assert page.locator("p.noscript").count() == (not on)
        page.close()


def test_a_notebook_reads_as_markdown(tmp_path):
    code = nbformat.v4.new_code_cell("print(1)", outputs=[nbformat.v4.new_output("stream", text="1\n")])
    colab = nbformat.v4.new_code_cell("install", metadata={"tags": ["remove-cell"]})
    picture = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
    drawn = nbformat.v4.new_code_cell("draw", outputs=[picture])
    cells = [nbformat.v4.new_markdown_cell("# Title"), colab, code, drawn]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    assert ostrl_machines.markdown(tmp_path / "x.ipynb") == (
        "# Title\n\n```python\nprint(1)\n```\n\n```\n1\n```\n\n```python\ndraw\n```\n"
    )


def test_programs_find_the_pages_in_reading_order(monkeypatch):
    pages = {"book/api/x": ("ostrl.x", ""), "notebooks/01_x": ("One", "Words."), "book/notation": ("Notation", "")}
    monkeypatch.setattr(ostrl_machines, "PAGES", pages)
    text = ostrl_machines.llms(app("https://a.example/"), list(pages), {"notebooks/01_x"})
    assert text.startswith("# The book\n\n> ")
    assert "## Chapters\n\n- [One](https://a.example/notebooks/01_x.md): Words.\n\n## Back matter" in text
    assert "## API reference\n\n- [ostrl.x](https://a.example/book/api/x.html)\n" in text


def test_all_chapters_are_one_file_in_reading_order(monkeypatch, tmp_path):
    names = ["book/intro", "notebooks/02_b", "notebooks/01_a", "book/notation"]  # as a table of contents may have them
    (tmp_path / "notebooks").mkdir()
    for name in names[1:3]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}\n\nWords.")])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    book = app("https://a.example/")
    book.builder = SimpleNamespace(name="html")
    book.srcdir = book.outdir = tmp_path
    book.env = SimpleNamespace(toctree_includes={names[0]: names[1:]})
    monkeypatch.setattr(ostrl_machines, "PAGES", {name: (name, "") for name in names})
    ostrl_machines.write(book, None)
    whole = (tmp_path / "llms-full.txt").read_text(encoding="utf8")
    assert re.findall("^# .*", whole, re.M) == ["# The book", "# notebooks/02_b", "# notebooks/01_a"]
    assert whole.count("Words.\n") == 2
    assert "](https://a.example/llms-full.txt)" in (tmp_path / "llms.txt").read_text(encoding="utf8")


def test_half_an_escaped_character_is_taken_away():
    cut = '<meta name="description" content="it&#x27;s &#x2..." /><meta content="a &amp; b ..." />'
    assert ostrl_machines.CUT.sub("", cut) == cut.replace("&#x2...", "...")


@pytest.mark.parametrize(
    ("page", "left"),
    [("book/generated/claims", ["repository"]), ("book/glossary", ["repository", "source-edit-button"])],
)
def test_a_generated_page_has_no_source_to_edit(page, left):
    buttons = [{"label": "repository"}, {"label": "source-edit-button"}]
    context = {"header_buttons": [{"buttons": buttons}, {"label": "theme"}]}
    ostrl_book.drop_dead_edit_links(None, page, "page.html", context, None)
    assert [button["label"] for button in context["header_buttons"][0]["buttons"]] == left
    assert "buttons" not in context["header_buttons"][1]


HEAD = """<meta name="viewport" content="width=device-width" /><title>2. A &#8212; B</title>
<meta name="viewport" content="width=device-width"/>
<div id="jb-print-docs-body" class="onlyprint">
    <h1>A</h1></div><article><h1><span class="section-number">2. </span>A<a>#</a></h1>"""


def test_a_page_has_one_viewport_and_its_number_in_print():
    page = ostrl_book.mend_page(HEAD)
    assert page.count("viewport") == 1
    assert page.count('<h1><span class="section-number">2. </span>A<') == 2
    assert "<title>2. A &#8212; B</title>" in page
    plain = HEAD.replace('<span class="section-number">2. </span>', "")
    assert ostrl_book.mend_page(plain).count("<h1>A<") == 2


def test_the_front_page_says_its_title_once():
    assert ostrl_book.mend_page("<title>B &#8212; B</title>") == "<title>B</title>"
