"""The text faces with the characters that the pages write, and no others.

A face that comes late has the whole page laid out again, and a face is split over many files, by script. What the book
takes of Greek or of letters with accents is a few dozen characters: those, and the two faces that every page begins
with, stand in the style sheet itself, so that only two files are asked for: italics and code.
"""

from __future__ import annotations

import base64
import html
import logging
import re
from pathlib import Path
from typing import Any

import ostrl_body
from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer
from sphinx.application import Sphinx

SHEET = "vendor/fonts/fonts.css"
RULE = re.compile(r"(?:/\*[^*]*\*/\s*)?@font-face \{.*?\}\s*", re.DOTALL)
FILE = re.compile(r"url\(([^)]+)\)")
RANGE = re.compile(r"unicode-range: ([^;]+);")
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
ALWAYS = frozenset(range(0x20, 0x7F))  # what a reader types, too
AT_ONCE = ("source-serif-4-latin-wght-normal", "source-sans-3-latin-wght-normal")
WEIGHTS = (400, 700)
SMALL = 8_000  # bytes


def written(texts: list[str]) -> set[int]:
    """The characters of texts, as code points, also those that are written as entities or escapes."""
    points = set(map(ord, set().union(*map(html.unescape, texts))))
    return ALWAYS | points | {int(code, 16) for text in texts for code in ESCAPE.findall(text)}


def spans(rule: str) -> set[int]:
    """The code points that a rule's ``unicode-range`` names."""
    found = set()
    for span in RANGE.search(rule)[1].split(","):
        first, _, last = span.strip().removeprefix("U+").partition("-")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return found


def keep(points: set[int], font: Path, target: Path) -> None:
    """Write a font with these characters, and no others, in the format that the target's suffix names."""
    options = subset.Options(flavor=target.suffix[1:])
    options.drop_tables += ["ltag"]  # names of languages, which cannot be cut
    part = subset.Subsetter(options)
    part.populate(unicodes=points)
    with subset.load_font(font, options) as whole:
        part.subset(whole)
        subset.save_font(whole, target, options)


def shrink(font: Path, points: set[int]) -> None:
    """Leave these characters, and no others, in a font (``.woff2``), and the weights that the book is set in."""
    keep(points, font, font)
    with TTFont(font, lazy=False) as wide:
        instancer.instantiateVariableFont(wide, {"wght": WEIGHTS}).save(font)


def cut(sheet: Path, points: set[int]) -> None:
    """Rewrite a style sheet of faces and its files for these characters."""
    rules, kept = [], set()
    for rule in RULE.findall(sheet.read_text(encoding="utf8")):
        needed = spans(rule) & points
        if not needed:
            continue
        font = sheet.parent / FILE.search(rule)[1]
        shrink(font, needed)
        if font.stem in AT_ONCE or font.stat().st_size < SMALL:
            data = base64.b64encode(font.read_bytes()).decode()
            rule = FILE.sub(f"url(data:font/woff2;base64,{data})", rule)
        else:
            kept.add(font)
        rules.append(rule)
    for font in set(sheet.parent.rglob("*.woff2")) - kept:
        font.unlink()
    sheet.write_text("".join(rules), encoding="utf8")


def lighten(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    static = Path(app.outdir) / "_static"
    files = [*ostrl_body.written(app), static / "names.js"]  # what the search shows, too
    texts = [path.read_text(encoding="utf8") for path in files]
    cut(static / SHEET, written(texts))


def setup(app: Sphinx) -> dict[str, Any]:
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each table
    app.connect("build-finished", lighten, priority=960)  # after what else writes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
