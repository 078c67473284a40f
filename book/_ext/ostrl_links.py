"""Claims and exercises have a sign that leads to them, as headings do; it copies their address, too (links.js)."""

from __future__ import annotations

import re
from typing import Any

from ostrl_body import change_body
from sphinx.application import Sphinx

TITLE = re.compile(
    r'(<div class="(?:proof|exercise)[\w ]*" id="([^"]+)">\s*<p class="admonition-title">'
    r'<span class="caption-number">(\w+) [^<]*</span>.*?)(?=</p>)',
    re.S,
)


def linked(body: str) -> str:
    """The page with a sign behind the number of each claim and exercise."""

    def sign(found: re.Match[str]) -> str:
        title = f"Link to this {found[3].lower()}"
        return f'{found[1]}<a class="headerlink" href="#{found[2]}" title="{title}">#</a>'

    return TITLE.sub(sign, body)


def setup(app: Sphinx) -> dict[str, Any]:
    change_body(app, linked)
    app.add_css_file("links.css")
    app.add_js_file("links.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
