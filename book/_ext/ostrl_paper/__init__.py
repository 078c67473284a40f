"""The book on paper: what the LaTeX builder needs to say what the site says, with the same numbers.

Everything here happens when the tree of the whole book is put together for LaTeX; the pages of the site see none of
it. book/paper/ostrl-paper.sty is the look.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from ostrl_paper.parts import box, box_title, scope
from ostrl_paper.tree import LateTransform, PaperTransform
from ostrl_paper.writer import PaperTranslator


def title_page(app: Sphinx, config: Config) -> None:
    version = metadata.version("ostrl")
    config.latex_elements["maketitle"] = f"\\ostrltitlepage{{{version}}}{{{config.html_baseurl}}}"


def write_latex(app: Sphinx) -> None:
    """The translator, for LaTeX alone: the site's theme takes any registered translator for all there is."""
    if app.builder.name == "latex":
        app.set_translator("latex", PaperTranslator)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", title_page)
    app.add_node(box)
    app.add_node(box_title)
    app.add_node(scope)
    app.add_post_transform(PaperTransform)
    app.add_post_transform(LateTransform)
    app.connect("builder-inited", write_latex)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
