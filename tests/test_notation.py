"""The notation page: each symbol's link leads to the section of the chapters where the symbol is used first."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Where a letter stands for something else before it gets its meaning: (symbol, chapter, section) -> what it is there.
OTHERWISE = {
    (r"H", 1, "Where it circles"): "the energy of two players on their orbit",
    (r"H", 1, "What a step does"): "the same energy",
    (r"\tau", 1, "Where it circles"): "a transformed time",
    (r"\tau", 2, "Prompts that share parameters"): "a prompt's clock",
    (r"h", 5, "What reinforcement learning spends"): "the entropy of right or wrong, h(p)",
}


class Section(NamedTuple):
    chapter: int
    notebook: str
    title: str
    formulas: list[tuple[str, ...]]


def tokens(latex: str) -> tuple[str, ...]:
    """Commands, names in braces after ``\\text`` and single signs; spacing and the braces around one token dropped."""
    latex = re.sub(r"\\[,;:! ]|\\(?:left|right|[bB]igg?[lr]?)\b|\s+", " ", latex)
    latex = re.sub(r"\{(\\?[A-Za-z0-9]+)\}", r" \1 ", latex)
    return tuple(re.findall(r"\\[A-Za-z]+|[A-Za-z]{2,}(?![a-z])|\S", latex))


def without_subscripts(formula: tuple[str, ...]) -> tuple[str, ...]:
    """``\\hat g_b`` without its index: an index is not a use of the letter as a symbol of its own."""
    kept: list[str] = []
    depth, index = 0, False
    for token in formula:
        if depth or (index and token == "{"):
            depth += {"{": 1, "}": -1}.get(token, 0)
            index = False
        elif index:
            index = False
        elif token == "_":
            index = True
        else:
            kept.append(token)
    return tuple(kept)


def occurs(symbol: str, formula: tuple[str, ...]) -> bool:
    wanted = tokens(symbol)
    if "_" not in wanted:
        formula = without_subscripts(formula)
    return any(formula[i : i + len(wanted)] == wanted for i in range(len(formula)))


@cache
def sections() -> list[Section]:
    """The sections of chapters 1 to 10 in order, without proofs and exercises, whose letters live there alone."""
    found: list[Section] = []
    for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb")):
        chapter = int(path.stem[:2])
        if not chapter:
            continue
        cells = json.loads(path.read_text(encoding="utf8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        text = re.sub(r"^:::+\{prf:proof\}.*?^:::+[ \t]*$", "", text, flags=re.M | re.S)
        parts = re.split(r"^#{1,3} (.+)$", text, flags=re.M)[1:]
        for title, body in zip(parts[::2], parts[1::2], strict=True):
            if title == "Exercises":
                break
            formulas = [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", body, re.S)]
            found.append(Section(chapter, path.stem, title.strip(), [tokens(f) for f in formulas]))
    return found


def rows() -> list[tuple[str, str]]:
    """The first and the last cell of each row of the page's tables."""
    page = (ROOT / "book/notation.md").read_text(encoding="utf8")
    found = []
    for table in re.findall(r"^:::\{list-table\}.*?^:::$", page, re.M | re.S):
        for row in re.split(r"^\* - ", table, flags=re.M)[2:]:  # behind the options and the header
            cells = re.split(r"^  - ", row.removesuffix(":::"), flags=re.M)
            found.append((cells[0].strip(), cells[-1].strip()))
    return found


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_page_has_its_rows() -> None:
    assert len(rows()) > 40


@pytest.mark.parametrize(("symbols", "link"), rows(), ids=lambda cell: cell.split("]")[0].strip("$[")[:30])
def test_a_symbol_links_to_its_first_use(symbols: str, link: str) -> None:
    match = re.fullmatch(r"\[(\d+) · (.+)\]\(\.\./notebooks/(\w+)\.ipynb#(.+)\)", link)
    assert match, f"{symbols}: no link to a section, but {link!r}"
    place = next((s for s in sections() if s.notebook == match[3] and s.title == match[2]), None)
    assert place, f"{symbols}: {match[3]} has no section {match[2]!r}"
    assert (place.chapter, slug(place.title)) == (int(match[1]), match[4])
    listed = [symbol for formula in re.findall(r"\$(.+?)\$", symbols) for symbol in re.split(r", (?=\\)", formula)]
    listed = [re.sub(r"\(.*\)$", "", symbol) if symbol.startswith(("h(", "J(")) else symbol for symbol in listed]
    uses = [
        section
        for section in sections()
        if any(
            occurs(symbol, formula) and (symbol, section.chapter, section.title) not in OTHERWISE
            for symbol in listed
            for formula in section.formulas
        )
    ]
    assert uses, f"{symbols} occurs nowhere"
    assert uses[0] == place, f"{symbols} is used before, in chapter {uses[0].chapter}, {uses[0].title!r}"


def test_every_exception_is_needed() -> None:
    listed = {(section.chapter, section.title): section for section in sections()}
    for symbol, chapter, title in OTHERWISE:
        assert any(occurs(symbol, formula) for formula in listed[chapter, title].formulas), (symbol, chapter, title)
