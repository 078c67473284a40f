"""Tables on paper: those that cells print, and those of the text."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.util import texescape

from ostrl_paper.parts import latex

MATH = re.compile(r"\\\((.*?)\\\)")
LINE = 84  # letters across the page, in a table of a few columns
SHORT = 20  # lines of a table that is not broken


def words(text: str) -> str:
    """Words for LaTeX; what stands between \\( and \\) is mathematics already."""
    pieces = MATH.split(re.sub(r"(?<!\w)-(?=\d)", "−", text))  # a line may end after a hyphen, not after a minus
    escaped = (f"${x}$" if i % 2 else texescape.escape(x, "xelatex") for i, x in enumerate(pieces))
    return "".join(escaped).replace(" ± ", "~±~")


def stacked(head: str) -> str:
    """A head of several words, one below the other; what stands in parentheses keeps its line."""
    return f"\\shortstack[l]{{{re.sub(' (?![^(]*[)])', chr(92) * 4, head)}}}"


def printed(html: str) -> nodes.raw | None:
    """A table of the library (``ostrl.table``), typeset with its mathematics, or ``None`` for other output."""
    source = BeautifulSoup(html, "html.parser").find("table", class_="ostrl")
    if source is None:
        return None
    head, *body = [[words(cell.get_text()) for cell in row.find_all(["th", "td"])] for row in source.find_all("tr")]
    # names in the first column, numbers and formulas keep their line (l), and the head above them does not
    whole = [j == 0 or not any(" " in x for x in column) or any("$" in x for x in column)
             for j, column in enumerate(zip(*body, strict=True))]  # fmt: skip
    head = [stacked(x) if keep else x for x, keep in zip(head, whole, strict=True)]
    top, *lines = [" & ".join(row) + r"\\" for row in [head, *body]]
    caption = words(source.caption.get_text()) if source.caption else ""
    columns = "".join("l" if keep else "L" for keep in whole)
    rows = "\n".join([top, r"\midrule", *lines])
    return latex(f"\\ostrltable{{{columns}}}{{{rows}}}{{{caption}}}")


def texts_of(cell: nodes.Element) -> list[nodes.Text]:
    """What a cell shows, without the orders to LaTeX in it."""
    return [text for text in cell.findall(nodes.Text) if not isinstance(text.parent, nodes.raw)]


def word_length(cell: nodes.Element) -> int:
    """The longest piece of a table's cell that a line cannot be broken in, in letters."""
    longest = 0
    for text in texts_of(cell):
        code = isinstance(text.parent, nodes.literal)
        if isinstance(text.parent, nodes.math_block):
            longest = max(longest, 40)  # a wider one shrinks
        elif isinstance(text.parent, nodes.math):
            longest = max(longest, len(text) // 3)
        else:
            words = re.split(r"(?<=[.])|\s" if code else r"(?<=/)|\s", text)
            longest = max(longest, *(round(len(word) * (1.1 if code else 1)) for word in words))
    return longest


def break_after(sign: str, text: nodes.Text) -> None:
    """Let LaTeX break a line after each such sign of a text."""
    first, *rest = (nodes.Text(piece) for piece in re.split(f"(?<={sign})", text))
    text.parent.replace(text, [first, *(node for x in rest for node in (latex("\\allowbreak{}"), x))])


def visible(cell: nodes.Element) -> str:
    """The words of a cell, and as many letters for its mathematics as that takes on paper."""
    pieces = []
    for text in texts_of(cell):
        block = isinstance(text.parent, nodes.math_block)
        formula = block or isinstance(text.parent, nodes.math)
        pieces.append("x" * min(len(text) // 3, 40 if block else LINE) + "\n" * block if formula else text.astext())
    return "".join(pieces)


def keep(table: nodes.table, widths: list[float]) -> None:
    """A short table stays in one piece, a long one does not leave a single row behind."""
    rows = list(table.findall(nodes.row))
    lines = [
        max(sum(len(line) // width + 1 for line in visible(cell).splitlines() or [""])
            for cell, width in zip(row.children, widths, strict=True))
        for row in rows
    ]  # fmt: skip
    if sum(lines) > SHORT:
        table["classes"].append("longtable")
        rows[-2]["with_next"] = True
        room = sum(lines[:3]) + 4
    else:
        room = sum(lines) + 3
    section, first = table.parent, table
    if not isinstance(section, nodes.section):  # in a box, which has no page to end
        return
    if section.index(table) <= 2:  # the heading goes with the table
        first, room = section, room + 6
    first.parent.insert(first.parent.index(first), latex(f"\\ostrlroom{{{round(room)}}}"))


def fit(table: nodes.table) -> None:
    """Columns as wide as what stands in them."""
    for end in list(table.findall(nodes.raw)):
        if end.astext().strip() == r"\\":  # would end the row
            end.replace_self(latex("\\newline "))
    for text in texts_of(table):
        if isinstance(text.parent, (nodes.paragraph, nodes.reference)):  # a path, as it breaks on the site
            break_after("/", text)
        elif isinstance(text.parent, nodes.literal):  # LaTeX itself breaks a name after a dot
            break_after("_", text)
    columns = list(zip(*(row.children for row in table.findall(nodes.row)), strict=True))
    texts = [[visible(cell) for cell in cells] for cells in columns]
    least = [max(map(word_length, cells)) + 1 for cells in columns]
    most = [max(len(line) for text in column for line in [*text.splitlines(), ""]) + 2 for column in texts]
    amount = [(sum(map(len, column)) / len(column)) ** 0.6 for column in texts]
    room = max(LINE - sum(least), 0)
    shares = [room * x / sum(amount) for x in amount]
    widths = [few + min(max(many - few, 0), share) for few, many, share in zip(least, most, shares, strict=True)]
    for width, spec in zip(widths, table.findall(nodes.colspec), strict=True):
        spec["colwidth"] = round(10 * width)
    table["classes"].append("colwidths-given")
    keep(table, [width * LINE / sum(widths) for width in widths])
