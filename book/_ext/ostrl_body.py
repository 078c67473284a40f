"""What extensions of the book share: its pages, and changes of all: of their body before they are written, or after."""

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


def written(app: Sphinx) -> list[Path]:
    """The pages on disk: not the templates that the theme leaves among its files."""
    out = Path(app.outdir)
    return [page for page in sorted(out.rglob("*.html")) if out / "_static" not in page.parents]


def change_written(app: Sphinx, change: Callable[[str], str], priority: int = 500) -> None:
    """Apply ``change`` to what the theme alone writes: all of a page, once on disk. A higher priority is later."""

    def apply(app: Sphinx, error: Exception | None) -> None:
        if error or app.builder.name != "html":
            return
        for page in written(app):
            text = page.read_text(encoding="utf8")
            changed = change(text)
            if changed != text:
                page.write_text(changed, encoding="utf8")

    app.connect("build-finished", apply, priority=priority)
