"""What the site hands out: all notebooks in one archive, and the book as PDF and EPUBs where they are there before it.

``{notebooks}`` makes its words a link to the archive. The files come from ``make pdf`` and ``make epub``, before
``make book``; without them nothing is said. ``:::{whole-book}`` ends its words in links to the files, and the theme's
menu of downloads gets the same links. There, the entry that prints the page at hand says so, and the page's own
notebook is saved, not shown.
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

WHOLE = {  # what `make pdf` and `make epub` write
    "PDF": "build/ostrl.pdf",
    "EPUB": "build/ostrl.epub",
    "EPUB for Kindle": "build/ostrl-kindle.epub",
}
ICONS = {"PDF": "fas fa-file-pdf", "EPUB": "fas fa-book", "EPUB for Kindle": "fas fa-tablet-alt"}
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


def sizes(app: Sphinx) -> dict[str, str]:
    """How large the whole book is in each form that is there, in words."""
    files = {form: Path(app.srcdir) / path for form, path in WHOLE.items()}
    return {form: f"{max(1, round(path.stat().st_size / 1e6))} MB" for form, path in files.items() if path.is_file()}


class WholeBook(SphinxDirective):
    """Words that end in links to the book as one file."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        found = sizes(self.env.app)
        if not found or self.env.app.builder.name != "html":
            return []
        words = self.parse_content_to_nodes()
        for number, (form, megabytes) in enumerate(found.items(), 1):
            address = up(self.env.docname) + Path(WHOLE[form]).name
            link = nodes.reference("", f"{form} ({megabytes})", refuri=address, internal=True)
            before = " the whole book as " if number == 1 else ", as " if number < len(found) else " and as "
            words[-1] += [nodes.Text(before), link]
        words[-1] += nodes.Text(".")
        return words


def carry(app: Sphinx, config: Config) -> None:
    config.html_extra_path = [*config.html_extra_path, *(WHOLE[form] for form in sizes(app))]


def offer(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    for group in context.get("header_buttons", []):
        if group["label"] != "download-buttons":
            continue
        for button in group["buttons"]:
            if button["label"] == "download-pdf-button":
                button |= {"text": "Print or save as PDF", "tooltip": "Print this page, or save it as PDF"}
                button["icon"] = "fas fa-print"
        group["buttons"] += [
            {
                "type": "link",
                "url": context["pathto"](Path(WHOLE[form]).name, 1),
                "text": f"The book as {form}, {megabytes}",
                "tooltip": f"Download the whole book as {form}",
                "icon": ICONS[form],
                "label": "download-book-button",
            }
            for form, megabytes in sizes(app).items()
        ]


def hand_out(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    pack(Path(app.outdir) / "_sources/notebooks", Path(app.outdir) / NOTEBOOKS)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("notebooks", Notebooks())
    app.add_directive("whole-book", WholeBook)
    app.connect("config-inited", carry)
    app.connect("html-page-context", offer, priority=900)  # after the theme has put its buttons there
    app.connect("build-finished", hand_out)
    change_written(app, lambda text: SOURCE.sub(r"\1 download", text))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
