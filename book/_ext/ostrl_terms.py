"""The first use of a glossary term on a page becomes a quiet link to its definition.

The chapters themselves stay free of it, for the role would show in JupyterLab and on GitHub. Only running prose is
searched: no headings, captions, tables, claims, proofs, exercises, code, mathematics, links, not the paragraphs of a
chapter's frame (what you will be able to do, prerequisites), and no words in bold or italics, where a term is being
introduced. A term that a page introduces is not linked behind that either: the reader has just read what it means. The
glossary itself begins with its letters.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import glossary, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGES = re.compile(r"notebooks/|book/intro$")

# Everyday words: how they read where they are the term; None where everybody knows what is meant, or where the word
# means something else as often as not.
ONLY = {
    "Grow": r"Grows?(?= )",
    "Improve": r"(?<=[a-z] )Improves?",
    "RL": None,
    "advantage": r"(?<!['’]s )[Aa]dvantages?",
    "answer": None,
    "filter": r"(?:(?<=\ba )|(?<=\bthe )|(?<=\bThe ))filters?",
    "group": r"groups?(?= of answers| of size)",
    "label": r"(?<!\b[Ww]ho )labels?",
    "prompt": None,
    "ratio": None,
    "return": r"(?<=\bthe )returns?",
    "reward": None,
    "scale": None,
    "score": r"(?<=\bthe )scores?",
    "stale answers": r"[Ss]tale(?: answers)?",
    "weight": None,
}

NOT_PROSE = (nodes.title, nodes.caption, nodes.legend, nodes.table, nodes.footnote, nodes.figure, nodes.Admonition)
NOT_WORDS = (nodes.literal, nodes.math, nodes.reference, nodes.raw, pending_xref, nodes.image)
INTRODUCED = (nodes.strong, nodes.emphasis)


def forms(term: str) -> str | None:
    """How a term occurs in a sentence: also in the plural, and with a capital at the beginning."""
    if term in ONLY:
        return ONLY[term]
    first, rest = term[0], re.escape(term[1:]).replace(r"\ ", r"\s")
    start = f"[{first.upper()}{first}]" if first.islower() else re.escape(first)
    if term.endswith("y"):
        return rf"{start}(?:{rest}|{rest[:-1]}ies)"
    if term.endswith("x"):
        return rf"{start}{rest}(?:es)?"
    return f"{start}{rest}s?"


def pattern(terms: list[str]) -> tuple[re.Pattern[str], list[str]]:
    """One expression for all terms, the longest first, and the term that each of its groups stands for."""
    known = [term for term in sorted(terms, key=lambda term: (-len(term), term)) if forms(term)]
    parts = "|".join(f"({forms(term)})" for term in known)
    return re.compile(rf"(?<![\w@-])(?:{parts})(?![\w@]|-\w)"), known


def synonyms(definitions: nodes.document) -> dict[str, str]:
    """Each term -> the first name of its entry: two names of one thing are linked once."""
    found = {}
    for item in definitions.findall(nodes.definition_list_item):
        names = [term.astext() for term in item.findall(nodes.term)]
        found |= dict.fromkeys(names, names[0]) if names else {}
    return found


def linked(
    text: str, find: re.Pattern[str], known: list[str], names: dict[str, str], seen: set[str]
) -> list[nodes.Node]:
    """A piece of text with the terms in it that have not been seen yet turned into links."""
    pieces: list[nodes.Node] = []
    end = 0
    for match in find.finditer(text):
        term = known[(match.lastindex or 0) - 1]
        if names[term] in seen:
            continue
        seen.add(names[term])
        pieces.append(nodes.Text(text[end : match.start()]))
        link = pending_xref("", refdomain="std", reftype="term", reftarget=term, refexplicit=True, refwarn=True)
        link += nodes.inline(match[0], match[0], classes=["term"])
        pieces.append(link)
        end = match.end()
    return [*pieces, nodes.Text(text[end:])] if pieces else []


def words(node: nodes.Element) -> list[nodes.Text]:
    """The pieces of text of a paragraph in which a term may stand, those in bold and italics too."""
    found: list[nodes.Text] = []
    for child in node.children:
        if isinstance(child, nodes.Text):
            found.append(child)
        elif isinstance(child, nodes.Element) and not isinstance(child, NOT_WORDS):
            found += words(child)
    return found


def within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent
    return False


def framing(paragraph: nodes.paragraph) -> bool:
    """Whether a paragraph stands before the first section and opens with its name in bold."""
    before_sections = not (paragraph.parent and within(paragraph.parent, (nodes.section,)))
    opening = next((child for child in paragraph.children if child.astext().strip()), None)
    return before_sections and isinstance(opening, nodes.strong)


def link_terms(document: nodes.document, names: dict[str, str]) -> None:
    """Link the first use of every term in a page's prose."""
    find, known = pattern(list(names))
    seen: set[str] = set()
    for paragraph in list(document.findall(nodes.paragraph)):
        if within(paragraph, NOT_PROSE) or framing(paragraph):
            continue
        for text in words(paragraph):
            if within(text, INTRODUCED):
                seen |= {names[known[(match.lastindex or 0) - 1]] for match in find.finditer(text)}
                continue
            pieces = linked(str(text), find, known, names, seen)
            if pieces:
                text.parent.replace(text, pieces)


class LinkTerms(SphinxPostTransform):
    default_priority = 5  # before the references are resolved
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        if PAGES.match(self.env.docname):
            link_terms(self.document, self.env.ostrl_terms)


class Letters(SphinxPostTransform):
    """The glossary begins with its letters: each leads to the first word that begins with it."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        if self.env.docname != "book/glossary":
            return
        words = next(self.document.findall(glossary))
        first: dict[str, str] = {}
        for entry in words.findall(nodes.definition_list_item):
            term = next(entry.findall(nodes.term))  # the others of its names may begin with any letter
            first.setdefault(term.astext()[0].upper(), term["ids"][0])
        links = " ".join(f'<a href="#{place}">{letter}</a>' for letter, place in first.items())
        line = nodes.raw("", f'<p class="letters">{links}</p>', format="html")  # plain links: they open no preview
        words.parent.insert(words.parent.index(words), line)


def load_terms(app: Sphinx, env: BuildEnvironment) -> None:
    env.ostrl_terms = synonyms(env.get_doctree("book/glossary"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(LinkTerms)
    app.add_post_transform(Letters)
    app.connect("env-updated", load_terms)  # every page has been read, the glossary too
    app.add_css_file("terms.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
