"""What extensions of the book share: a change of the text of every page, before it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx


def change_body(app: Sphinx, change: Callable[[str], str]) -> None:
    """Write the pages with ``change`` applied to their body; a page without one stays as it is."""

    def apply(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        if context.get("body"):
            context["body"] = change(context["body"])

    app.connect("html-page-context", apply)
