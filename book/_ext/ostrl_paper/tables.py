"""Tables on paper: those that cells print, and those of the text."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.util import texescape

from ostrl_paper.parts import latex

MATH = re.compile(r"\\\((.*?)\\\)")
LINE = 84  # letters across the page, in a table of a few columns


def words(text: str) -> str:
    """Words for LaTeX; what stands between \\( and \\) is mathematics already."""
    pieces = MATH.split(re.sub(r"(?<!\w)-(?=\d)", "−", text))  # a line may end after a hyphen, not after a minus
    escaped = (f"${x}$" if i % 2 else texescape.escape(x, "xelatex") for i, x in enumerate(pieces))
    return "".join(escaped).replace(" ± ", "~±~")


def stacked(head: str) -> str:
    return f"\\shortstack[l]{{{head.replace(' ', chr(92) * 2)}}}"


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


def word_length(cell: nodes.Element) -> int:
    """The longest piece of a table's cell that a line cannot be broken in, in letters."""
    longest = 0
    for text in cell.findall(nodes.Text):
        code = isinstance(text.parent, nodes.literal)
        if isinstance(text.parent, nodes.math_block):
            longest = max(longest, 40)  # a wider one shrinks
        elif isinstance(text.parent, nodes.math):
            longest = max(longest, len(text) // 3)
        else:
            words = re.split(r"(?<=[.])|\s" if code else r"(?<=/)|\s", text)
            longest = max(longest, *(round(len(word) * (1.25 if code else 1)) for word in words))
    return longest


def fit(table: nodes.table) -> None:
    """Columns as wide as what stands in them, in a table that may break over pages."""
    for end in list(table.findall(nodes.raw)):
        if end.astext().strip() == r"\\":  # would end the row
            end.replace_self(latex("\\newline "))
    for text in [text for text in table.findall(nodes.Text) if isinstance(text.parent, nodes.paragraph)]:
        if "/" in text:  # a path breaks after a slash, as it does on the site
            first, *rest = (nodes.Text(piece) for piece in re.split(r"(?<=/)", text))
            text.parent.replace(text, [first, *(node for x in rest for node in (latex("\\allowbreak{}"), x))])
    columns = list(zip(*(row.children for row in table.findall(nodes.row)), strict=True))
    texts = [[cell.astext() for cell in cells] for cells in columns]
    least = [max(map(word_length, cells)) + 1 for cells in columns]
    most = [max(len(line) for text in column for line in [*text.splitlines(), ""]) + 2 for column in texts]
    amount = [(sum(map(len, column)) / len(column)) ** 0.6 for column in texts]
    room = max(LINE - sum(least), 0)
    for j, spec in enumerate(table.findall(nodes.colspec)):
        spec["colwidth"] = round(10 * (least[j] + min(max(most[j] - least[j], 0), room * amount[j] / sum(amount))))
    table["classes"] += ["longtable", "colwidths-given"]
