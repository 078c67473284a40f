"""Each tool and gate notices what it is there for: a defect is planted, and the finding read back."""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "figures")]

import check_html  # noqa: E402
import check_valid  # noqa: E402
import chromium  # noqa: E402
import claims  # noqa: E402
import configure  # noqa: E402
import gate_pages  # noqa: E402
import lint_notebooks  # noqa: E402
import run_notebooks  # noqa: E402
import vendor  # noqa: E402
from test_figures import differences  # noqa: E402

# ------------------------------------------------------------------------------------------------- a small chapter


def picture(shade: int = 200) -> str:
    grays = np.full((60, 90), 255, dtype=np.uint8)
    grays[10:50, 20:70] = shade
    stream = io.BytesIO()
    Image.fromarray(grays).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def exercise(n: int) -> list[nbformat.NotebookNode]:
    check = f'exercises.check("2.{n}", answer)'
    solved = {"tags": ["hide-cell"], "jupyter": {"source_hidden": True}}
    solution = f"<details><summary>Solution of 2.{n}</summary>\n\nAdd.\n\n</details>"
    return [
        markdown(f":::{{exercise}}\n:label: ex-2-{n}\n\n**Add.** What is the sum?\n\n:::"),
        code(f"answer = None\n{check}"),
        markdown(solution),
        code(f"answer = 2\n{check}", **solved),
    ]


def markdown(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(text)


def code(text: str, outputs: list[Any] | None = None, **metadata: Any) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(text, outputs=outputs or [], metadata=metadata)


PROSE = """# The policy gradient

**Running time.** A second.

## The score

The score is

$$
s(a, o) = \\nabla_\\theta \\log \\pi_\\theta(a \\mid o)
$$ (eq-score)

and it has a property.

:::{prf:proposition}
:label: prop-score-zero-mean

**The score has mean zero.** For every policy with a gradient, the score {eq}`eq-score` has mean zero.

:::

:::{prf:proof}

Differentiate the sum of the probabilities.

:::"""


def chapter() -> nbformat.NotebookNode:
    """A chapter that keeps every rule."""
    figure = {
        "image": {"alt": "A gray square on white ground, wider than it is high.", "classes": "dark-light"},
        "figure": {"caption": "The square is gray everywhere.", "name": "fig-square"},
    }
    drawn = nbformat.v4.new_output("display_data", data={"image/png": picture(), "text/plain": "<Figure>"})
    cells = [markdown(PROSE), code("draw()", [drawn], mystnb=figure, tags=["hide-input"])]
    cells += [cell for n in range(1, 5) for cell in exercise(n)]
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    notebook = run_notebooks.with_first_cell(nbformat.v4.new_notebook(cells=cells))
    for n, cell in enumerate([c for c in notebook.cells if c.cell_type == "code"], 1):
        cell["execution_count"] = n
    return notebook


def findings(notebook: nbformat.NotebookNode, folder: Path, raw: bool = False) -> str:
    path = folder / "02_policy_gradient.ipynb"
    path.write_text(nbformat.writes(notebook) if raw else run_notebooks.canonical(notebook), encoding="utf8")
    return "\n".join(what for _, what in lint_notebooks.lint(path))


# --------------------------------------------------------------------------------------------- the notebooks' lint


def test_the_lint_finds_nothing_in_a_chapter_that_keeps_the_rules(tmp_path: Path) -> None:
    assert findings(chapter(), tmp_path) == ""


def replaced(before: str, after: str) -> Any:
    def change(nb: nbformat.NotebookNode) -> None:
        for cell in nb.cells:
            if before in cell.source:
                cell.source = cell.source.replace(before, after, 1)
                return
        raise AssertionError(f"{before!r} is not in the chapter")

    return change


def put(path: str, value: Any) -> Any:
    """Set (or, with ``None``, delete) an entry such as ``1.metadata.mystnb.image.alt``."""

    def change(nb: nbformat.NotebookNode) -> None:
        first, *keys = path.split(".")
        target = nb.cells[int(first)] if first.isdigit() else nb[first]
        for key in keys[:-1]:
            target = target[int(key) if key.isdigit() else key]
        if value is None:
            del target[keys[-1]]
        else:
            target[keys[-1]] = value

    return change


STREAM = nbformat.v4.new_output("stream", name="stdout", text="loaded /home/ada/data.csv\n")
WARNING = nbformat.v4.new_output("stream", name="stderr", text="a warning\n")
BAR = nbformat.v4.new_output("stream", name="stdout", text="\r 50%, 12.3it/s\n")
RAISED = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])


@pytest.mark.parametrize(
    ("plant", "finding"),
    [
        (put("4.execution_count", 9), "execution count 9 where 3 is due"),
        (put("4.outputs", [RAISED]), "a stored error: ValueError"),
        (put("4.outputs", [WARNING]), "something on stderr"),
        (put("4.outputs", [STREAM]), "a trace of a machine: /home/ada/data.csv"),
        (put("4.outputs", [BAR]), "a progress bar"),
        (put("4.source", ""), "an empty code cell"),
        (lambda nb: nb.cells.pop(1), "below the title belongs the cell that installs ostrl on Colab"),
        (lambda nb: nb.cells.insert(0, nb.cells.pop(1)), "below the title belongs the cell that installs ostrl"),
        (replaced("--quiet", "--upgrade"), "is the same in every notebook"),
        (put("1.metadata.tags", None), "is the same in every notebook"),
        (put("metadata.accelerator", "TPU"), "the notebook's accelerator is GPU"),
        (put("2.metadata.mystnb.image.alt", ""), "without a real description"),
        (put("2.metadata.mystnb.image.classes", None), "dark-light"),
        (put("2.metadata.mystnb.figure.caption", None), "without a caption"),
        (put("2.metadata.mystnb.figure.name", "square"), "must read fig-short-name"),
        (put("2.outputs", []), "figure metadata on a cell without a picture"),
        (replaced("# The policy", "The policy"), "must open with the title"),
        (replaced("**Running time.**", "Running time."), "must say the running time"),
        (replaced("## The score", "# The score"), "2 titles"),
        (replaced(":label: prop-score", ":label: thm-score"), "must read prop-short-name"),
        (replaced(":label: prop-score-zero-mean\n", ""), "needs a :label:"),
        (replaced("**The score has mean zero.**", "The score has mean zero."), "open with its name in bold"),
        (replaced("{prf:proposition}", "{prf:proposition} Zero mean"), "takes no title"),
        (replaced("mean\n\n**", "mean\n**"), "a blank line after its options"),
        (replaced("sum?\n\n:::", "sum?\n:::"), "a blank line before its closing fence"),
        (replaced(":::{prf:proof}", "```{prf:proof}"), "use a colon fence"),
        (replaced("{prf:proof}", "{figure-md}"), "survive outside the book"),
        (replaced("probabilities.\n\n:::", "probabilities."), "never closed"),
        (replaced("{eq}`", "{math}`"), "the role {math}"),
        (replaced("(eq-score)", "(score)"), "must read eq-short-name"),
        (replaced("The score is\n\n", "The score is\n"), "a blank line before and after"),
        (replaced("## The score", "(score)=\n## The score"), "a (label)= target"),
        (replaced("The score is", "The [](#eq-score) is"), "a link without words"),
        (replaced("The score is", "The <b>score</b> is"), "raw HTML <b>"),
        (replaced("and it has", "{eq}`eq-score` has"), "put words before it"),
        (replaced("ex-2-3", "ex-2-7"), "should be ex-2-3"),
        (replaced('exercises.check("2.2", answer)', "answer"), "exercise 2.2 lacks a cell that checks"),
        (replaced("Solution of 2.4", "Answer to 2.4"), "exercise 2.4 lacks a folded solution"),
        (put("6.metadata.tags", []), "exercise 2.1 lacks a hidden cell"),
        (put("6.metadata.jupyter", None), "hide the solution of 2.1 in JupyterLab too"),
        (lambda nb: nb.cells.__delitem__(slice(-4, None)), "3 exercises where a chapter has at least 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_lint_notices(plant: Any, finding: str, tmp_path: Path) -> None:
    notebook = chapter()
    plant(notebook)
    assert finding in findings(notebook, tmp_path)


def test_the_lint_notices_noise_and_another_way_of_writing(tmp_path: Path) -> None:
    notebook = chapter()
    notebook.cells[4].metadata["execution"] = {"iopub.execute_input": "2025-04-29"}
    text = findings(notebook, tmp_path, raw=True)
    assert "noise in the cell's metadata: execution" in text
    assert "not written the canonical way" in text


def test_the_lint_fails_on_a_label_that_two_chapters_define(tmp_path: Path) -> None:
    text = run_notebooks.canonical(chapter())
    paths = [tmp_path / "01_first.ipynb", tmp_path / "02_second.ipynb"]
    for path in paths:
        path.write_text(text, encoding="utf8")
    run = subprocess.run(
        [sys.executable, ROOT / "tools/lint_notebooks.py", *paths], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "the label eq-score is defined 2 times" in run.stderr


# ------------------------------------------------------------------------------------------- running the notebooks


def test_running_a_notebook_twice_changes_no_byte_and_keeps_the_ids(tmp_path: Path) -> None:
    setting = "import os\nprint(os.environ['BOOK_BUILD'], os.environ['TQDM_DISABLE'])"
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    cells = [markdown("# Title"), code(setting), code(draw)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"accelerator": "GPU", "colab": {"provenance": []}})
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"kept-{i}"
    path = tmp_path / "00_small.ipynb"
    nbformat.write(notebook, path)
    assert run_notebooks.run(path) is True
    assert run_notebooks.run(path) is False
    stored = nbformat.read(path, as_version=4)
    assert [cell.id for cell in stored.cells] == ["kept-0", "install", "kept-1", "kept-2"]
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2, 3]
    assert stored.cells[1].source == run_notebooks.FIRST_CELL
    assert stored.cells[1].outputs == []  # it does nothing here
    assert stored.cells[2].outputs[0].text == "1 1\n"
    assert stored.metadata.accelerator == "GPU"
    assert all(set(cell.metadata) <= run_notebooks.CELL_METADATA for cell in stored.cells)
    (png,) = [o.data["image/png"] for o in stored.cells[3].outputs if "image/png" in o.get("data", {})]
    assert b"Software" not in base64.b64decode(png)


def test_a_picture_keeps_the_size_that_it_is_shown_at() -> None:
    notebook = chapter()
    size = {"height": 30, "width": 45}
    notebook.cells[2].outputs[0].metadata = {"needs_background": "light", "image/png": size | {"unconfined": True}}
    stored = nbformat.reads(run_notebooks.canonical(notebook), as_version=4)
    assert stored.cells[2].outputs[0].metadata == {"image/png": size}


def test_a_picture_loses_its_software_and_keeps_its_pixels() -> None:
    png = base64.b64decode(picture())
    length = len(b"Software\0drawn").to_bytes(4, "big")
    noisy = png[:33] + length + b"tEXtSoftware\0drawn" + b"\0\0\0\0" + png[33:]
    assert run_notebooks.without_text_chunks(noisy) == png


# ------------------------------------------------------------------------------------------------------- figures


def test_the_figure_check_notices_another_a_missing_and_an_extra_picture() -> None:
    stored = chapter()
    assert differences(stored, copy.deepcopy(stored)) == []
    changed, missing = chapter(), chapter()
    grays = np.random.default_rng(0).integers(0, 255, (60, 90), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(grays).save(stream, "png")
    changed.cells[2].outputs[0].data["image/png"] = base64.b64encode(stream.getvalue()).decode()
    missing.cells[2].outputs = []
    assert "fig-square: similarity" in differences(stored, changed)[0]
    assert differences(stored, missing) == ["fig-square: stored, but not drawn"]
    assert differences(missing, stored) == ["fig-square: drawn, but not stored"]


# ---------------------------------------------------------------------------------------------------- the ledger

GOOD = {
    "ostrl/exact.py": 'def scores():\n    """The score. Implements ``eq-score``."""\n',
    "tests/test_claims.py": "import pytest\n\n@pytest.mark.claim('prop-score-zero-mean')\n"
    "def test_mean():\n    assert scores().sum() == 0\n",
}


def project(folder: Path, **files: str) -> claims.Ledger:
    """A project with one chapter, one function and one test; ``files`` replace its files (``__`` for ``/``)."""
    contents = GOOD | {name.replace("__", "/") + ".py": text for name, text in files.items()}
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf8")
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(chapter(), folder / "notebooks/02_policy_gradient.ipynb")
    return claims.Ledger.read(folder)


def test_the_ledger_is_content_when_claims_code_and_tests_meet(tmp_path: Path) -> None:
    ledger = project(tmp_path)
    assert ledger.problems() == []
    assert [claim.name for claim in ledger.claims] == ["The score has mean zero"]
    assert ledger.claims[0].equations == ["eq-score"]
    assert ledger.named == {"eq-score": ["ostrl.exact.scores"]}


MARK = "import pytest\n\n@pytest.mark.claim('prop-score-zero-mean')\n"


@pytest.mark.parametrize(
    ("test", "finding"),
    [
        ("def test_nothing():\n    pass\n", "has no test"),
        (GOOD["tests/test_claims.py"].replace("zero-mean", "zero"), "a test for prop-score-zero, which no chapter"),
        (MARK + "def test_mean():\n    scores()\n", "asserts nothing"),
        (MARK + "def test_mean():\n    assert True\n", "asserts nothing"),
        (MARK + "def test_mean():\n    assert 1 + 1 == 2\n", "asserts nothing"),
        (MARK + "def test_mean():\n    return\n    assert scores() == 0\n", "stops before it asserts"),
        (MARK + "def test_mean():\n    pytest.skip('later')\n    assert scores() == 0\n", "skips itself"),
        (MARK + "@pytest.mark.skip\ndef test_mean():\n    assert scores() == 0\n", "is skipped"),
        (MARK + "@pytest.mark.xfail\ndef test_mean():\n    assert scores() == 0\n", "is marked xfail"),
        (MARK + "@pytest.mark.xfail(reason='hm')\ndef test_mean():\n    assert scores() == 0\n", "is marked xfail"),
        (MARK + "@pytest.mark.skipif(True, reason='')\ndef test_mean():\n    assert scores() == 0\n", "always true"),
        (MARK + "@pytest.mark.parametrize('x', [])\ndef test_mean(x):\n    assert x == 0\n", "no parameters"),
        (MARK + "def mean():\n    assert scores() == 0\n", "not collected by pytest"),
        ("import pytest\npytestmark = pytest.mark.skip\n" + MARK + "def test_m():\n    assert f()\n", "is skipped"),
    ],
)
def test_the_ledger_notices_a_test_that_proves_nothing(test: str, finding: str, tmp_path: Path) -> None:
    assert finding in "\n".join(project(tmp_path, tests__test_claims=test).problems())


def test_the_ledger_accepts_assertions_in_a_helper_and_in_a_library(tmp_path: Path) -> None:
    helper = "def same(x):\n    assert x == 0\n\n" + MARK + "def test_mean():\n    same(scores())\n"
    library = MARK + "def test_mean():\n    torch.testing.assert_close(scores(), zero)\n"
    assert project(tmp_path, tests__test_claims=helper).problems() == []
    assert project(tmp_path, tests__test_claims=library).problems() == []


def test_the_ledger_notices_a_docstring_that_names_what_no_chapter_defines(tmp_path: Path) -> None:
    text = 'def f():\n    """Implements ``eq-nowhere`` and ``prop-nothing``."""\n'
    problems = project(tmp_path, ostrl__exact=text).problems()
    assert "ostrl.exact.f: the docstring names equation eq-nowhere, which no chapter defines" in problems
    assert "ostrl.exact.f: the docstring names claim prop-nothing, which no chapter states" in problems


def test_the_ledger_names_a_function_as_the_folder_that_hands_it_on_does(tmp_path: Path) -> None:
    folder = tmp_path / "ostrl/exact"
    folder.mkdir(parents=True)
    inner = '\ndef _inner():\n    """Also ``eq-score``."""\n'
    (folder / "values.py").write_text(GOOD["ostrl/exact.py"] + inner, encoding="utf8")
    (folder / "__init__.py").write_text("from ostrl.exact.values import scores\n", encoding="utf8")
    names = project(tmp_path, ostrl__exact="").named["eq-score"]
    assert names == ["ostrl.exact.scores", "ostrl.exact.values._inner"]


def test_the_ledger_notices_a_duplicate_label(tmp_path: Path) -> None:
    project(tmp_path)
    nbformat.write(chapter(), tmp_path / "notebooks/03_again.ipynb")
    assert "the label eq-score is defined 2 times" in claims.Ledger.read(tmp_path).problems()


def test_the_ledger_pages_link_claim_equation_code_and_test(tmp_path: Path) -> None:
    ledger = project(tmp_path)
    page = claims.claims_page(ledger, {"ostrl.exact"}, None)
    for link in ("{prf:ref}`prop-score-zero-mean`", "{eq}`eq-score`", "{py:obj}`exact.scores <ostrl.exact.scores>`"):
        assert link in page
    assert "  - mean\n" in page
    assert "The tests are in `tests/test_claims.py`." in page
    index = claims.equations_page(ledger, {"ostrl.exact"}, "ada/ostrl")
    assert "\\nabla_\\theta \\log \\pi_\\theta" in index
    assert "(https://github.com/ada/ostrl/blob/main/tests/test_claims.py)" in index


# ------------------------------------------------------------------------------------------------ the built pages

FIGURE = '<figure id="f"><img src="a.png" alt="A falling line"><figcaption>It falls.</figcaption></figure>'


@pytest.mark.parametrize(
    ("html", "finding"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', "loads https://cdn.example.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "loads //fonts.example.org/x.css"),
        ('<style>@import "https://fonts.example.org/x.css";</style>', "a style loads from elsewhere"),
        ('<main><img src="a.png" alt=""></main>', "no description"),
        ('<main><img src="a.png" alt="../_images/a.png"></main>', "no description"),
        (f"<main>{FIGURE.replace('It falls.', '')}</main>", "no caption on the figure f"),
        ('<main><div class="cell_output"><img src="a.png" alt="A line"></div></main>', "outside a captioned figure"),
        ('<main><p id="a"></p><p id="a"></p></main>', "the id a occurs 2 times"),
        ('<main><article class="bd-article"><h1>A</h1><h1>B</h1></article></main>', "2 top headings"),
    ],
)
def test_the_html_gate_notices(html: str, finding: str) -> None:
    assert finding in "\n".join(check_html.page_problems(BeautifulSoup(html, "html.parser")))


def test_the_html_gate_lets_a_sound_page_pass_and_an_empty_site_fail(tmp_path: Path) -> None:
    sound = (
        f'<link rel="canonical" href="https://example.org/"><main><a href="https://example.org/">x</a>{FIGURE}</main>'
    )
    assert list(check_html.page_problems(BeautifulSoup(sound, "html.parser"))) == []
    assert list(check_html.problems(tmp_path)) == [f"no pages under {tmp_path}"]


def record(**seen: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "external": [],
        "missing": [],
        "console": [],
        "wide": [],
        "math": [],
        "images": [],
        "axe": [],
        "weight": 1_000_000,
    }
    return {"pages": {"book/intro.html": {"390 light": empty | seen}}}


def axe(rule: str, html: str) -> dict[str, Any]:
    return record(axe=[{"rule": rule, "impact": "serious", "target": "p", "html": html}])


@pytest.mark.parametrize(
    ("report", "finding"),
    [
        (record(external=["https://cdn.example.org/"]), "asks for another machine: https://cdn.example.org/"),
        (record(missing=["404 /x.js"]), "answered with an error: 404 /x.js"),
        (record() | {"lost": {"missing": ["404 /ostrl/x.js"]}}, "at an unknown address: answered with an error: 404"),
        (record(console=["uncaught TypeError"]), "error: uncaught TypeError"),
        (record(wide=["pre to 600 px"]), "wider than the window: pre to 600 px"),
        (record(math=["not rendered: x"]), "mathematics: not rendered: x"),
        (axe("color-contrast", "<p>"), "axe color-contrast (serious)"),
        (axe("region", "<div class='ours'>"), "axe region"),
        (record() | {"search": 0}, "the search of the built site finds nothing"),
        (record() | {"search": 9, "signs": False}, "finds nothing for ∇"),
        (record() | {"search": 9, "passage": "On this page"}, "shows no passage that says gradient"),
        (record() | {"named": ""}, "offers nothing for Theorem 2.2"),
        (record() | {"meant": ""}, "takes gradinet for nothing, not gradient"),
        (record() | {"turned": ["a.html: 3 of 3 equations stay broken"]}, "a.html: 3 of 3 equations stay broken"),
        (record() | {"keyboard": ["a.html: .copybtn loses"]}, "by keyboard: a.html: .copybtn loses"),
        (record(weight=3_100_000), "loads 3.1 MB where 3 are allowed"),
        (record() | {"answers": {"a.html": {"time": 2100, "held": 50}}}, "a.html: answers after 2100 ms"),
        (record() | {"answers": {"a.html": {"time": 900, "held": 250}}}, "held up for 250 ms"),
        (record() | {"previews": ["a.html: term: cut off"]}, "preview of a link: a.html: term: cut off"),
    ],
)
def test_the_page_gate_notices(report: dict[str, Any], finding: str) -> None:
    assert finding in "\n".join(gate_pages.judge(report))


def test_the_page_gate_excuses_the_theme_alone_and_wants_its_list_to_shrink() -> None:
    theme = axe("region", '<div class="sidebar-primary-item">')
    assert gate_pages.judge(record()) == []
    assert gate_pages.judge(theme) == []
    theme["pages"][gate_pages.BLANK_PAGE] = theme["pages"]["book/intro.html"]
    assert gate_pages.judge(theme) == []
    theme["pages"][gate_pages.BLANK_PAGE] = record()["pages"]["book/intro.html"]
    (line,) = gate_pages.judge(theme)
    assert "no longer brings region" in line


def test_pages_that_are_no_html_are_found_and_a_missing_java_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "<!DOCTYPE html><html lang='en'><head><title>x</title></head><body>{}</body></html>"
    (tmp_path / "a.html").write_text(page.format("<p>text</p>"), encoding="utf8")
    (tmp_path / "b.html").write_text(page.format("<span><div>text</div></span>"), encoding="utf8")
    java = shutil.which("java")
    if java and check_valid.CHECKER.exists():
        (finding,) = check_valid.errors(java, tmp_path)
        assert finding.startswith("b.html: Element “div” not allowed as child of element “span”")
    monkeypatch.setattr(sys, "argv", ["check_valid.py", str(tmp_path)])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for ci, expected in (("", 0), ("true", 1)):
        monkeypatch.setenv("CI", ci)
        assert check_valid.main() == expected
        assert "HTML NOT VALIDATED" in capsys.readouterr().out


def test_without_chromium_the_browser_checks_say_so_and_fail_on_ci(tmp_path: Path) -> None:
    if not shutil.which("node"):
        pytest.skip("no node on PATH")
    report = tmp_path / "pages.json"
    command = ["node", str(ROOT / "tools/check_pages.mjs"), str(tmp_path), str(report)]
    for ci, expected in (("", 0), ("true", 1)):
        env = os.environ | {"CHROMIUM": str(tmp_path / "nothing"), "CI": ci}
        run = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        gate = [sys.executable, ROOT / "tools/gate_pages.py", report]
        judged = subprocess.run(gate, capture_output=True, text=True, env=env, check=False)
        assert (run.returncode, judged.returncode) == (expected, expected)
        assert "BROWSER CHECKS SKIPPED" in run.stderr
        assert "BROWSER CHECKS SKIPPED" in judged.stdout


PLANTED = """<!doctype html><html lang="en" data-theme="light"><head><title>Planted</title>
<script>matchMedia('(prefers-color-scheme: dark)').onchange = e =>
  { document.documentElement.dataset.theme = e.matches ? 'dark' : 'light'; };</script></head>
<body><main><h1>Planted</h1><img src="https://elsewhere.example/a.png">
<img src="gone.png" alt="A picture that is not there"><div style="width: 900px">wide</div>
<span class="math">\\(x\\)</span><script>throw new Error('planted')</script></main></body></html>"""


def test_the_browser_sees_planted_defects(tmp_path: Path) -> None:
    if not chromium.find() or not (ROOT / "node_modules/playwright-core").exists():
        pytest.skip("no Chromium, or no node_modules")
    (tmp_path / "planted.html").write_text(PLANTED, encoding="utf8")
    report = tmp_path / "pages.json"
    command = ["node", str(ROOT / "tools/check_pages.mjs"), str(tmp_path), str(report)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    lines = "\n".join(gate_pages.judge(json.loads(report.read_text(encoding="utf8"))))
    for finding in (
        "asks for another machine: https://elsewhere.example/a.png",
        "answered with an error: 404 /gone.png",
        "uncaught Error: planted",
        "[390 light, 390 dark]: wider than the window",
        "mathematics: not rendered",
        "axe image-alt (critical)",
    ):
        assert finding in lines


# ------------------------------------------------------------------------------------------- address, vendored files


def settings(**env: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    return configure.configured(config, env)


def test_without_an_address_none_is_invented() -> None:
    text = yaml.safe_dump(settings()).replace("ostrl_colab", "")  # an extension, on every site
    for word in ("github", "colab", "mybinder", "baseurl", "sitemap", "opengraph", "ogp"):
        assert word not in text


def test_one_setting_gives_every_address() -> None:
    config = settings(OSTRL_REPOSITORY="Ada/ostrl")
    assert config["repository"]["url"] == "https://github.com/Ada/ostrl"
    assert config["html"]["baseurl"] == "https://ada.github.io/ostrl/"
    assert config["sphinx"]["config"]["ogp_site_url"] == "https://ada.github.io/ostrl/"
    assert "colab_url" in config["launch_buttons"]
    assert (
        settings(OSTRL_REPOSITORY="ada/ostrl", OSTRL_SITE="https://ada.org/b")["html"]["baseurl"]
        == "https://ada.org/b/"
    )


@pytest.mark.parametrize("wrong", ["ostrl", "https://github.com/ada/ostrl", "ada/ostrl/book"])
def test_a_wrong_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="owner/name"):
        configure.addresses({"OSTRL_REPOSITORY": wrong})


def test_vendoring_says_what_to_run_when_node_modules_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="npm ci"):
        vendor.vendor(tmp_path, tmp_path / "vendor")


def test_every_public_module_has_a_page_in_the_api_reference() -> None:
    modules = {
        f"ostrl.{path.stem if path.is_file() else path.name}"
        for path in (ROOT / "ostrl").iterdir()
        if (path.suffix == ".py" and not path.stem.startswith("_")) or (path / "__init__.py").exists()
    }
    assert modules <= claims.documented(ROOT) | {"ostrl.results"}


def test_an_equation_without_a_label_does_not_swallow_the_text_up_to_the_next_label() -> None:
    text = (
        "$$\na\n$$\n\nprose\n\n$$\nb\n$$ (eq-b)\n\n$$c$$ (eq-c)\n\nmore\n\n$$\nd\n$$\n\nprose\n\n$$ e\nf\n$$ (eq-f)\n"
    )
    found = [(label, latex) for _, label, latex in claims.labeled_equations(text)]
    assert found == [("eq-b", "b"), ("eq-c", "c"), ("eq-f", "e\nf")]
