"""What extensions of the book share: a change of every page's body before it is written, or of the whole page after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def change_body(app: Sphinx, change: Callable[[str], str]) -> None:
    """Write the pages with ``change`` applied to their body; a page without one stays as it is."""

    def apply(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        if context.get("body"):
            context["body"] = change(context["body"])

    app.connect("html-page-context", apply)


def change_written(app: Sphinx, change: Callable[[str], str]) -> None:
    """Apply ``change`` to what the theme alone writes: all of a page, once it is on disk."""

    def apply(app: Sphinx, error: Exception | None) -> None:
        if error or app.builder.name != "html":
            return
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf8")
            changed = change(text)
            if changed != text:
                page.write_text(changed, encoding="utf8")

    app.connect("build-finished", apply)
