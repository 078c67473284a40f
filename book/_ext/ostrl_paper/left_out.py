"""What the book on paper leaves out and goes on to use: names that code defines which the site folds away."""

from __future__ import annotations

import ast
import functools

from docutils import nodes

_parse = functools.cache(ast.parse)  # a cell is looked at for every folded one of its chapter


def _names(source: str, context: type[ast.expr_context]) -> set[str]:
    return {node.id for node in ast.walk(_parse(source)) if isinstance(node, ast.Name) and type(node.ctx) is context}


def defined(source: str) -> list[str]:
    """The functions, classes and variables of a cell, in their order; not those inside a function."""
    found: list[str] = []
    for statement in _parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.append(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found += [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(found))


def missed(folded: str, before: list[str], after: list[str]) -> list[str]:
    """The names of a folded cell that printed cells use after it and none defines, before or after."""
    printed = {name for source in [*before, *after] for name in [*defined(source), *_names(source, ast.Store)]}
    used = {name for source in after for name in _names(source, ast.Load)}
    return [name for name in defined(folded) if name in used - printed]


def remark(names: list[str]) -> nodes.paragraph:
    """A line in the place of the folded code."""
    line = nodes.paragraph("", "", nodes.emphasis("", "Defined here, in code that the printed book leaves out: "))
    for i, name in enumerate(names):
        line += [*([nodes.Text(", ")] if i else []), nodes.literal("", name)]
    line += nodes.Text(".")
    return line
