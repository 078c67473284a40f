"""The book as one PDF, on a site that is built after it (``make pdf``, then ``make book``); without it nothing is said.

``:::{printed-book}`` ends its words in a link to the file. The theme's menu of downloads gets the same link, and its
entry that prints the page at hand says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

PDF = "build/ostrl.pdf"  # what `make pdf` writes


def size(app: Sphinx) -> str | None:
    """How large the printed book is, in words; ``None`` where there is none."""
    pdf = Path(app.srcdir) / PDF
    return f"{max(1, round(pdf.stat().st_size / 1e6))} MB" if pdf.is_file() else None


class PrintedBook(SphinxDirective):
    """Words that end in a link to the PDF."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        megabytes = size(self.env.app)
        if megabytes is None or self.env.app.builder.name != "html":
            return []
        words = self.parse_content_to_nodes()
        address = "../" * self.env.docname.count("/") + Path(PDF).name
        link = nodes.reference("", f"the whole book as PDF ({megabytes})", refuri=address, internal=True)
        words[-1] += [nodes.Text(" "), link, nodes.Text(".")]
        return words


def carry(app: Sphinx, config: Config) -> None:
    if size(app):
        config.html_extra_path = [*config.html_extra_path, PDF]


def offer(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    for group in context.get("header_buttons", []):
        if group["label"] != "download-buttons":
            continue
        for button in group["buttons"]:
            if button["label"] == "download-pdf-button":
                button |= {"text": "Print or save as PDF", "tooltip": "Print this page, or save it as PDF"}
                button["icon"] = "fas fa-print"
        if megabytes := size(app):
            group["buttons"].append(
                {
                    "type": "link",
                    "url": context["pathto"](Path(PDF).name, 1),
                    "text": f"The book as PDF, {megabytes}",
                    "tooltip": "Download the whole book",
                    "icon": "fas fa-file-pdf",
                    "label": "download-book-button",
                }
            )


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("printed-book", PrintedBook)
    app.connect("config-inited", carry)
    app.connect("html-page-context", offer, priority=900)  # after the theme has put its buttons there
    return {"parallel_read_safe": True, "parallel_write_safe": True}
