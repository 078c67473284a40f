"""Code as readers see it: without words to tools, and folded under words that say what is there.

Code wraps, and on a phone a printed table shrinks (book.css): a line knows its indentation and where it may be broken,
a table its width. Each line of code becomes an element of its own; a table keeps its lines, since it would lose its
columns.
"""

from __future__ import annotations

import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from ostrl_body import change_written
from sphinx.application import Sphinx

BLOCK = re.compile(
    r'(<div class="highlight-(?:python|default|bash|bibtex) notranslate"><div class="highlight"><pre><span></span>)'
    r"(.*?)\n?(</pre></div>)",
    re.S,
)
OUTPUT = re.compile(r'(<div class="output stream [^"]*"><div class="highlight"><pre)(>.*?)(?=</pre>)', re.S)

RUN = re.compile(r"\S{20,}")
PLACE = re.compile(r"(?<=[(\[{,])(?![)\]},]|$)|(?=\.[A-Za-z_])")
WHOLE = re.compile(r'<span class="(s[12]|m\w)">([^<\s]{2,40})</span>')
COLOR = re.compile(r'^html\[data-theme="(\w+)"\] \.highlight( \.\w+)? \{(.*)\}', re.M)
HIGHLIGHTED = re.compile(r'(?<=<div class="highlight"><pre>).*?(?=</pre>)', re.S)
TO_TOOLS = re.compile(r"^ *# (?:NBVAL_\w+|fmt: (?:on|off|skip))(?:\n|$)| +# (?:fmt: (?:on|off|skip)|noqa\b.*)$", re.M)


def readable(source: str) -> str:
    """Code without what only nbval and the linters read."""
    return TO_TOOLS.sub("", source)


def tidy(app: Sphinx, doctree: nodes.document) -> None:
    """Take words to tools out of the cells; a folded cell below a solution in words is the solution in code."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            before = cell.parent[: cell.parent.index(cell)][-1:]
            if "tag_hide-cell" in cell["classes"] and before and "</details>" in before[0].astext():
                cell["prompt_show"] = "Solution in code"
        if cell.get("nb_element") == "cell_code_source":
            for block in cell.findall(nodes.literal_block):
                block.rawsource = readable(block.rawsource)
                block[:] = [nodes.Text(block.rawsource)]


def words(text: str) -> str:
    return unescape(re.sub("<[^>]+>", "", text))


def breakable(text: str, shown: str) -> str:
    """The line with a place to break it in what has no blanks and would fill a phone: at brackets, commas and dots.

    Not in strings; a number, and a string without blanks, is kept whole.
    """
    runs = [run.span() for run in RUN.finditer(shown)]
    places = {place.start() for start, end in runs for place in PLACE.finditer(shown, start + 1, end)}
    position, quoted, parts = 0, False, []
    for part in re.findall(r"<[^>]+>|&[#\w]+;|.", WHOLE.sub(r'<span class="\1 whole">\2</span>', text)):
        if position in places and not quoted:
            parts.append("<wbr>")
            places.discard(position)
        if part.startswith("<"):
            quoted = part.startswith('<span class="s')
        else:
            position += 1
        parts.append(part)
    return "".join(parts)


def line(text: str) -> str:
    """A line of highlighted code in its element; Pygments closes what it opens before a line ends."""
    shown = words(text)
    indent = len(shown) - len(shown.lstrip(" "))
    style = f' style="--indent:{indent}ch"' if indent else ""
    return f'<span class="line"{style}>{breakable(text, shown)}\n</span>'


def line_by_line(body: str) -> str:
    """The page with a ``<span class="line">`` around each line of its code."""
    return BLOCK.sub(lambda block: block[1] + "".join(map(line, block[2].split("\n"))) + block[3], body)


def listing(body: str) -> str:
    """The page of a source file, line by line: a function is a block there, which begins and ends around its lines."""

    def each(text: str) -> str:
        if 'class="viewcode-b' in text:
            return text + "\n"
        ends = "</span>" * (text.count("</span>") - text.count("<span"))
        return line(text.removesuffix(ends)) + ends

    def lines(pre: re.Match[str]) -> str:
        shown = "".join(map(each, pre[1].split("\n")))
        return f'<div class="highlight highlight-python"><pre>{shown}</pre>'

    return re.sub(r'<div class="highlight"><pre>(.*?)\n?</pre>', lines, body, flags=re.S)


def columns(body: str) -> str:
    """The page with the width of each printed table on it, in characters; sentences without columns may wrap."""

    def width(output: re.Match[str]) -> str:
        lines = words(output[0]).rstrip().split("\n")
        if not any(re.search(r"\S {2,}\S", line) for line in lines):
            return output[0]
        return f'{output[1]} style="--columns:{max(map(len, lines))}"{output[2]}'

    return OUTPUT.sub(width, body)


def plain(sheet: str) -> set[str]:
    """The kinds of words that have no look of their own, in light and in dark: names, mostly, and commas."""
    looks: dict[str, set[tuple[str, str]]] = {}
    for theme, kind, look in COLOR.findall(sheet):
        color = re.fullmatch(r"(?: background: #\w+;)? color: (#\w+) ", look)
        looks.setdefault(kind.removeprefix(" ."), set()).add((theme, color[1] if color else look))
    return {kind for kind, look in looks.items() if kind and look == looks[""]}


def bare(page: str, kinds: set[str]) -> str:
    """The page without elements in its code around words that have no look of their own."""
    words = re.compile(rf'<span class="(?:{"|".join(sorted(kinds))})">([^<]*(?:<wbr>[^<]*)*)</span>')
    return HIGHLIGHTED.sub(lambda code: words.sub(r"\1", code[0]), page)


def mark_lines(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if context.get("body"):
        source = page.startswith("_modules/")
        context["body"] = listing(context["body"]) if source else columns(line_by_line(context["body"]))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", tidy)
    app.connect("html-page-context", mark_lines)
    sheet = Path(app.outdir) / "_static/pygments.css"
    kinds = cache(lambda: plain(sheet.read_text(encoding="utf8")))
    change_written(app, lambda page: bare(page, kinds()), priority=930)  # after what finds names in code
    return {"parallel_read_safe": True, "parallel_write_safe": True}
