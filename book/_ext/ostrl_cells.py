"""In a chapter's code, what comes from ``ostrl`` leads to its documentation: each name once in a cell.

The names are those that the chapter's own cells import, and what is reached from them by dots. Not sphinx-codeautolink:
it links every name it knows, Python's own too, each time, and a reader with a keyboard would pass hundreds of links.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from docutils import nodes
from IPython.core.inputtransformer2 import TransformerManager
from sphinx.application import Sphinx

BLOCK = re.compile(r'(?<=<div class="highlight-python notranslate">).*?(?=</pre>)', re.S)
DOT = '<span class="o">.</span>'
PATH = rf'<span class="n">\w+</span>(?:{re.escape(DOT)}<span class="n">\w+</span>)*'
# Not a field of something else, not the name of an argument.
NAME = re.compile(rf'(?<!{re.escape(DOT)}){PATH}(?!<span class="o">=<)')

Objects = dict[str, Any]


def imported(cells: list[str]) -> Objects:
    """What the cells import from ``ostrl``, by its name there; not a name that they also give to something else."""
    found: Objects = {}
    bound: set[str] = set()
    for cell in cells:
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ostrl":
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    if not hasattr(module, alias.name):  # a module in a package, not yet imported
                        importlib.import_module(f"{module.__name__}.{alias.name}")
                    found[alias.asname or alias.name] = getattr(module, alias.name)
            elif isinstance(node, ast.Import):
                found |= {a.name: importlib.import_module(a.name) for a in node.names if a.name == "ostrl"}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
    return {name: thing for name, thing in found.items() if name not in bound}


@cache
def documented(full_names: frozenset[str]) -> dict[tuple[str, int], str]:
    """The full name of what is documented in a module, by its last name and identity."""
    found = {}
    for full in full_names:
        module, _, name = full.rpartition(".")
        try:
            found[name, id(getattr(importlib.import_module(module), name))] = full
        except ModuleNotFoundError:  # a method, or a field, of a class
            continue
    return found


def resolve(path: list[str], objects: Objects, full_names: frozenset[str]) -> tuple[int, str] | None:
    """How much of a dotted path is documented, and under what full name: the longest beginning that is."""
    if path[0] not in objects:
        return None
    in_modules = documented(full_names)
    here, best, full = objects[path[0]], None, ""
    for length, name in enumerate(path, 1):
        here = here if length == 1 else getattr(here, name, None)
        member = f"{full}.{name}"
        full = in_modules.get((name, id(here)), member if member in full_names else "")
        best = (length, full) if full else best
    return best


def linked(body: str, address: Callable[[list[str]], tuple[int, str] | None]) -> str:
    """The page with a link where a path in its code has an ``address``: how much of it leads there, and where to."""

    def block(code: re.Match[str]) -> str:
        seen: set[str] = set()

        def name(match: re.Match[str]) -> str:
            parts = match[0].split(DOT)
            found = address([re.sub("<[^>]+>", "", part) for part in parts])
            if not found or found[1] in seen:
                return match[0]
            length, href = found
            seen.add(href)
            rest = "".join(DOT + part for part in parts[length:])
            return f'<a class="reference internal from-code" href="{href}">{DOT.join(parts[:length])}</a>{rest}'

        return NAME.sub(name, code[0])

    return BLOCK.sub(block, body)


def link(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if not page.startswith("notebooks/") or doctree is None:
        return
    cells = [c for c in doctree.findall(nodes.container) if c.get("nb_element") == "cell_code_source"]
    objects = imported([block.astext() for cell in cells for block in cell.findall(nodes.literal_block)])
    entries = app.env.get_domain("py").objects
    full_names = frozenset(full for full, entry in entries.items() if not entry.aliased)

    def address(path: list[str]) -> tuple[int, str] | None:
        found = resolve(path, objects, full_names)
        if not found:
            return None
        entry = entries[found[1]]
        return found[0], f"{app.builder.get_relative_uri(page, entry.docname)}#{entry.node_id}"

    context["body"] = linked(context["body"], address)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", link, priority=400)  # before ostrl_code breaks lines
    return {"parallel_read_safe": True, "parallel_write_safe": True}
