"""A figure can be enlarged where a phone shows it smaller than it was drawn (book/_static_src/figures.js)."""

from __future__ import annotations

import re
from typing import Any

from ostrl_body import change_body
from sphinx.application import Sphinx

CAPTION = re.compile(r'(<figcaption>\s*<p>)(?=<span class="caption-number">(Figure [\d.]+\d) ?</span>)')


def enlargeable(body: str) -> str:
    """The page with a button in each caption; its word is the style's, so that the caption's text stays what it is."""
    return CAPTION.sub(
        lambda found: f'{found[1]}<button type="button" class="enlarge" aria-label="Enlarge {found[2]}"></button>', body
    )


def setup(app: Sphinx) -> dict[str, Any]:
    change_body(app, enlargeable)
    app.add_css_file("figures.css")
    app.add_js_file("figures.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
