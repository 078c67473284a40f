"""Notebooks that the site hands out install ``ostrl`` on Colab from where the site comes from, package index or not.

In the repository their first cell asks the package index, for the repository has no address (tools/run_notebooks.py).
A site that has one writes it into the copies below ``_sources``; the workflow that publishes the site puts these copies
on a branch of their own, and the rocket above a page opens the page's notebook there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

BRANCH = "colab"  # .github/workflows/publish.yml pushes to it
CELL = """\
# On Colab this cell installs ostrl; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "ostrl[notebooks] @ git+{repository}@{branch}\""""


def addressed(notebook: str, repository: str, branch: str) -> str:
    """A notebook's text with an address in the cell that installs; a ``ValueError`` where it has no such cell."""
    content = json.loads(notebook)
    cells = [cell for cell in content["cells"] if cell.get("id") == "install"]
    if len(cells) != 1:
        raise ValueError(f'a notebook has one cell with the id "install", this one {len(cells)}')
    cells[0]["source"] = CELL.format(repository=repository, branch=branch).splitlines(keepends=True)
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def write(app: Sphinx, error: Exception | None) -> None:
    options = app.config.html_theme_options
    if error or app.builder.name != "html" or not options.get("repository_url"):
        return
    for path in (Path(app.outdir) / "_sources/notebooks").glob("*.ipynb"):
        text = addressed(path.read_text(encoding="utf8"), options["repository_url"], options["repository_branch"])
        path.write_text(text, encoding="utf8")


def launch(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    branch = app.config.html_theme_options.get("repository_branch")
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "colab.research.google.com" in str(button.get("url")):
                button["url"] = button["url"].replace(f"/blob/{branch}/", f"/blob/{BRANCH}/")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", launch, priority=900)  # after the theme has put its buttons there
    app.connect("build-finished", write, priority=400)  # before they are packed
    return {"parallel_read_safe": True, "parallel_write_safe": True}
