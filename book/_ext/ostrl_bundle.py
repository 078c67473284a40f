"""One style sheet and one script of the book's own for each page, instead of more than thirty: a request is a turn of
the line before anything is painted, and a style sheet that imports another is two.

The theme's scripts stay as they are.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from functools import partial
from pathlib import Path
from typing import Any

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


def bundle(static: Path, names: list[str]) -> str:
    """Write the files as one, under a name that changes with them; returns it."""
    read = sheet if names[0].endswith(".css") else script
    text = "\n".join(read(static, name) for name in names)
    name = f"all-{hashlib.sha256(text.encode()).hexdigest()[:12]}{Path(names[0]).suffix}"
    (static / name).write_text(text, encoding="utf8")
    return name


def one(page: str, pattern: re.Pattern[str], place: int, tag: str, static: Path, own: set[str] | None = None) -> str:
    """The page with one tag, in the place of the first (0) or the last (-1), for all that are matched."""
    found = [match for match in pattern.finditer(page) if own is None or match[2] in own]
    if not found:
        return page
    name = bundle(static, [match[2] for match in found])
    kept = found[place]
    for match in reversed(found):
        new = tag.format(kept[1] + name) + "\n" if match is kept else ""
        page = page[: match.start()] + new + page[match.end() :]
    return page


def write(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    own = {path.name for path in (Path(__file__).parent.parent / "_static_src").glob("*.js")}
    sheets = partial(one, pattern=SHEET, place=0, tag='<link rel="stylesheet" href="{}">', static=out / "_static")
    scripts = partial(
        one, pattern=SCRIPT, place=-1, tag='<script defer src="{}"></script>', static=out / "_static", own=own
    )
    for path in out.rglob("*.html"):
        if path.relative_to(out).parts[0] == "_static":
            continue
        text = path.read_text(encoding="utf8")
        changed = scripts(sheets(text))
        if changed != text:
            path.write_text(changed, encoding="utf8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write, priority=970)  # after all that adds one
    return {"parallel_read_safe": True, "parallel_write_safe": True}
