"""Sphinx's LaTeX writer, with the site's numbers."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.writers.latex import LaTeXTranslator


def one_below_the_other(equation: str) -> str:
    """Formulas that stand side by side, one below the other; a word between two of them leads the second."""
    pieces: list[str] = []
    for piece in re.split(r"\s*\\qquad\s*", equation):
        if pieces and re.fullmatch(r"\\text\{[^}]*\}", pieces[-1]):
            pieces[-1] += rf"\quad {piece}"
        else:
            pieces.append(piece)
    return r" \\ ".join(f"& {piece}" for piece in pieces)


class PaperTranslator(LaTeXTranslator):
    """Sphinx's own, but for numbers, which are the site's, and for equations, which shrink where they are too wide."""

    def number(self, kind: str, node: nodes.Element) -> str:
        numbers = self.builder.env.toc_fignumbers.get(self.curfilestack[-1], {}).get(kind, {})
        return ".".join(map(str, next((numbers[x] for x in node["ids"] if x in numbers), ())))

    def visit_figure(self, node: nodes.Element) -> None:
        start = len(self.body)
        super().visit_figure(node)
        if number := self.number("figure", node):
            self.body.insert(start + 1, f"\\renewcommand{{\\thefigure}}{{{number}}}")

    def visit_math_block(self, node: nodes.Element) -> None:
        tag = ""
        if node.get("label"):
            label = f"equation:{node['docname']}:{node['label']}"
            tag = f"\\tag{{{self.number('displaymath', node)}}}\\label{{{label}}}"
        equation = node.astext().strip()
        if self.table and "&" not in equation and r"\\" not in equation:
            equation = one_below_the_other(equation)
        # directly below the words that lead to it: one paragraph, which no page breaks
        self.body.append(f"\\ostrldisplay{{{tag}}}{{{equation}}}%\n")
        raise nodes.SkipNode

    def depart_row(self, node: nodes.Element) -> None:
        super().depart_row(node)
        if node.get("with_next"):
            self.body.append("\\nopagebreak\n")

    def visit_container(self, node: nodes.Element) -> None:
        if node.get("nb_element") == "cell_code_output":
            self.body.append("\n\\begin{ostrloutput}\n")
        super().visit_container(node)

    def depart_container(self, node: nodes.Element) -> None:
        super().depart_container(node)
        if node.get("nb_element") == "cell_code_output":
            self.body.append("\n\\end{ostrloutput}\n")

    def visit_box(self, node: nodes.Element) -> None:
        self.body.append(f"\n\n\\begin{{ostrl{node['kind']}}}\n")

    def depart_box(self, node: nodes.Element) -> None:
        if node.get("solved"):
            self.body.append(f"\\ostrlsolved{{{node['solved']}}}")
        self.body.append(f"\\end{{ostrl{node['kind']}}}\n\n")

    def visit_box_title(self, node: nodes.Element) -> None:
        self.body.append(
            f"{self.hypertarget_to(node, anchor=True)}\\ostrl{node['kind']}title{{{self.encode(node.astext())}}}"
        )
        if node["kind"] == "exercise":  # sphinx-exercise's links name their target in a way of their own
            self.body += [f"\\label{{exercise:{name}}}" for name in node["ids"]]
        raise nodes.SkipNode

    def visit_scope(self, node: nodes.Element) -> None:
        self.curfilestack.append(node["docname"])

    def depart_scope(self, node: nodes.Element) -> None:
        self.curfilestack.pop()
