"""A small table, for the terminal and for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, repr=False)
class Table:
    """A header and rows of text; prints as aligned columns, and renders in a notebook as an HTML table.

    A cell between ``\\(`` and ``\\)`` is mathematics, which notebooks and the book typeset.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __repr__(self) -> str:
        widths = [max(len(row[i]) for row in [self.header, *self.rows]) for i in range(len(self.header))]
        rule = ["-" * width for width in widths]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [self.header, rule, *self.rows]
        ]
        return "\n".join([*lines, self.caption] if self.caption else lines)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
            for first, *rest in self.rows
        )
        title = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        inside = f"{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f'<table class="ostrl tex2jax_process">{inside}</table>'
