"""The icons that the pages show, and no others: the theme sends 2,000 of them, for the 20 that a page has.

The fonts are cut down to the letters that the styles and the pages still name, and the style sheet to the classes that
are used; everything else in it stays.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from ostrl_body import written
from ostrl_faces import keep
from sphinx.application import Sphinx

SHEET = "styles/pydata-sphinx-theme.css"
FONTS = "vendor/fontawesome/webfonts"
RULE = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"[^"]*"\}')
CLASS = re.compile(r"\bfa-[\w-]+")
LETTER = re.compile(r"\\([ef][0-9a-f]{3})\b|([\ue000-\uf8ff])")
FACE = re.compile(r'url\(([^()]*?)\.woff2\) format\("woff2"\),\s*url\([^()]*\.ttf\) format\("truetype"\)')


def used(texts: list[str]) -> set[str]:
    """The classes of icons that pages and scripts name."""
    return {name for text in texts for name in CLASS.findall(text)}


def cut(sheet: str, names: set[str]) -> str:
    """The style sheet with the icons of these classes alone, and fonts where :func:`shrink` puts them."""
    kept = RULE.sub(lambda rule: rule[0] if names.intersection(CLASS.findall(rule[1])) else "", sheet)
    return FACE.sub(r'url(\1.woff) format("woff")', kept)


def letters(sheets: list[str]) -> set[int]:
    """The letters of icons that style sheets write, as code points."""
    return {int(code, 16) if code else ord(letter) for sheet in sheets for code, letter in LETTER.findall(sheet)}


def shrink(font: Path, points: set[int]) -> None:
    """Replace a font (``.ttf``, ``.woff2``) by one with these letters alone (``.woff``)."""
    keep(points, font, font.with_suffix(".woff"))
    font.unlink()
    font.with_suffix(".woff2").unlink()


def lighten(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    static = Path(app.outdir) / "_static"
    scripts = [path for path in static.rglob("*.js") if "vendor" not in path.parts]
    names = used([path.read_text(encoding="utf8") for path in [*written(app), *scripts]])
    sheet = static / SHEET
    sheet.write_text(cut(sheet.read_text(encoding="utf8"), names), encoding="utf8")
    points = letters([path.read_text(encoding="utf8") for path in static.rglob("*.css") if "vendor" not in path.parts])
    for font in sorted((static / FONTS).glob("*.ttf")):
        shrink(font, points)


def setup(app: Sphinx) -> dict[str, Any]:
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each table
    app.connect("build-finished", lighten, priority=960)  # after what else writes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
