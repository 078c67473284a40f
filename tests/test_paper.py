"""The printed book has the site's numbers, and its checker notices what would be wrong on paper."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from docutils import nodes
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, TextStringObject
from sphinx.util import texescape

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import check_pdf  # noqa: E402
import configure  # noqa: E402
import typeset  # noqa: E402
from ostrl_paper import left_out  # noqa: E402
from ostrl_paper.tables import fit, printed, stacked  # noqa: E402
from ostrl_paper.tree import caption_of  # noqa: E402
from ostrl_paper.writer import one_below_the_other  # noqa: E402

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

# ------------------------------------------------------------------------------------------------- a small book


def chapter(path: Path, title: str, name: str, number: int = 0) -> None:
    """A chapter with two equations, a figure, a claim with a folded proof, and, with a number, an exercise."""
    text = nbformat.v4.new_markdown_cell
    cells = [
        text(f"# {title}\n\n## First section\n\n$$\na + b\n$$ (eq-{name}-one)\n\n$$\nb + c\n$$ (eq-{name}-two)\n"),
        text(f":::{{prf:proposition}}\n:label: prop-{name}\n\n**It adds up.** See {{eq}}`eq-{name}-two`.\n\n:::"),
        text("<details><summary>Proof: by adding</summary>\n\n:::{prf:proof}\nAdd.\n:::\n\n</details>"),
        nbformat.v4.new_code_cell(
            "draw()",
            outputs=[nbformat.v4.new_output("display_data", {"image/png": PICTURE})],
            metadata={
                "tags": ["hide-input"],
                "mystnb": {"image": {"alt": "A dot."}, "figure": {"caption": "A dot.", "name": f"fig-{name}"}},
            },
        ),
        text(f"## Second section\n\n{{prf:ref}}`prop-{name}` and {{numref}}`fig-{name}`."),
    ]
    if number:
        verdict = nbformat.v4.new_output("execute_result", {"text/plain": f"{number}.1: right."})
        cells += [
            text(f":::{{exercise}}\n:label: ex-{number}-1\n\n**Add.** What is the sum?\n\n:::"),
            text(f"So much for {{ref}}`ex-{number}-1`."),
            text(f"<details><summary>Solution of {number}.1</summary>\n\nIt is five.\n\n</details>"),
            nbformat.v4.new_code_cell("check(2 + 3)", outputs=[verdict], metadata={"tags": ["hide-cell"]}),
        ]
    for i, cell in enumerate(cells):
        cell["id"] = f"{name}-{i}"
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "P"}})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A book with the project's own configuration, built for the site and for paper."""
    root = tmp_path_factory.mktemp("book")
    chapter(root / "notebooks/00_tour.ipynb", "Tour", "tour")
    chapter(root / "notebooks/01_sums.ipynb", "Sums", "sums", 1)
    chapter(root / "notebooks/02_more.ipynb", "More sums", "more", 2)
    chapter(root / "notebooks/surprises.ipynb", "Surprises", "surprises")
    (root / "book").mkdir()
    (root / "book/intro.md").write_text("# A book\n\nIt adds.\n\n## What is in it\n\nSums.\n", encoding="utf8")
    parts = [("Start here", False, ["00_tour"]), ("Part I · Adding", True, ["01_sums"])]
    parts += [("Part II · And more", True, ["02_more"]), ("Back matter", False, ["surprises"])]
    toc = {
        "format": "jb-book",
        "root": "book/intro",
        "parts": [
            {"caption": caption, "chapters": [{"file": f"notebooks/{name}"} for name in names]}
            | ({"numbered": True} if numbered else {})
            for caption, numbered, names in parts
        ],
    }
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf8")
    config = configure.configured(yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8")), {})
    config.pop("bibtex_bibfiles")
    config["html"].pop("favicon")
    ours = {name: str(ROOT / "book/_ext") for name in ("ostrl_book", "ostrl_paper")}
    left_out = config["sphinx"]["local_extensions"].keys() - ours.keys() | {"sphinxcontrib.bibtex"}
    config["sphinx"]["local_extensions"] = ours
    settings = config["sphinx"]["config"]
    settings["extensions"] = [name for name in settings["extensions"] if name not in left_out]
    settings |= {"html_static_path": [], "intersphinx_mapping": {}, "bibtex_bibfiles": []}
    for key in ("latex_additional_files", "templates_path"):
        settings[key] = [str(ROOT / name) for name in settings[key]]
    (root / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    for builder in ("html", "latex"):
        command = ["jupyter-book", "build", ".", "--config", "_config.yml", "--toc", "_toc.yml", "--builder", builder]
        program = Path(sys.executable).with_name(command[0])
        result = subprocess.run([program, *command[1:]], cwd=root, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return root / "_build"


def test_numbers_on_paper_are_those_of_the_site(small_book):
    on_paper = check_pdf.printed_numbers((small_book / "latex/ostrl.tex").read_text(encoding="utf8"))
    on_site = check_pdf.site_numbers(small_book / "html")
    assert on_paper == on_site
    assert on_site["eq-more-two"] == "(2.2)"
    assert on_site["fig-more"] == "Figure 2.1"
    assert on_site["prop-sums"] == "Proposition 1.1"
    assert on_site["ex-2-1"] == "Exercise 2.1"
    assert len(on_site) == 4 * 4 + 2  # two equations, a figure and a claim each; two exercises


def test_a_link_to_an_exercise_finds_it(small_book):
    tex = (small_book / "latex/ostrl.tex").read_text(encoding="utf8")
    assert set(re.findall(r"\\hyperref\[(exercise:[^]]*)\]", tex)) == {"exercise:ex-1-1", "exercise:ex-2-1"}
    assert re.findall(r"\\label\{(exercise:[^}]*)\}", tex) == ["exercise:ex-1-1", "exercise:ex-2-1"]


def test_what_the_site_folds_is_sorted_for_paper(small_book):
    tex = (small_book / "latex/ostrl.tex").read_text(encoding="utf8")
    assert tex.count(r"\ostrlprooftitle{Proof: by adding}") == 4  # folded on the site, open on paper
    assert "draw()" not in tex  # folded code
    assert tex.count("What is the sum?") == tex.count("It is five.") == 2
    assert ": right." not in tex  # the checker's words
    chapter = tex.index(r"\chapter{Solutions}")
    assert tex.index(r"\chapter{More sums}") < chapter < tex.index(r"\chapter{Surprises}")
    assert chapter < tex.index("It is five.")
    assert chapter < tex.index("check")


def test_the_parts_stand_where_the_site_has_them(small_book):
    tex = (small_book / "latex/ostrl.tex").read_text(encoding="utf8")
    order = [
        r"\chapter{About this book}",
        r"\chapter{Tour}",
        r"\ostrlnumbered\part{Adding}",
        r"\chapter{Sums}",
        r"\ostrlnumbered\part{And more}",
        r"\chapter{More sums}",
        r"\ostrlunnumbered\ostrlpart{Back matter}",
        r"\chapter{Solutions}",
    ]
    places = [tex.index(words) for words in order]
    assert places == sorted(places)


def table_of(rows: list[list[nodes.Node]]) -> nodes.table:
    """A table in a section, below a title."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), cols=len(rows[0]))
    group += nodes.tbody("", *(nodes.row("", *(nodes.entry("", nodes.paragraph("", "", x)) for x in r)) for r in rows))
    table = nodes.table("", group)
    nodes.section("", nodes.section("", nodes.title("", "Names"), table))
    return table


def test_a_heading_goes_to_the_next_page_with_its_table():
    table = table_of([[nodes.Text("a"), nodes.Text("b")] for _ in range(3)])
    fit(table)
    chapter = table.parent.parent
    assert chapter[0].astext().startswith("\\ostrlroom{") and chapter[1] is table.parent


def test_a_short_table_is_not_broken_and_a_long_one_leaves_no_single_row():
    short, long = (table_of([[nodes.Text("a"), nodes.Text("b")] for _ in range(n)]) for n in (5, 50))
    for table in (short, long):
        fit(table)
    assert "longtable" not in short["classes"] and "longtable" in long["classes"]
    assert [i for i, row in enumerate(long.findall(nodes.row)) if row.get("with_next")] == [48]


def test_a_long_name_of_the_code_leaves_room_for_words():
    name = "estimates.gradient_estimates_of_everything_there_is"
    words = "a sentence that says what is tested, and goes on for a while"
    table = table_of([[nodes.literal("", name), nodes.Text(words)]])
    fit(table)
    _, other = (spec["colwidth"] for spec in table.findall(nodes.colspec))
    assert other > 400  # tenths of a letter; the longest part of the name alone, unbroken, would leave 320
    cell = next(table.findall(nodes.literal))
    assert "".join(x.astext() for x in cell if isinstance(x, nodes.Text)) == name
    assert sum(isinstance(x, nodes.raw) for x in cell) == name.count("_")


def test_a_path_breaks_in_a_table_where_it_is_a_link_too():
    path = "tests/claims/test_04_baselines.py"
    for cell in (nodes.Text(path), nodes.reference("", path, refuri="https://example.org")):
        table = table_of([[cell]])
        fit(table)
        pieces = next(table.findall(nodes.paragraph)).findall(nodes.Text)
        shown = [x for x in pieces if not isinstance(x.parent, nodes.raw)]
        assert shown == ["tests/", "claims/", "test_04_baselines.py"]


def test_formulas_side_by_side_are_stacked_in_a_table():
    assert one_below_the_other(r"a = b, \qquad c = d") == r"& a = b, \\ & c = d"
    assert one_below_the_other(r"a \qquad\text{with}\qquad c") == r"& a \\ & \text{with}\quad c"


def test_a_head_keeps_its_parentheses_on_one_line():
    assert stacked("KL(class ‖ π)") == r"\shortstack[l]{KL(class ‖ π)}"
    assert stacked("worst bias") == r"\shortstack[l]{worst\\bias}"


def test_a_live_figure_takes_the_italics_below_it_along():
    figure, caption = nodes.container(), nodes.paragraph("", "", nodes.emphasis("", "Drag."))
    section = nodes.section("", figure, caption, nodes.paragraph("", "", nodes.emphasis("", "No"), nodes.Text("t it.")))
    assert caption_of(figure) == [caption] and caption not in section.children
    assert caption_of(figure) == []


def test_a_table_keeps_its_mathematics_and_its_signs():
    texescape.init()  # as Sphinx does before it builds
    row = r"<tr><th>a_b</th><td>\(\frac12 x_1\)</td><td>-0.5 ± 0.1</td></tr>"
    html = (
        f'<table class="ostrl"><caption>50 % of it</caption><tr><th>name</th><th>a b</th><th>c d</th></tr>{row}</table>'
    )
    tex = printed(html).astext()
    assert r"a\_b & $\frac12 x_1$ & −0.5~±~0.1\\" in tex
    assert r"{50 \% of it}" in tex
    assert printed("<table><tr><td>not of the library</td></tr></table>") is None


# --------------------------------------------------------------------------------------------------- the checker


@pytest.mark.parametrize(
    "log, words",
    [
        ("Overfull \\hbox (12.3pt too wide) in paragraph at lines 7--9\n\\TU/x(0)/m/n/10 a long word|", "12.3 points"),
        (r"Overfull \vbox (80.0pt too high) has occurred while \output is active []" + "\n", "80.0 points too high"),
        ("Missing character: There is no ✗ (U+2717) in font [x.otf]/!", "✗"),
        ("LaTeX Warning: Reference `eq-lost' on page 3 undefined on input line 7.", "eq-lost"),
        ("LaTeX Warning: Hyper reference `prop-lost' on page 3 undefined on input line 7.", "prop-lost"),
        ("LaTeX Warning: Citation `lost24' on page 3 undefined on input line 7.", "lost24"),
        ("LaTeX Warning: Label `twice' multiply defined.", "twice"),
        ("LaTeX Warning: Float too large for page by 30.0pt on input line 7.", "too large"),
        ("! Undefined control sequence.", "control sequence"),
    ],
)  # fmt: skip
def test_a_complaint_of_latex_is_read(log, words):
    (problem,) = check_pdf.log_problems(f"This is XeTeX\n{log}\nOutput written.")
    assert words in problem


def test_a_hair_too_wide_is_no_complaint():
    log = (
        r"Overfull \hbox (4.9pt too wide) in paragraph at lines 7--9"
        + "\n words\nLaTeX Font Warning: Size substituted\n"
    )
    assert list(check_pdf.log_problems(log)) == []


def small_pdf(path: Path, **without: bool):
    """Two pages with a picture, an outline and a link; each of them can be left out, or be wrong."""
    writer = PdfWriter()
    for text in ("Sums", "See ??" if "reference" in without else "See 1.1"):
        page = writer.add_blank_page(200, 200)
        font = DictionaryObject(
            {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
             NameObject("/BaseFont"): NameObject("/Helvetica")}
        )  # fmt: skip
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if "picture" not in without:
        picture = DecodedStreamObject()
        picture.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
        resources = writer.pages[0]["/Resources"]
        resources[NameObject("/XObject")] = DictionaryObject({NameObject("/P"): writer._add_object(picture)})
    if "outline" not in without:
        writer.add_outline_item(title="1 Products" if "chapter" in without else "1 Sums", page_number=0)
    if "target" not in without:
        writer.add_named_destination(title="prop-sums", page_number=0)
    link = DictionaryObject(
        {NameObject("/Type"): NameObject("/Annot"), NameObject("/Subtype"): NameObject("/Link"),
         NameObject("/Dest"): TextStringObject("prop-sums")}
    )  # fmt: skip
    writer.pages[1][NameObject("/Annots")] = ArrayObject([link])
    if "name" not in without:
        writer.add_metadata({"/Title": "Sums", "/Author": "The ostrl authors"})
    if "language" not in without:
        writer._root_object[NameObject("/Lang")] = TextStringObject("en-US")
    writer.write(path)
    return check_pdf.PdfReader(path)


def test_a_whole_pdf_has_no_problem(tmp_path):
    assert list(check_pdf.pdf_problems(small_pdf(tmp_path / "a.pdf"), ["Sums"], 1)) == []


@pytest.mark.parametrize(
    "what, words",
    [
        ("reference", "page 2: two question marks"),
        ("picture", "0 pictures"),
        ("outline", "no outline"),
        ("chapter", "no chapter"),
        ("target", "page 2: a link leads to prop-sums"),
        ("name", "no title"),
        ("language", "no language"),
    ],
)
def test_what_is_missing_from_a_pdf_is_named(tmp_path, what, words):
    found = list(check_pdf.pdf_problems(small_pdf(tmp_path / "a.pdf", **{what: True}), ["Sums"], 1))
    assert any(words in problem for problem in found), found


def test_another_number_or_heading_is_named():
    assert list(check_pdf.number_problems({"eq-a": "(2.1)"}, {"eq-a": "(2.2)"})) == [
        "eq-a is (2.1) on paper and (2.2) on the site"
    ]
    assert list(check_pdf.number_problems({}, {"fig-a": "Figure 2.1"})) == [
        "fig-a is missing on paper and Figure 2.1 on the site"
    ]
    toc = r"\contentsline {section}{\numberline {2.1}The score \(s\)}{43}{section.2.1}%"
    assert check_pdf.printed_headings(toc) == {"2.1": "the score"}
    (problem,) = check_pdf.heading_problems({"2.1": "the score"}, {"2.1": "a score"})
    assert "2.1" in problem


def test_a_machine_without_tex_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert {"texlive-xetex", "latexmk", "fonts-texgyre", "chromium"} <= set(typeset.missing())


@pytest.mark.skipif(bool(typeset.missing()), reason="no TeX on this machine")
def test_an_error_of_latex_is_shown(tmp_path, capsys):
    (tmp_path / "ostrl.tex").write_text(r"\documentclass{article}\begin{document}\nonsense\end{document}")
    assert typeset.typeset(tmp_path, tmp_path / "out.pdf") == 1
    assert r"\nonsense" in capsys.readouterr().err
    assert shutil.which("xelatex")
    assert not (tmp_path / "out.pdf").exists()


def test_what_folded_code_defines_and_printed_code_uses_is_named():
    folded = "def plain(r):\n    inner = r\n    return inner\n\nfig, ax = draw()\nstart = 1"
    after = ["plain(2)\nax = 3\nprint(ax, inner)", "[start for start in range(3)]"]
    assert left_out.missed(folded, [], after) == ["plain"]
    assert left_out.missed(folded, ["def plain(): ..."], after) == []  # the printed one
    assert left_out.missed(folded, ["plain(1)"], ["print(start)"]) == ["start"]  # not what is used before
    assert left_out.remark(["plain", "start"]).astext().endswith("leaves out: plain, start.")
