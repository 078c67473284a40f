"""Hold the chapters to the book's house rules, so that each of them reads well in every renderer.

    python tools/lint_notebooks.py                # all notebooks
    python tools/lint_notebooks.py notebooks/01_objective.ipynb

Checked: stored outputs (run in order, no errors, no noise), one title, the cell for Colab, figures with caption and alt
text, the small part of MyST that survives outside the book, labels, exercises with a check and a hidden solution, no
traces of a machine. Prints one line a finding: file, cell, what is wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from run_notebooks import CELL_METADATA, FIRST_CELL, canonical, with_first_cell

ROOT = Path(__file__).resolve().parents[1]
PREFIXES = {
    "prf:theorem": "thm",
    "prf:proposition": "prop",
    "prf:lemma": "lem",
    "prf:corollary": "cor",
    "exercise": "ex",
}
DIRECTIVES = {*PREFIXES, "prf:proof", "note", "tip", "warning", "important", "seealso", "admonition"}
ROLES = {
    "prf:ref",
    "eq",
    "numref",
    "ref",
    "cite:p",
    "cite:t",
    "doc",
    "py:func",
    "py:class",
    "py:obj",
    "py:mod",
    "py:meth",
}
LABEL = re.compile(r"(eq|fig|thm|prop|lem|cor|ex)-[a-z0-9]+(-[a-z0-9]+)*")
FOLDERS = "home|root|tmp|work|Users|workspace|content|mnt|opt|private|var/folders"
MACHINE = re.compile(rf"(?<![\w.:/-])/(?:{FOLDERS})/\S+|\b[A-Z]:\\Users|site-packages|\bat 0x[0-9a-f]{{6,}}")
MIN_EXERCISES = 4

Finding = tuple[int, str]


def source(cell: dict[str, Any]) -> str:
    return str(cell["source"])


def without_code(text: str) -> str:
    """Markdown with fenced and inline code blanked out, so that examples are not taken for the real thing."""
    text = re.sub(r"^(```+)[^\n]*\n.*?^\1[ \t]*$", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.M | re.S)
    return re.sub(r"(?<![}`])`[^`\n]+`", lambda m: " " * len(m[0]), text)


def outputs(cells: list[dict[str, Any]]) -> Iterator[Finding]:
    expected = 1
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        if not source(cell).strip():
            yield i, "an empty code cell"
        if cell["execution_count"] != expected:
            yield i, f"execution count {cell['execution_count']} where {expected} is due: run tools/run_notebooks.py"
        expected += 1
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield i, f"a stored error: {output.get('ename')}"
            if output["output_type"] == "stream" and output["name"] == "stderr":
                yield i, "something on stderr"
            data = output.get("data", {})
            if any("widget" in kind for kind in data):
                yield i, "a widget in the stored output, dead in the book"
            text = "".join(str(v) for k, v in data.items() if k.startswith("text/")) + str(output.get("text", ""))
            if "\r" in text or re.search(r"\d(?:it|cell)/s\b", text):
                yield i, "a progress bar in the stored output"


def figures(cells: list[dict[str, Any]]) -> Iterator[Finding]:
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        pictures = sum("image/png" in o.get("data", {}) for o in cell["outputs"])
        about = cell["metadata"].get("mystnb", {})
        image, figure = about.get("image", {}), about.get("figure", {})
        if not pictures and (image or figure):
            yield i, "figure metadata on a cell without a picture"
        if not pictures:
            continue
        if pictures > 1:
            yield i, f"{pictures} pictures in one cell: a figure has one caption, so one picture"
        if len(str(image.get("alt", "")).strip()) < 30:
            yield i, "a figure without a real description (mystnb.image.alt, at least 30 characters)"
        if "dark-light" not in str(image.get("classes", "")):
            yield i, 'a figure without mystnb.image.classes "dark-light"'
        if len(str(figure.get("caption", "")).strip()) < 15:
            yield i, "a figure without a caption (mystnb.figure.caption)"
        name = str(figure.get("name", ""))
        if not (name.startswith("fig-") and LABEL.fullmatch(name)):
            yield i, f"the figure's name {name!r} must read fig-short-name"


def titles(cells: list[dict[str, Any]]) -> Iterator[Finding]:
    found = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            found += [i] * len(re.findall(r"^# \S", without_code(source(cell)), re.M))
    if not cells or cells[0]["cell_type"] != "markdown" or not source(cells[0]).startswith("# "):
        yield 0, "the first cell must open with the title"
    elif not re.search(r"\*\*(?:Running time\.|Time:)\*\* ", source(cells[0])):
        yield 0, "the first cell must say the running time"
    if len(found) != 1:
        yield (found[1] if found else 0), f"{len(found)} titles (# …) where a notebook has one"


def first_cell(notebook: nbformat.NotebookNode) -> Iterator[Finding]:
    if [c.get("id") for c in notebook.cells] != [c.id for c in with_first_cell(notebook).cells]:
        yield 1, "below the title belongs the cell that installs ostrl on Colab: run tools/run_notebooks.py"
    elif notebook.cells[1].source != FIRST_CELL or notebook.cells[1].metadata != {"tags": ["remove-cell"]}:
        yield 1, "the cell that installs ostrl on Colab is the same in every notebook: run tools/run_notebooks.py"
    if notebook.metadata.get("accelerator", "GPU") != "GPU":
        yield 0, "the notebook's accelerator is GPU, or not named at all"


def directive_problems(opening: re.Match[str], body: list[str]) -> Iterator[str]:
    name, argument = opening[2], opening[3].strip()
    options = []
    while body and re.match(r":[a-z-]+:", body[0]):
        options.append(body.pop(0))
    label = next((o.split(":", 2)[2].strip() for o in options if o.startswith(":label:")), "")
    if name not in DIRECTIVES:
        yield f"the directive {{{name}}} is not among those that survive outside the book"
        return
    if argument and (name in PREFIXES or name == "prf:proof"):
        yield f"{{{name}}} takes no title: open the text with a bold name"
    if name in PREFIXES:
        if not label:
            yield f"{{{name}}} needs a :label:"
        elif not (label.startswith(PREFIXES[name] + "-") and LABEL.fullmatch(label)):
            yield f"the label {label!r} of {{{name}}} must read {PREFIXES[name]}-short-name"
        text = next((line for line in body if line.strip()), "")
        if not text.startswith("**"):
            yield f"{{{name}}} must open with its name in bold"
    if name == "prf:proof" and label:
        yield "a proof takes no label"
    if options and body and body[0].strip():
        yield f"{{{name}}} needs a blank line after its options"
    if body and body[-1].strip():
        yield f"{{{name}}} needs a blank line before its closing fence"


def myst(cells: list[dict[str, Any]]) -> Iterator[Finding]:
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        raw = source(cell)
        if re.search(r"^`{3,}\{", raw, re.M):
            yield i, "a directive in backticks: use a colon fence"
        text = without_code(raw)
        lines = text.split("\n")
        for n, line in enumerate(lines):
            opening = re.match(r"(:{3,})\{([\w:-]+)\}(.*)$", line)
            if opening:
                end = next((m for m in range(n + 1, len(lines)) if lines[m].strip() == opening[1]), None)
                if end is None:
                    yield i, f"{{{opening[2]}}} is never closed"
                else:
                    for problem in directive_problems(opening, lines[n + 1 : end]):
                        yield i, problem
        for role in re.findall(r"\{([\w:-]+)\}`", text):
            if role not in ROLES:
                yield i, f"the role {{{role}}} is not among those of the book"
        if re.search(r"(?:^|\n\n)\{(?:eq|prf:ref|numref)\}`", text):
            yield i, "a paragraph opens with a reference: put words before it"
        if re.search(r"^\([\w:-]+\)=", text, re.M):
            yield i, "a (label)= target, invisible outside the book: link to headings"
        if re.search(r"\[\]\(", text):
            yield i, "a link without words"
        for tag in re.findall(r"</?([a-zA-Z][\w-]*)(?:\s[^>]*)?>", re.sub(r"\$[^$]*\$", "", text)):
            if tag not in ("details", "summary", "br"):
                yield i, f"raw HTML <{tag}>: only details and summary are allowed"
        for closing in re.findall(r"^\$\$[ \t]*(\([^)\n]*\))?[ \t]*$", text, re.M):
            name = closing[1:-1]
            if name and not (name.startswith("eq-") and LABEL.fullmatch(name)):
                yield i, f"the equation label {name!r} must read eq-short-name"
        if text.count("$$") % 2:
            yield i, "an equation that opens with $$ is never closed"
        fences = [n for n, line in enumerate(lines) if re.match(r"\$\$[ \t]*(\([^)]*\))?[ \t]*$", line)]
        for first, last in zip(fences[::2], fences[1::2], strict=False):
            before = lines[first - 1].strip() if first else ""
            after = lines[last + 1].strip() if last + 1 < len(lines) else ""
            if (before and not before.startswith(":::")) or (after and not after.startswith(":::")):
                yield i, "an equation needs a blank line before and after it"


def labels_of(cells: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            text = without_code(source(cell))
            for label in re.findall(r"^:label: *(\S+)", text, re.M) + re.findall(
                r"^.*\$\$ \(([^)\n]+)\)[ \t]*$", text, re.M
            ):
                yield i, label
        else:
            name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
            if name:
                yield i, name


def exercises(cells: list[dict[str, Any]], chapter: int) -> Iterator[Finding]:
    starts = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            starts += [(i, label) for label in re.findall(r"^:label: *(ex-\S+)", source(cell), re.M)]
    for n, (i, label) in enumerate(starts, 1):
        if label != f"ex-{chapter}-{n}":
            yield i, f"the exercise {label} should be ex-{chapter}-{n}"
        name = f"{chapter}.{n}"
        end = starts[n][0] if n < len(starts) else len(cells)
        if end <= i:
            yield i, f"exercise {name} shares its cell with the next one"
            continue
        checks = f'exercises.check("{name}"'
        stage = 0  # waiting for: the reader's cell, the solution in words, the solution in code
        for cell in cells[i + 1 : end]:
            hidden = "hide-cell" in cell["metadata"].get("tags", [])
            if stage == 0 and cell["cell_type"] == "code" and checks in source(cell) and not hidden:
                stage = 1
            elif (
                stage == 1
                and cell["cell_type"] == "markdown"
                and f"<summary>Solution of {name}</summary>" in source(cell)
            ):
                if not re.search(r"^<details><summary>[^\n]*\n\n.*\n\n</details>\s*$", source(cell), re.S | re.M):
                    yield i, f"the solution of {name} needs blank lines inside <details>"
                stage = 2
            elif stage == 2 and cell["cell_type"] == "code" and checks in source(cell) and hidden:
                if not cell["metadata"].get("jupyter", {}).get("source_hidden"):
                    yield i, f'hide the solution of {name} in JupyterLab too: "jupyter": {{"source_hidden": true}}'
                stage = 3
        missing = [
            "a cell that checks the reader's answer",
            "a folded solution in words",
            "a hidden cell that runs and checks the solution",
        ]
        if stage < 3:
            yield i, f"exercise {name} lacks {missing[stage]}"
    if chapter and len(starts) < MIN_EXERCISES:
        yield 0, f"{len(starts)} exercises where a chapter has at least {MIN_EXERCISES}"


def traces(notebook: dict[str, Any]) -> Iterator[Finding]:
    for i, cell in enumerate(notebook["cells"]):
        extra = set(cell["metadata"]) - CELL_METADATA
        if extra:
            yield i, f"noise in the cell's metadata: {', '.join(sorted(extra))}"
        text = source(cell)
        for output in cell.get("outputs", []):
            shown = [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
            text += str(output.get("text", "")) + "".join(map(str, shown))
        for trace in MACHINE.findall(text):
            yield i, f"a trace of a machine: {trace}"
    if "widgets" in notebook["metadata"]:
        yield 0, "stored widget state"


def lint(path: Path) -> list[Finding]:
    """Everything wrong with one notebook, as (cell, what)."""
    text = path.read_text(encoding="utf8")
    notebook = nbformat.reads(text, as_version=4)
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return [(0, f"not a valid notebook: {error.message}")]
    name = re.match(r"(?:(\d\d)_)?[a-z][a-z0-9_]*$", path.stem)
    if not name:
        return [(0, "the file's name must read NN_words.ipynb, or words.ipynb for a page that is no chapter")]
    cells = notebook.cells
    found = [
        *outputs(cells),
        *figures(cells),
        *titles(cells),
        *first_cell(notebook),
        *myst(cells),
        *exercises(cells, int(name[1] or 0)),
        *traces(notebook),
    ]
    if text != canonical(notebook):
        found.append((0, "not written the canonical way: run tools/run_notebooks.py"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every notebook of the book")
    paths = parser.parse_args().notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        print("no notebooks to lint", file=sys.stderr)
        return 1
    count, labels = 0, Counter[str]()
    for path in paths:
        for cell, what in sorted(lint(path)):
            print(f"{path.name}, cell {cell + 1}: {what}", file=sys.stderr)
            count += 1
        labels.update(label for _, label in labels_of(nbformat.read(path, as_version=4).cells))
    for label, times in sorted(labels.items()):
        if times > 1:
            print(f"the label {label} is defined {times} times", file=sys.stderr)
            count += 1
    print(f"{len(paths)} notebooks, {count} findings")
    return int(bool(count))


if __name__ == "__main__":
    sys.exit(main())
