"""Lighter and steadier pages: pictures in a smaller format, each with its size so that the text below stays where it is
while they load; no script for icons that are there as a font (ostrl_icons), no script that the text waits for, and the
search's index on the page of the search alone.

The theme sends all of Font Awesome twice, as a script of 1.5 MB and as a font. A stored figure is a PNG; as WebP, with
colors rounded to steps of 4 in 255, which nobody sees, lines need half of its bytes and shading a quarter. The
notebooks keep their PNG.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

ICONS = re.compile(r'\s*<(?:script|link)\b[^>]*"[^"]*scripts/fontawesome\.js[^"]*"[^>]*>(?:</script>)?')
SEARCH = re.compile(r'\s*<script src="[^"]*\b(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
WAITED = re.compile(
    r"<script(?= |>)(?![^>]*\bdefer\b)([^>]*) src="
    r'("[^"]*\b(?:doctools|sphinx_highlight|clipboard\.min|copybutton|sphinx-book-theme|togglebutton|design-tabs)\.js[^"]*")'
)
OPTIONS = re.compile(r'<script src="[^"]*\bdocumentation_options\.js[^"]*"></script>')
PICTURE = re.compile(r"(_images/[0-9A-Za-z_-]+)\.png")
IMAGE = re.compile(r'<img\b(?![^>]*\b(?:width|height)=)([^>]*\bsrc="[^"]*_images/([0-9A-Za-z_-]+\.(?:png|webp))")')


def compress(folder: Path) -> set[str]:
    """Make each PNG a WebP, colors to within 2 in 255, where that is smaller; returns the names, without suffix."""
    done = set()
    for path in sorted(folder.glob("*.png")):
        smaller = path.with_suffix(".webp")
        with Image.open(path) as picture:
            rounded = picture.convert("RGBA").point([min(255, (value + 2) // 4 * 4) for value in range(256)] * 4)
            rounded.save(smaller, lossless=True, quality=80, method=6)
        bigger = smaller if smaller.stat().st_size >= path.stat().st_size else path
        bigger.unlink()
        if bigger is path:
            done.add(path.stem)
    return done


def sizes(folder: Path) -> dict[str, str]:
    """The width and height of each picture, as attributes."""
    found = {}
    for path in [*folder.glob("*.png"), *folder.glob("*.webp")]:
        with Image.open(path) as picture:
            found[path.name] = f' width="{picture.width}" height="{picture.height}"'
    return found


def lighten(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    done = compress(out / "_images")
    size = sizes(out / "_images")

    options = f"<script>{(out / '_static/documentation_options.js').read_text(encoding='utf8').strip()}</script>"

    def picture(match: re.Match[str]) -> str:
        return f"{match[1]}.webp" if match[1].removeprefix("_images/") in done else match[0]

    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        light = PICTURE.sub(picture, ICONS.sub("", text))
        if page.name != app.builder.get_target_uri("search"):
            light = OPTIONS.sub(lambda _: options, WAITED.sub(r"<script defer\1 src=\2", SEARCH.sub("", light)))
        light = IMAGE.sub(lambda match: f"<img{size[match[2]]}{match[1]}", light)
        if light != text:
            page.write_text(light, encoding="utf8")
    (out / "_static/scripts/fontawesome.js").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", lighten, priority=950)  # after what else writes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
