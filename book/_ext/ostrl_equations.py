"""The number of an equation is the link to it, and its TeX can be copied (book/_static_src/equations.js).

The theme has a link of its own there, a sign that is seen only under the pointer.
"""

from __future__ import annotations

import re
from typing import Any

from ostrl_body import change_body
from sphinx.application import Sphinx

NUMBER = re.compile(r'<span class="eqno">([^<]+)<a class="headerlink" href="([^"]*)" title="([^"]*)">[^<]*</a></span>')


def linked(body: str) -> str:
    """The page with numbers that lead to their equations."""
    return NUMBER.sub(r'<span class="eqno"><a href="\2" title="\3">\1</a></span>', body)


def setup(app: Sphinx) -> dict[str, Any]:
    change_body(app, linked)
    app.add_css_file("equations.css")
    app.add_js_file("equations.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
