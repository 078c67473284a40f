"""What the site hands out: all notebooks in one archive, and the book as one PDF where it is built after it.

``{notebooks}`` makes its words a link to the archive. The PDF comes from ``make pdf``, before ``make book``; without it
nothing is said. ``:::{printed-book}`` ends its words in a link to the file, and the theme's menu of downloads gets the
same link. There, the entry that prints the page at hand says so, and the page's own notebook is saved, not shown.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from docutils import nodes
from ostrl_body import change_written
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective, SphinxRole

PDF = "build/ostrl.pdf"  # what `make pdf` writes
NOTEBOOKS = "ostrl-notebooks.zip"
SOURCE = re.compile(r'(<a href="[^"]*_sources/[^"]*\.ipynb") target="_blank"')


def up(docname: str) -> str:
    """The way from a page to the root of the site."""
    return "../" * docname.count("/")


def pack(folder: Path, archive: Path) -> None:
    """All notebooks of a folder in one file, whose bytes depend on theirs alone."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.glob("*.ipynb")):
            entry = zipfile.ZipInfo(f"ostrl-notebooks/{path.name}")  # dated 1980, whatever the day
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


class Notebooks(SphinxRole):
    """Words that lead to the archive."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if self.env.app.builder.name != "html":
            return [nodes.Text(self.text)], []
        return [nodes.reference("", self.text, refuri=up(self.env.docname) + NOTEBOOKS, internal=True)], []


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
        address = up(self.env.docname) + Path(PDF).name
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


def hand_out(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    pack(Path(app.srcdir) / "notebooks", Path(app.outdir) / NOTEBOOKS)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("notebooks", Notebooks())
    app.add_directive("printed-book", PrintedBook)
    app.connect("config-inited", carry)
    app.connect("html-page-context", offer, priority=900)  # after the theme has put its buttons there
    app.connect("build-finished", hand_out)
    change_written(app, lambda text: SOURCE.sub(r"\1 download", text))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
