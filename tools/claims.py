"""The claims ledger: what the chapters claim, what the code implements, what the tests prove.

    python tools/claims.py check    # fail where the three do not meet
    python tools/claims.py pages    # write book/generated/claims.md and book/generated/equations.md

A claim is a labeled theorem, proposition, lemma or corollary of a notebook. Its test carries
``@pytest.mark.claim("prop-…")``. A function of ``ostrl`` names the label of the equation it implements in its
docstring. Nothing is imported or run: notebooks are read as JSON, code as syntax trees.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PREFIXES = {"theorem": "thm", "proposition": "prop", "lemma": "lem", "corollary": "cor"}
LABEL = re.compile(r"\b((?:eq|thm|prop|lem|cor)-[a-z0-9]+(?:-[a-z0-9]+)*)\b")
CLAIM = re.compile(r"^:::+\{prf:(theorem|proposition|lemma|corollary)\}[^\n]*\n(.*?)^:::+[ \t]*$", re.M | re.S)
ASSERTING = re.compile(r"^(raises|assert\w*)$")

Helpers = dict[str, ast.AST]  # functions that a test may leave its assertions to


@dataclass(frozen=True)
class Claim:
    label: str
    kind: str
    name: str
    body: str
    notebook: str

    @property
    def equations(self) -> list[str]:
        """Labels of the equations in the statement or named by it."""
        found = [label for _, label, _ in labeled_equations(self.body)]
        found += re.findall(r"\{eq\}`([^`]+)`", self.body)
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Equation:
    label: str
    latex: str
    notebook: str
    section: str


@dataclass
class Chapter:
    notebook: str
    title: str
    claims: list[Claim] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    other_labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Test:
    path: str
    name: str
    labels: tuple[str, ...]
    problem: str | None


# chapters


def labeled_equations(text: str) -> list[tuple[int, str, str]]:
    """Where each labeled display equation of a cell starts, its label, and its LaTeX."""
    found, opened, position = [], None, 0
    for line in text.splitlines(keepends=True):
        fence = re.fullmatch(r"\$\$(.*?)(?:\$\$)?[ \t]*(?:\(([^()\n]+)\))?[ \t]*\n?", line)
        whole = re.fullmatch(r"\$\$(.+?)\$\$[ \t]*(?:\(([^()\n]+)\))?[ \t]*\n?", line)
        if opened is None and whole:
            if whole[2]:
                found.append((position, whole[2], whole[1].strip()))
        elif fence and line.startswith("$$"):
            if opened is None:
                opened = position
            else:
                if fence[2]:
                    latex = text[opened:position].removeprefix("$$").strip()
                    found.append((opened, fence[2], latex))
                opened = None
        position += len(line)
    return found


def read_chapter(path: Path) -> Chapter:
    """The claims and the labeled equations of one notebook, in reading order."""
    chapter, section = Chapter(path.stem, path.stem), ""
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    for cell in cells:
        if cell["cell_type"] != "markdown":
            name = cell.get("metadata", {}).get("mystnb", {}).get("figure", {}).get("name")
            chapter.other_labels += [name] if name else []
            continue
        text = "".join(cell["source"])
        events: list[tuple[int, str, Any]] = [
            (m.start(), "heading", m) for m in re.finditer(r"^(#{1,3}) (.+)$", text, re.M)
        ]
        events += [(start, "equation", (label, latex)) for start, label, latex in labeled_equations(text)]
        events += [(m.start(), "claim", m) for m in CLAIM.finditer(text)]
        for _, kind, match in sorted(events, key=lambda event: event[0]):
            if kind == "heading":
                section = match[2].strip()
                if len(match[1]) == 1:
                    chapter.title = section
            elif kind == "equation":
                chapter.equations.append(Equation(*match, path.stem, section))
            else:
                body = match[2]
                label = re.search(r"^:label: *(\S+)", body, re.M)
                name = re.search(r"\*\*(.+?)\*\*", body, re.S)
                title = " ".join(name[1].split()).rstrip(".") if name else ""
                chapter.claims.append(Claim(label[1] if label else "", match[1], title, body, path.stem))
        chapter.other_labels += re.findall(r"^:label: *(ex-\S+)", text, re.M)
    return chapter


# code


def docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of a module and of every function and class in it."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        yield name, ast.get_docstring(node) or ""  # type: ignore[arg-type]
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, f"{name}.{child.name}")

    yield from walk(ast.parse(path.read_text(encoding="utf8")), module)


def public_names(folder: Path, package: str) -> dict[str, str]:
    """Where a folder of modules hands names on: the qualified name of each -> the one it is documented under."""
    handed = ast.parse((folder / "__init__.py").read_text(encoding="utf8")).body
    return {
        f"{node.module}.{alias.name}": f"{package}.{alias.asname or alias.name}"
        for node in handed
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}.")
        for alias in node.names
    }


def read_package(package: Path) -> dict[str, list[str]]:
    """Label -> qualified names whose docstrings name it."""
    named: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        inner = len(parts) > 2 and parts[-1] != "__init__"
        public = public_names(path.parent, ".".join(parts[:-1])) if inner else {}
        for name, text in docstrings(path, module):
            owner = next((known for known in public if name == known or name.startswith(f"{known}.")), None)
            name = public[owner] + name.removeprefix(owner) if owner else name
            for label in dict.fromkeys(LABEL.findall(text)):
                named[label].append(name)
    return dict(named)


# tests


def mark(decorator: ast.expr) -> tuple[str, ast.Call | None]:
    """The mark's name ("claim" of ``pytest.mark.claim(...)``) and its call, if it is called."""
    call = decorator if isinstance(decorator, ast.Call) else None
    target = call.func if call else decorator
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Attribute) and target.value.attr == "mark":
        return target.attr, call
    return "", call


def strings(call: ast.Call | None) -> list[str]:
    return [a.value for a in (call.args if call else []) if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def constant(node: ast.expr) -> bool:
    """Whether an expression is made of literals alone, so that asserting it proves nothing."""
    return not any(isinstance(child, ast.Name | ast.Call | ast.Attribute) for child in ast.walk(node))


def called(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            if isinstance(child.func, ast.Name):
                yield child.func.id
            elif isinstance(child.func, ast.Attribute):
                yield child.func.attr


def asserts(node: ast.AST, helpers: Helpers, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a test can fail: an assert on something computed, a known assertion, or a helper that has one."""
    if any(isinstance(child, ast.Assert) and not constant(child.test) for child in ast.walk(node)):
        return True
    for name in called(node):
        if ASSERTING.match(name):
            return True
        if name in helpers and name not in seen and asserts(helpers[name], helpers, seen | {name}):
            return True
    return False


def never_runs(decorator: ast.expr) -> str | None:
    """The reason a mark keeps a test from running, or from failing, whatever it says."""
    name, call = mark(decorator)
    arguments = call.args if call else []
    if name == "skip":
        return "is skipped"
    if name == "xfail" and not arguments:
        return "is marked xfail"
    if name in ("skipif", "xfail") and isinstance(arguments[0], ast.Constant) and arguments[0].value:
        return f"is marked {name} on a condition that is always true"
    values = arguments[1] if name == "parametrize" and len(arguments) > 1 else None
    if isinstance(values, ast.List | ast.Tuple) and not values.elts:
        return "has no parameters to run with"
    return None


def why_not(function: ast.FunctionDef | ast.AsyncFunctionDef, marks: list[ast.expr], helpers: Helpers) -> str | None:
    """The reason a claim's test proves nothing, or ``None``."""
    if not function.name.startswith("test"):
        return "is not collected by pytest: its name must start with test"
    for decorator in marks:
        if reason := never_runs(decorator):
            return reason
    reached = []
    for statement in function.body:
        if isinstance(statement, ast.Expr) and next(called(statement), "") in ("skip", "xfail"):
            return "skips itself"
        if isinstance(statement, ast.Return | ast.Raise):
            break
        reached.append(statement)
    if not any(asserts(statement, helpers) for statement in reached):
        return "asserts nothing" if len(reached) == len(function.body) else "stops before it asserts anything"
    return None


def marked_tests(
    body: list[ast.stmt], outer: list[ast.expr], prefix: str, path: str, helpers: Helpers
) -> Iterator[Test]:
    """The tests of a module or a class that carry a claim mark, their own or their class's."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            inner = outer + node.decorator_list
            yield from marked_tests(node.body, inner, f"{prefix}{node.name}::", path, helpers)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = outer + node.decorator_list
            labels = tuple(text for d in marks if mark(d)[0] == "claim" for text in strings(mark(d)[1]))
            own = any(mark(d)[0] == "claim" for d in node.decorator_list)
            if labels and (own or node.name.startswith("test")):
                yield Test(path, prefix + node.name, labels, why_not(node, marks, helpers))


def read_tests(folder: Path) -> list[Test]:
    """Every test that carries a claim mark, and what is wrong with it."""
    trees = {path: ast.parse(path.read_text(encoding="utf8")) for path in sorted(folder.rglob("*.py"))}
    shared: Helpers = {}
    for path, tree in trees.items():
        if not path.name.startswith("test_"):
            shared |= {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    tests: list[Test] = []
    for path, tree in trees.items():
        helpers = shared | {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        module_marks: list[ast.expr] = []
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "pytestmark" for t in node.targets):
                module_marks += node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        tests += marked_tests(tree.body, module_marks, "", path.relative_to(folder.parent).as_posix(), helpers)
    return tests


# the ledger


@dataclass
class Ledger:
    chapters: list[Chapter]
    named: dict[str, list[str]]
    tests: list[Test]

    @classmethod
    def read(cls, root: Path) -> Ledger:
        chapters = [read_chapter(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]
        return cls(chapters, read_package(root / "ostrl"), read_tests(root / "tests"))

    @property
    def claims(self) -> list[Claim]:
        return [claim for chapter in self.chapters for claim in chapter.claims]

    @property
    def equations(self) -> list[Equation]:
        return [equation for chapter in self.chapters for equation in chapter.equations]

    def tests_of(self, label: str) -> list[Test]:
        return [test for test in self.tests if label in test.labels]

    def problems(self) -> list[str]:
        """What does not meet, one readable line each."""
        claims = {claim.label: claim for claim in self.claims}
        equations = {equation.label for equation in self.equations}
        found = []
        for claim in self.claims:
            where = f"notebooks/{claim.notebook}.ipynb"
            if not claim.label:
                found.append(f'{where}: the {claim.kind} "{claim.name}" has no label')
                continue
            if not claim.label.startswith(PREFIXES[claim.kind] + "-"):
                found.append(
                    f"{where}: the label {claim.label} of a {claim.kind} must start with {PREFIXES[claim.kind]}-"
                )
            if not claim.name:
                found.append(f"{where}: the claim {claim.label} must open with its name in bold")
            if not self.tests_of(claim.label):
                found.append(
                    f'{where}: the claim {claim.label} has no test: mark one with @pytest.mark.claim("{claim.label}")'
                )
        for test in self.tests:
            for label in test.labels:
                if label not in claims:
                    found.append(f"{test.path}::{test.name} is a test for {label}, which no chapter claims")
            if test.problem:
                found.append(f"{test.path}::{test.name} stands for {', '.join(test.labels)} but {test.problem}")
        for label, names in sorted(self.named.items()):
            if label.startswith("eq-") and label not in equations:
                found.append(f"{', '.join(names)}: the docstring names equation {label}, which no chapter defines")
            elif not label.startswith("eq-") and label not in claims:
                found.append(f"{', '.join(names)}: the docstring names claim {label}, which no chapter states")
        labels = [c.label for c in self.claims if c.label] + [e.label for e in self.equations]
        labels += [label for chapter in self.chapters for label in chapter.other_labels]
        for label, count in sorted(Counter(labels).items()):
            if count > 1:
                found.append(f"the label {label} is defined {count} times")
        return found


# pages


def documented(root: Path) -> set[str]:
    """Modules that have a page in the API reference."""
    pages = [path.read_text(encoding="utf8") for path in (root / "book/api").glob("*.md")]
    return {module for page in pages for module in re.findall(r"automodule:: (\S+)", page)}


def is_documented(name: str, modules: set[str]) -> bool:
    """Whether the API reference has an entry for a function, a class or a method."""
    public = name not in modules and not any(part.startswith("_") for part in name.split("."))
    return public and any(name.startswith(module + ".") for module in modules)


def documented_names(root: Path) -> dict[str, list[str]]:
    """Label -> the functions, classes and methods that name it, where the API reference has them."""
    modules = documented(root)
    found = {
        label: [name for name in names if is_documented(name, modules)]
        for label, names in read_package(root / "ostrl").items()
    }
    return {label: names for label, names in found.items() if names}


def code_links(names: list[str], modules: set[str]) -> str:
    def link(name: str) -> str:
        short = name.removeprefix("ostrl.")
        if name in modules:
            return f"{{py:mod}}`{short} <{name}>`"
        if is_documented(name, modules):
            return f"{{py:obj}}`{short} <{name}>`"
        return f"`{short}`"

    return "<br>".join(link(name) for name in names) if names else "–"


def test_links(tests: list[Test], repository: str | None, home: str | None) -> str:
    """The tests as the sentences they are named with; the file only where it is not the chapter's own."""

    def link(test: Test) -> str:
        words = " · ".join(part.removeprefix("test_").replace("_", " ") for part in test.name.split("::"))
        if test.path != home:
            words += f" ({test.path})"
        return f"[{words}](https://github.com/{repository}/blob/main/{test.path})" if repository else words

    return "\n\n".join(map(link, tests)) or "–"


def files_line(ledger: Ledger, chapter: Chapter) -> tuple[str | None, list[str]]:
    """The file that holds most of a chapter's tests, and the line that names it above the table."""
    counts = Counter(test.path for claim in chapter.claims for test in ledger.tests_of(claim.label))
    if not counts:
        return None, []
    home = counts.most_common(1)[0][0]
    return home, [f"The tests are in `{home}`.", ""]


def table(classes: str, header: list[str], rows: list[list[str]]) -> list[str]:
    """A MyST list-table, whose rows become cards on a phone (book.css)."""
    lines = ["::::{list-table}", ":header-rows: 1", f":class: ledger {classes}", ""]
    for row in [header, *rows]:
        for i, text in enumerate(row):
            first, *rest = text.replace("<br>", "\\\n").split("\n")
            lines.append(("* - " if i == 0 else "  - ") + first)
            lines += ["    " + line if line else "" for line in rest]
    return [*lines, "::::", ""]


def chapter_heading(chapter: Chapter) -> str:
    number = int(chapter.notebook.split("_")[0])
    link = f"[{chapter.title}](../../notebooks/{chapter.notebook}.ipynb)"
    return f"## {f'Chapter {number} · ' if number else ''}{link}"


def claims_page(ledger: Ledger, modules: set[str], repository: str | None) -> str:
    lines = [
        "# Claims ledger",
        "",
        "Every theorem, proposition, lemma and corollary of the book is a claim. Each has at least one test that fails",
        "if the claim is false, mostly by summing over every case there is. The ledger is written by `tools/claims.py`",
        "from the chapters, the docstrings and the tests; `make test` fails where the three do not meet.",
        "",
        f"Claims: {len(ledger.claims)}. Tests that stand for them: {len(ledger.tests)}.",
        "",
    ]
    for chapter in ledger.chapters:
        if not chapter.claims:
            continue
        rows: list[list[str]] = []
        home, where = files_line(ledger, chapter)
        for claim in chapter.claims:
            names = [n for label in [claim.label, *claim.equations] for n in ledger.named.get(label, [])]
            equations = " ".join(f"{{eq}}`{label}`" for label in claim.equations) or "–"
            rows.append(
                [
                    f"**{claim.name}**<br>{{prf:ref}}`{claim.label}`",
                    equations,
                    code_links(list(dict.fromkeys(names)), modules),
                    test_links(ledger.tests_of(claim.label), repository, home),
                ]
            )
        lines += [chapter_heading(chapter), "", *where, *table("claims", ["Claim", "Equations", "Code", "Tests"], rows)]
    return "\n".join(lines)


def equations_page(ledger: Ledger, modules: set[str], repository: str | None) -> str:
    lines = [
        "# Equation index",
        "",
        "Every equation with a name, the section that derives it, the code that implements it, and the tests of the",
        "claims that use it. A function names its equation in its docstring, and `make test` fails where it names one",
        "that no chapter defines. The index is written by `tools/claims.py`.",
        "",
    ]
    for chapter in ledger.chapters:
        if not chapter.equations:
            continue
        rows: list[list[str]] = []
        home, where = files_line(ledger, chapter)
        for equation in chapter.equations:
            tests = [t for c in ledger.claims if equation.label in c.equations for t in ledger.tests_of(c.label)]
            rows.append(
                [
                    f"$$\n{equation.latex}\n$$\n\n{{eq}}`{equation.label}` · {equation.section}",
                    code_links(ledger.named.get(equation.label, []), modules),
                    test_links(list(dict.fromkeys(tests)), repository, home),
                ]
            )
        lines += [chapter_heading(chapter), "", *where, *table("equations", ["Equation", "Code", "Tests"], rows)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["check", "pages"])
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    ledger = Ledger.read(args.root)
    if args.command == "pages":
        target = args.root / "book/generated"
        target.mkdir(parents=True, exist_ok=True)
        repository = os.environ.get("OSTRL_REPOSITORY", "").strip() or None
        modules = documented(args.root)
        for name, page in (("claims", claims_page), ("equations", equations_page)):
            text = page(ledger, modules, repository).rstrip() + "\n"
            (target / f"{name}.md").write_text(text, encoding="utf8")
        print(f"wrote {target}/claims.md and equations.md")
        return 0
    problems = ledger.problems()
    for problem in problems:
        print(problem, file=sys.stderr)
    counts = f"{len(ledger.claims)} claims, {len(ledger.tests)} tests, {len(ledger.equations)} equations"
    print(f"{counts}: {len(problems)} problems")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
