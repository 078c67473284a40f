"""A page without JavaScript: it is light, since nothing can ask which is wanted, and says what cannot be seen.

The theme leaves such a page with no color at all: it knows a light and a dark one, and settles which by script.
"""

from __future__ import annotations

from typing import Any

from ostrl_body import change_body, change_written
from sphinx.application import Sphinx

NOTE = '<noscript><p class="noscript">JavaScript is off: live figures and search are not there.</p></noscript>\n'


def light(page: str) -> str:
    return page.replace(' data-theme="auto"', ' data-theme="light"', 1)


def setup(app: Sphinx) -> dict[str, Any]:
    change_body(app, lambda body: NOTE + body)
    change_written(app, light)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
