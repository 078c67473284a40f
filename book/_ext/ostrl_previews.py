"""What a link leads to, shown beside it: each page carries the previews that its own links need.

When the book is built, every equation, claim, figure, citation and glossary entry that a page links to is copied, and
of a function or class its signature and what it is for, as HTML, into a block of JSON at the end of that page;
book/_static_src/previews.js shows it beside the link. Nothing is fetched, so it works without a network and from a
folder on disk.

Not sphinx-tippy: its cards cannot be closed by a key or kept off touch screens through its options, it writes files
with random names, and what it would bring (tippy.js, popper) has had no release for years.
"""

from __future__ import annotations

import copy
import json
import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from ostrl_body import change_body
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

LOGGER = getLogger(__name__)

# ids of what has a preview: equations, claims, figures, glossary terms; citations are known by their class
LINK = re.compile(r"#(?:equation-eq-|(?:thm|prop|lem|cor|fig|term)-)|bibliography\.html#id\d+")
DOCUMENTED = re.compile(r"api/\w+\.html#ostrl\.")  # not from one page of the reference to another
CITATION_TITLE = re.compile(r'(<a class="reference internal" href="[^"]*bibliography\.html#[^"]*") title="[^"]*"')


def caption(number: str, words: str) -> str:
    return f'<p class="preview-where">{" · ".join(part for part in (number, words) if part)}</p>'


def heading(tag: Tag) -> str:
    """The words of the section that an element is in."""
    titles = (section.find(re.compile("^h[1-6]$")) for section in tag.find_parents("section"))
    title = copy.copy(next((title for title in titles if isinstance(title, Tag)), None))
    if title is None:
        return ""
    for extra in title.select(".section-number, .headerlink"):
        extra.decompose()
    return title.decode_contents().strip()


def plain(tag: Tag) -> Tag:
    """A copy without ids, links and buttons: it is shown, not used."""
    tag = copy.copy(tag)
    for extra in tag.select(".headerlink, .viewcode-link, .in-code, .enlarge, script"):
        extra.decompose()
    for link in tag.select("a"):
        link.unwrap()
    for part in [tag, *tag.find_all(True)]:
        for name in ("id", "name", "tabindex", "style", "title"):
            part.attrs.pop(name, None)
    return tag


def signature(tag: Tag) -> str:
    """How a function is called, or a class, without types: its documentation has them."""
    arguments = []
    for one in tag.select(".sig-param"):
        name, _, default = one.get_text().partition("=")
        arguments.append(name.split(":")[0].strip() + (f"={default.strip()}" if default else ""))
    call = f"({', '.join(arguments)})" if tag.select_one(".sig-paren") else ""
    return f"<code>{escape(tag.select_one('.descname').get_text() + call)}</code>"


def preview(tag: Tag) -> str | None:
    """The HTML to show for the element that a link points to, or ``None`` where it is none of ours."""
    classes = tag.get("class") or []
    if tag.name == "div" and "math" in classes:
        number = tag.find(class_="eqno")
        shown = plain(tag)
        for extra in shown.select(".eqno"):
            extra.decompose()
        where = f"Equation {number.get_text().rstrip('#')}" if number else "Equation"
        return caption(where, heading(tag)) + str(shown)
    if tag.name == "div" and "proof" in classes:
        return str(plain(tag))
    if tag.name == "figure":
        return str(plain(tag))
    if tag.name == "div" and "citation" in classes:
        words = tag.find("p")
        return str(plain(words)) if isinstance(words, Tag) else None
    if tag.name == "dt":
        definition = tag.find_next_sibling("dd")
        if "sig-object" in classes:
            words = definition.find("p", recursive=False) if definition else None
            return f'<p class="preview-signature">{signature(tag)}</p>{plain(words) if words else ""}'
        name = f'<p class="preview-name">{plain(tag).decode_contents().strip()}</p>'
        return name + plain(definition).decode_contents().strip() if definition else None
    return None


def moved(html: str, source: str, page: str) -> str:
    """A preview of one page, shown on another: its pictures lie elsewhere from there."""

    def path(match: re.Match[str]) -> str:
        absolute = posixpath.join(posixpath.dirname(source), match[1])
        return f'src="{posixpath.relpath(absolute, posixpath.dirname(page) or ".")}"'

    return re.sub(r'src="([^":]+)"', path, html)


def previews(pages: dict[str, BeautifulSoup]) -> dict[str, dict[str, str]]:
    """For each page: what its links, as they are written there, lead to."""
    targets = {name: {str(t["id"]): t for t in soup.select("main [id]")} for name, soup in pages.items()}
    found: dict[str, dict[str, str]] = {}
    for name, soup in pages.items():
        for link in soup.select("main a.internal[href]"):
            href = str(link["href"])
            if href in found.get(name, {}) or not (LINK.search(href) or DOCUMENTED.search(href)):
                continue
            path, _, fragment = href.partition("#")
            source = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            target = targets.get(source, {}).get(fragment)
            html = preview(target) if target else None
            if html:
                found.setdefault(name, {})[href] = moved(html, source, name)
    return found


def block(entries: dict[str, str]) -> str:
    """The data as a script element: no ``<`` may stand in it that could end it."""
    data = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="previews">{data}</script>\n'


def without_tooltips(body: str) -> str:
    """The page without the browser's own tooltips on citations: the previews say more."""
    return CITATION_TITLE.sub(r"\1", body)


def load_mathjax(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A page without equations of its own needs MathJax too where it links to one."""
    if LINK.search(context.get("body") or ""):
        app.env.get_domain("math").data["has_equations"][page] = True


def write(app: Sphinx, error: Exception | None) -> None:
    """Add to every page the previews that it needs."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    files = [path for path in sorted(out.rglob("*.html")) if not path.relative_to(out).parts[0].startswith("_")]
    texts = {path.relative_to(out).as_posix(): path.read_text(encoding="utf8") for path in files}
    pages = {name: BeautifulSoup(text, "html.parser") for name, text in texts.items()}
    found = previews(pages)
    for name, entries in found.items():
        (out / name).write_text(texts[name].replace("</body>", block(entries) + "</body>"), encoding="utf8")
    LOGGER.info("previews: %d on %d pages", sum(map(len, found.values())), len(found))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_css_file("previews.css")
    app.add_js_file("previews.js", loading_method="defer")
    change_body(app, without_tooltips)
    app.connect("html-page-context", load_mathjax, priority=450)  # before MathJax decides
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
