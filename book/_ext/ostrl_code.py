"""On a phone code wraps and a printed table shrinks (book.css): a line knows its indentation, a table its width.

Each line of code becomes an element of its own; a table keeps its lines, since it would lose its columns.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from sphinx.application import Sphinx

BLOCK = re.compile(
    r'(<div class="highlight-(?:python|default|bash|bibtex) notranslate"><div class="highlight"><pre><span></span>)'
    r"(.*?)\n?(</pre></div>)",
    re.S,
)
OUTPUT = re.compile(r'(<div class="output stream [^"]*"><div class="highlight"><pre)(>.*?)(?=</pre>)', re.S)


def words(text: str) -> str:
    return unescape(re.sub("<[^>]+>", "", text))


def line(text: str) -> str:
    """A line of highlighted code in its element; Pygments closes what it opens before a line ends."""
    shown = words(text)
    indent = len(shown) - len(shown.lstrip(" "))
    style = f' style="--indent:{indent}ch"' if indent else ""
    return f'<span class="line"{style}>{text}\n</span>'


def line_by_line(body: str) -> str:
    """The page with a ``<span class="line">`` around each line of its code."""
    return BLOCK.sub(lambda block: block[1] + "".join(map(line, block[2].split("\n"))) + block[3], body)


def columns(body: str) -> str:
    """The page with the width of each printed table on it, in characters; sentences without columns may wrap."""

    def width(output: re.Match[str]) -> str:
        lines = words(output[0]).rstrip().split("\n")
        if not any(re.search(r"\S {2,}\S", line) for line in lines):
            return output[0]
        return f'{output[1]} style="--columns:{max(map(len, lines))}"{output[2]}'

    return OUTPUT.sub(width, body)


def mark_lines(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if context.get("body") and not page.startswith("_modules/"):
        context["body"] = columns(line_by_line(context["body"]))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", mark_lines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
