"""The pieces of the printed book that Sphinx has no node for."""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes


class box(nodes.General, nodes.Element):
    """A claim, a proof or an exercise: an environment of ostrl-paper.sty."""


class box_title(nodes.Inline, nodes.TextElement):
    """How a box begins, in its first line; references lead here."""


class scope(nodes.General, nodes.Element):
    """Nodes that belong to another document than the one around them: their labels keep that document's name."""


def latex(text: str) -> nodes.raw:
    return nodes.raw("", text, format="latex")


def docname_of(node: nodes.Node, root: str) -> str:
    """The document that a node of the assembled tree comes from."""
    while node is not None:
        if isinstance(node, addnodes.start_of_file | scope):
            return node["docname"]
        node = node.parent
    return root


def section_of(node: nodes.Node) -> nodes.section:
    while not isinstance(node, nodes.section) or not isinstance(node[0], nodes.title):
        node = node.parent
    return node
