"""One style sheet and one script of the book's own for each page, instead of more than thirty: a request is a turn of
the line before anything is painted, and a style sheet that imports another is two.

The theme's scripts stay as they are.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from ostrl_body import change_written
from sphinx.application import Sphinx

SHEET = re.compile(r'<link\b(?=[^>]*\brel="stylesheet")[^>]*\bhref="([^"]*_static/)([^"?]+\.css)[^"]*"[^>]*>\n?')
SCRIPT = re.compile(r'[ ]*<script defer="defer" src="([^"]*_static/)(\w+\.js)[^"]*"></script>\n?')
IMPORT = re.compile(r'@import\s+"([^"]+)";')
ADDRESS = re.compile(r"""url\((["']?)(?!data:|https?:|[#/])([^)"']+)\1\)""")


def sheet(static: Path, name: str) -> str:
    """A style sheet as it reads from ``static`` itself: with what it imports, and with its addresses from there."""
    home = posixpath.dirname(name)
    text = re.sub(r'@charset "[^"]*";', "", (static / name).read_text(encoding="utf8"))
    text = ADDRESS.sub(lambda match: f'url("{posixpath.normpath(posixpath.join(home, match[2]))}")', text)
    return IMPORT.sub(lambda match: sheet(static, posixpath.normpath(posixpath.join(home, match[1]))), text)


def script(static: Path, name: str) -> str:
    """A script that leaves the others alone when it fails."""
    return f"try {{\n{(static / name).read_text(encoding='utf8')}}} catch (error) {{ reportError(error); }}"


def bundle(static: Path, names: tuple[str, ...]) -> str:
    """Write the files as one, under a name that changes with them; returns it."""
    read = sheet if names[0].endswith(".css") else script
    text = "\n".join(read(static, name) for name in names)
    name = f"all-{hashlib.sha256(text.encode()).hexdigest()[:12]}{Path(names[0]).suffix}"
    (static / name).write_text(text, encoding="utf8")
    return name


def one(page: str, found: list[re.Match[str]], place: int, tag: str, join: Callable[[tuple[str, ...]], str]) -> str:
    """The page with one tag, in the place of the first (0) or the last (-1), for all that are found."""
    if not found:
        return page
    kept = found[place]
    for match in reversed(found):
        new = tag.format(kept[1] + join(tuple(match[2] for match in found))) + "\n" if match is kept else ""
        page = page[: match.start()] + new + page[match.end() :]
    return page


def bundled(static: Path, own: set[str]) -> Callable[[str], str]:
    """What gives a page its bundles; most pages share theirs, and each is written once."""
    join = cache(partial(bundle, static))

    def change(page: str) -> str:
        page = one(page, list(SHEET.finditer(page)), 0, '<link rel="stylesheet" href="{}">', join)
        scripts = [match for match in SCRIPT.finditer(page) if match[2] in own]
        return one(page, scripts, -1, '<script defer src="{}"></script>', join)

    return change


def setup(app: Sphinx) -> dict[str, Any]:
    own = {path.name for path in (Path(__file__).parent.parent / "_static_src").glob("*.js")}
    change_written(app, bundled(Path(app.outdir) / "_static", own), priority=970)  # after all that adds one
    return {"parallel_read_safe": True, "parallel_write_safe": True}
