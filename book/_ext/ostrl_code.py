"""Each line of code is an element of its own, which knows its indentation: on a phone it wraps and hangs (book.css)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pygments.formatters import HtmlFormatter
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

Source = Iterator[tuple[int, str]]


class Lines(HtmlFormatter):  # type: ignore[type-arg]
    """Pygments' HTML with a ``<span class="line">`` around each line."""

    name: ClassVar[str] = "HTML, line by line"

    def wrap(self, source: Source) -> Source:
        return super().wrap(self.lines(source))

    def lines(self, source: Source) -> Source:
        for is_code, line in source:
            if not is_code:
                yield is_code, line
                continue
            text = re.sub("<[^>]+>", "", line).rstrip("\n")
            indent = len(text) - len(text.lstrip(" "))
            style = f' style="--indent:{indent}ch"' if indent else ""
            yield is_code, f'<span class="line"{style}>{line}</span>'


def setup(app: Sphinx) -> dict[str, Any]:
    PygmentsBridge.html_formatter = Lines
    return {"parallel_read_safe": True, "parallel_write_safe": True}
