"""What the book knows by name, for the search dialog (book/_static_src/suggest.js).

Sections, terms, functions, what has a number, and symbols.

Sphinx's own index of the search has no numbers and no symbols, and is twice as large. The names are read off the
written pages, where all numbers are as a reader sees them.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

SHOWN = 72  # letters of what a name stands for
SIGNS = {  # what HTML calls otherwise, or calls another sign
    "cdot": "·", "dots": "…", "infty": "∞", "to": "→", "partial": "∂", "star": "*",
    "quad": " ", "qquad": " ", "sqrt": "√",
}  # fmt: skip
PIECE = re.compile(
    r'<h[1-6]>(?:<span class="section-number">(?P<section>[^<]*?)\.? ?</span>)?(?P<title>(?:(?!</h\d>).)*?)'
    r'<a class="headerlink" href="#(?P<at>[^"]*)"'
    r'|<span class="eqno"><a href="#(?P<equation>[^"]*)"[^>]*>(?P<number>[^<]*)</a>'
    r'|<div class="(?:proof|exercise)[\w ]*" id="(?P<box>[^"]*)">\s*<p class="admonition-title">'
    r'<span class="caption-number">(?P<boxed>[^<]*?) ?</span>(?:<a class="headerlink"[^>]*>#</a>)?</p>\s*'
    r"(?:<section[^>]*>\s*<p><strong>(?P<called>[^<]*)</strong>)?"
    r'|<figure[^>]* id="(?P<figure>[^"]*)"(?:(?!</figure>).)*?<span class="caption-number">(?P<drawn>[^<]*?) ?</span>'
    r'<span class="caption-text">(?P<caption>(?:(?!<a class="headerlink").)*)'
    r'|<dt id="(?P<term>term-[^"]*)">(?P<word>(?:(?!<a class="headerlink").)*)'
    r'|<dl class="py (?:function|class|method|exception)">\s*<dt class="sig sig-object py" id="(?P<code>[^"]*)"',
    re.S,
)


class Name(NamedTuple):
    """A name, where it is, what else finds it; ``kind`` orders names that fit alike."""

    kind: int  # 0 term, 1 section, 2 function, 3 what has a number, 4 symbol
    text: str
    where: str
    href: str
    keys: str = ""


def words(piece: str) -> str:
    """A piece of HTML as plain text, cut at the end of a word; formulas in the letters that they are read by."""
    text = re.sub(r"\\\((.*?)\\\)", lambda tex: letters(html.unescape(tex[1])), piece, flags=re.S)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())
    return text if len(text) <= SHOWN else text[:SHOWN].rsplit(" ", 1)[0] + " …"


def letters(tex: str) -> str:
    r"""TeX in letters: ``\nabla J`` is ∇J, ``\bar R`` R̄. TeX calls signs what HTML calls them."""
    tex = re.sub(r"\\(?:text|mathrm|mathbb|operatorname)\s*(?:\{([^{}]*)\}|(\w))", r"\1\2", tex)
    tex = re.sub(r"\\hat\s*(\w)", "\\1\u0302", tex)
    tex = re.sub(r"\\bar\s*(\w)", "\\1\u0304", tex)
    tex = re.sub(r"\\[lr](?=[vV]ert\b)", r"\\", tex)
    tex = re.sub(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))", r"\1\2/\3\4", tex)
    tex = re.sub(r"\\(?:[bB]ig[lrm]?|left|right|displaystyle)\b|\\(?=[,;!: ])[,;!:]?", " ", tex)
    tex = re.sub(r"\\([A-Za-z]+) ?", lambda name: sign(name[1]) or f"{name[1]} ", tex)
    return unicodedata.normalize("NFC", re.sub(r" *∣ *", " | ", re.sub(r"[{}\\]", "", tex)))


def initials(name: str) -> str:
    """What a name of three words or more is shortened to: ``loo`` for leave-one-out and ``leave_one_out``."""
    parts = re.split(r"[-_ ]", name.lower())
    return "".join(part[:1] for part in parts) if len(parts) > 2 else ""


def sign(name: str) -> str | None:
    """The sign of a TeX command, or ``None`` where it is none of one letter."""
    if name in SIGNS:
        return SIGNS[name]
    found = html.unescape(f"&{name};")
    return found if len(found) == 1 else None


def on_page(page: str, text: str) -> Iterator[Name]:
    """The names on a page, in their order."""
    title = here = ""
    for piece in PIECE.finditer(text.split('<article class="bd-article"', 1)[-1]):
        found = {name: value for name, value in piece.groupdict().items() if value is not None}
        if "title" in found:
            here = words(found["title"])
            section = found.get("section", "")
            yield Name(1, f"{section} {here}".strip(), title, f"{page}#{found['at']}" if title else page)
            title = title or here
        elif "equation" in found:
            yield Name(3, f"Equation {found['number']}", here, f"{page}#{found['equation']}")
        elif "box" in found:
            keys = "thm" if found["boxed"].startswith("Theorem") else ""  # other words begin as people shorten them
            called = words(found.get("called", "")).rstrip(".")
            text = f"{found['boxed']}: {called}" if called else found["boxed"]
            yield Name(3, text, here, f"{page}#{found['box']}", keys)
        elif "figure" in found:
            yield Name(3, found["drawn"], words(found["caption"]), f"{page}#{found['figure']}")
        elif "term" in found:
            term = words(found["word"])
            yield Name(0, term, "glossary", f"{page}#{found['term']}", initials(term))
        else:
            module, _, name = found["code"].rpartition(".")
            yield Name(2, name, module, f"{page}#{found['code']}", initials(name))


def symbols(page: str, text: str) -> Iterator[Name]:
    """The rows of the tables of symbols: each is found by its letters and by their names."""
    for row in BeautifulSoup(text, "html.parser").select("table.notation tbody tr"):
        symbol, meaning, *_ = row.select("td")
        section = row.find_parent("section")
        for formula in symbol.select(".math"):
            tex = formula.get_text()[2:-2]
            keys = " ".join(name for name in re.findall(r"\\([A-Za-z]+)", tex) if sign(name) and name != "mid")
            yield Name(4, letters(tex), words(meaning.decode_contents()), f"{page}#{section['id']}", keys)


def names(pages: dict[str, str], notation: str) -> list[Name]:
    """All names of the book, each once."""
    found = [name for page, text in pages.items() for name in on_page(page, text)]
    return list(dict.fromkeys([*found, *symbols(notation, pages.get(notation, ""))]))


def write(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    files = {page: out / f"{page}.html" for page in sorted(app.env.found_docs)}
    pages = {f"{page}.html": path.read_text(encoding="utf8") for page, path in files.items() if path.is_file()}
    data = json.dumps(names(pages, "book/notation.html"), ensure_ascii=False, separators=(",", ":"))
    (out / "_static/names.js").write_text(f"ostrlNames({data})\n", encoding="utf8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_css_file("suggest.css")
    app.add_js_file("slips.js", loading_method="defer")
    app.add_js_file("suggest.js", loading_method="defer")
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
