"""Each line of code is an element of its own, which knows its indentation: on a phone it wraps and hangs (book.css)."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# Code to read, not the output of cells: a printed table would lose its columns.
BLOCK = re.compile(
    r'(<div class="highlight-(?:python|default|bash|bibtex) notranslate"><div class="highlight"><pre><span></span>)'
    r"(.*?)\n?(</pre></div>)",
    re.S,
)


def line(text: str) -> str:
    """A line of highlighted code in its element; Pygments closes what it opens before a line ends."""
    words = re.sub("<[^>]+>", "", text)
    indent = len(words) - len(words.lstrip(" "))
    style = f' style="--indent:{indent}ch"' if indent else ""
    return f'<span class="line"{style}>{text}\n</span>'


def line_by_line(body: str) -> str:
    """The page with a ``<span class="line">`` around each line of its code."""
    return BLOCK.sub(lambda block: block[1] + "".join(map(line, block[2].split("\n"))) + block[3], body)


def mark_lines(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if context.get("body") and not page.startswith("_modules/"):
        context["body"] = line_by_line(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", mark_lines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
