"""What the book says, section by section, for the search dialog (book/_static_src/suggest.js).

Sphinx's own index knows which page has a word, and not where on it, nor which words stand side by side. Formulas in the
text are in the letters that they are read by, so that ∇ and π are found in it; displayed ones and code are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from ostrl_names import letters
from sphinx import addnodes
from sphinx.application import Sphinx

LISTS = ("book/api/", "book/generated/", "book/bibliography")


class Section(NamedTuple):
    """A section, or an entry of a glossary or of the reference, and what it says itself."""

    title: str
    href: str
    said: list[str]


def words(node: nodes.Node) -> str:
    """What a node says, as one line."""
    texts = [text for text in node.findall(nodes.Text) if not isinstance(text.parent, nodes.raw | nodes.comment)]
    return " ".join("".join(letters(text) if isinstance(text.parent, nodes.math) else text for text in texts).split())


def owner(node: nodes.Node) -> nodes.Element | None:
    """The section, or the entry, that a passage stands in; what is in a box belongs to the box's section."""
    while node.parent is not None:
        node = node.parent
        titled = isinstance(node, nodes.section) and isinstance(node.children[0], nodes.title)
        if (titled or isinstance(node, nodes.definition_list_item | addnodes.desc)) and anchor(node):
            return node
    return None


def anchor(node: nodes.Element) -> str:
    """The fragment of a section or of an entry, or nothing."""
    named = node if isinstance(node, nodes.section) else next(iter(node.children), node)
    return next(iter(named["ids"]), "") if isinstance(named, nodes.Element) else ""


def title(node: nodes.Element) -> str:
    """What a section or an entry is called."""
    head = node.children[0]
    if isinstance(head, addnodes.desc_signature):
        return str(head.get("fullname") or words(head))
    return words(head)


def sections(page: str, doctree: nodes.document) -> list[Section]:
    """The sections of a page that say something, in their order."""
    found: dict[str, Section] = {}
    for node in doctree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.caption)):
        place = owner(node)
        if place is None:
            continue
        at = anchor(place)
        section = found.setdefault(at, Section(title(place), f"{page}#{at}", []))
        section.said.append(words(node))
    return [section for section in found.values() if any(section.said)]


def rank(page: str) -> int:
    """Chapters come before other pages, and these before the reference and what is only a list."""
    if page.startswith("notebooks/"):
        return 0
    return 2 if page.startswith(LISTS) else 1


def setup(app: Sphinx) -> dict[str, Any]:
    said: dict[str, list[Section]] = {}

    def collect(app: Sphinx, doctree: nodes.document, page: str) -> None:
        if app.builder.name == "html":
            said[page] = sections(f"{page}.html", doctree)

    def write(app: Sphinx, error: Exception | None) -> None:
        if error or app.builder.name != "html":
            return
        pages = [
            [words(app.env.titles[page]), rank(page), said[page]]
            for page in sorted(said, key=lambda page: (rank(page), page))
            if said[page]
        ]
        data = json.dumps(pages, ensure_ascii=False, separators=(",", ":"))
        (Path(app.outdir) / "_static/passages.js").write_text(f"ostrlPassages({data})\n", encoding="utf8")

    app.connect("doctree-resolved", collect, priority=900)  # after all references have their words
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
