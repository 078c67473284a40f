"""For programs that read: how to cite each page, llms.txt, and every chapter as plain Markdown, alone and in one file.

The address of the site is known only where tools/configure.py was given one; without it links are relative and nothing
is invented. Cards (Open Graph), the sitemap and canonical links come from Sphinx's own extensions.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from ostrl_code import readable
from sphinx.application import Sphinx

# Title and description of each page of the build at hand.
PAGES: dict[str, tuple[str, str]] = {}

# Half an escaped character: sphinxext-opengraph cuts a description to length after it has escaped it.
CUT = re.compile(r'&[#\w]*(?=(?:\.\.\.|…)">?)')

# The description on the cards, where it breaks off within a word, and in the page's head.
SAID = re.compile(r'(<meta (?:property="og:description"|name="description") content=")[^"]*')

FULL = "llms-full.txt"
LICENSE = "https://creativecommons.org/licenses/by/4.0/"
ABOUT = (
    "How language models are trained with rewards: the one-step objective, its gradient, and reinforcement learning, "
    "supervised fine-tuning and self-training as one weighted log-likelihood gradient. Every claim has a test."
)


def year(app: Sphinx) -> str:
    found = re.search(r"\d{4}", app.config.copyright)
    return found[0] if found else ""


def description(document: nodes.document) -> str:
    """The first sentence or two of a page."""
    for paragraph in document.findall(nodes.paragraph):
        words = " ".join(paragraph.astext().split())
        if len(words) > 40 and not isinstance(paragraph.parent, nodes.entry):
            return words if len(words) <= 240 else words[:240].rsplit(" ", 1)[0] + " …"
    return ""


def metadata(app: Sphinx, page: str, title: str) -> str:
    """Tags that reference managers and scholarly indexes read, and the same as linked data."""
    book, author = app.config.project, app.config.author
    front = page == app.config.root_doc
    tags = {"citation_title": book if front else re.sub(r"^\d+\. ", "", title), "citation_author": author}
    if not front:
        tags["citation_inbook_title"] = book
    tags |= {"citation_publication_date": year(app), "citation_language": "en"}
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Book" if front else "Chapter",
        "name": tags["citation_title"],
        "author": {"@type": "Organization", "name": author},
        "datePublished": year(app),
        "inLanguage": "en",
        "license": LICENSE,
    }
    if not front:
        data["isPartOf"] = {"@type": "Book", "name": book}
    if app.config.html_baseurl:
        data["url"] = tags["citation_public_url"] = f"{app.config.html_baseurl}{page}.html"
    lines = [f'<meta name="{name}" content="{html.escape(text)}">' for name, text in tags.items()]
    linked = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return "\n".join([*lines, f'<script type="application/ld+json">{linked}</script>'])


def add_metadata(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is None:  # the index, the search: nothing to cite
        return
    title = html.unescape(re.sub("<[^>]+>", "", context.get("title") or ""))
    words = ABOUT if page == app.config.root_doc else description(doctree)
    tags = CUT.sub("", context.get("metatags", ""))
    if words:
        tags = SAID.sub(lambda said: said[1] + html.escape(words), tags)
    if words and 'name="description"' not in tags:  # the cards, which say it, need an address
        tags += f'\n<meta name="description" content="{html.escape(words)}">'
    context["metatags"] = f"{tags}\n{metadata(app, page, title)}"
    PAGES[page] = title, words


def markdown(path: Path) -> str:
    """A notebook as Markdown: text, code, and what the code prints."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if "remove-cell" in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{readable(cell.source)}\n```")
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            if text.strip():
                parts.append(f"```\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def full(app: Sphinx, chapters: list[str]) -> str:
    """The chapters, in reading order, as one file of Markdown; each begins with its title."""
    return "\n".join([f"# {app.config.project}\n\n> {ABOUT}\n", *chapters])


def llms(app: Sphinx, order: list[str], chapters: set[str]) -> str:
    """The list of pages in reading order, as llmstxt.org proposes it."""

    def entry(page: str) -> str:
        title, words = PAGES[page]
        address = f"{app.config.html_baseurl or ''}{page}{'.md' if page in chapters else '.html'}"
        return f"- [{title}]({address})" + (f": {words}" if words else "")

    groups = {
        "Chapters": [page for page in order if page in chapters],
        "Back matter": [page for page in order if page not in chapters and "/api/" not in page],
        "API reference": [page for page in order if "/api/" in page],
    }
    whole = f"[All chapters in one file]({app.config.html_baseurl or ''}{FULL})"
    lines = [f"# {app.config.project}", "", f"> {ABOUT}", "", f"{whole}, with code and what it prints.", ""]
    for name, members in groups.items():
        lines += [f"## {name}", "", *map(entry, members), ""]
    return "\n".join(lines)


def reading_order(app: Sphinx) -> list[str]:
    """The pages as the table of contents has them."""
    order: list[str] = []

    def visit(page: str) -> None:
        order.append(page)
        for child in app.env.toctree_includes.get(page, []):
            visit(child)

    visit(app.config.root_doc)
    return order


def write(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    order = [page for page in reading_order(app) if page in PAGES]
    chapters = {}
    for page in order:
        source = Path(app.srcdir) / f"{page}.ipynb"
        if source.exists():
            chapters[page] = markdown(source)
            (out / f"{page}.md").write_text(chapters[page], encoding="utf8")
    (out / "llms.txt").write_text(llms(app, order, set(chapters)), encoding="utf8")
    (out / FULL).write_text(full(app, list(chapters.values())), encoding="utf8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", add_metadata, priority=900)  # after the cards
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}  # PAGES is filled as pages are written
