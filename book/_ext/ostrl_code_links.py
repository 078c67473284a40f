"""Below an equation that a public function of ``ostrl`` implements, a quiet line that leads to the function.

A docstring names the label of its equation, and tools/claims.py reads docstrings: so nothing stands in the chapters,
and a line cannot name a function that does not implement the equation. HTML only; the PDF has the equation index.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import claims


def line(names: list[str]) -> nodes.paragraph:
    """In code: exact.value, exact.gradient."""
    paragraph = nodes.paragraph("", "In code: ", classes=["in-code"])
    for i, name in enumerate(names):
        short = name.removeprefix("ostrl.")
        link = pending_xref("", refdomain="py", reftype="obj", reftarget=name, refexplicit=True, refwarn=True)
        link += nodes.literal(short, short)
        paragraph += [nodes.Text(", "), link] if i else [link]
    return paragraph


class LinkCode(SphinxPostTransform):
    default_priority = 5  # before the references are resolved
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        if not self.env.docname.startswith("notebooks/"):
            return
        for equation in list(self.document.findall(nodes.math_block)):
            names = self.env.ostrl_code.get(equation.get("label"))
            if names:
                equation.parent.insert(equation.parent.index(equation) + 1, line(names))


def load_names(app: Sphinx) -> None:
    app.env.ostrl_code = claims.documented_names(Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(LinkCode)
    app.connect("builder-inited", load_names)
    app.add_css_file("code_links.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
