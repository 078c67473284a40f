"""Lighter pages: pictures in a smaller format, and no script for icons that are there as a font.

The theme sends all of Font Awesome twice, as a script of 1.5 MB and as a font. A stored figure is a PNG; as WebP, with
colors rounded to steps of 4 in 255, which nobody sees, lines need half of its bytes and shading a tenth. The notebooks
keep their PNG.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

ICONS = re.compile(r'\s*<(?:script|link)\b[^>]*"[^"]*scripts/fontawesome\.js[^"]*"[^>]*>(?:</script>)?')
PICTURE = re.compile(r"(_images/[0-9A-Za-z_-]+)\.png")


def compress(folder: Path) -> set[str]:
    """Replace each PNG by a WebP, its colors to within 2 in 255, where that is smaller; returns the names, without suffix."""
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


def lighten(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    done = compress(out / "_images")

    def picture(match: re.Match[str]) -> str:
        return f"{match[1]}.webp" if match[1].removeprefix("_images/") in done else match[0]

    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        light = PICTURE.sub(picture, ICONS.sub("", text))
        if light != text:
            page.write_text(light, encoding="utf8")
    (out / "_static/scripts/fontawesome.js").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", lighten, priority=950)  # after what else writes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
