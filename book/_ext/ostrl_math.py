"""Formulas are set while the book is built, by the MathJax that the pages have.

So they are there with the text at its first paint, without JavaScript too, and nothing moves. A displayed formula that
a narrow column cannot hold is there in versions, broken into lines, of which the style sheet shows the one that fits.
What comes later, cards and passages of a search, is set by math.js.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostrl_body import written
from ostrl_faces import ALWAYS, keep
from sphinx.application import Sphinx
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import formulas

LOGGER = logging.getLogger(__name__)
TOKEN = re.compile(
    r"<(?P<code>script|style|pre|code|title|textarea)\b.*?</(?P=code)>|<[^>]*>"  # no formula of the page's text
    r"|\\\((?P<inline>[^<]*?)\\\)|\\\[(?P<displayed>[^<]*)\\\]",
    re.S,
)
STARTUP = re.compile(r'<script[^>]* src="([^"]*_static/)vendor/mathjax/startup\.js[^"]*"></script>')
# What MathJax notes for itself, or repeats at each formula that the style sheet can say once.
NOTES = re.compile(r' (?:data-latex|data-mjx-[\w-]+|noic|texclass|unselectable|overflow|xmlns)="[^"]*"')
# A letter and nothing else in an element of its own: what that one says, its letter can.
SINGLE = re.compile(
    r'<(mjx-m[ion])((?: (?!class|style)[\w-]+="[^"]*")*)><mjx-c class="([\w-]+)"([^>]*)>([^<]*)</mjx-c></\1>'
)
START = re.compile(r'^<mjx-container class="MathJax" jax="CHTML"([^>]*?) style="([^"]*)"')
FACE = re.compile(r'\bNCM-([A-Z0-9]+)"')
STYLE = "math.css"
FACES = "vendor/mathjax/fonts/mathjax-newcm-font/chtml/woff2"
# Columns, in em of their text, from a small phone's on: where a formula may stand whole; and which the broken ones fit.
WIDTHS = [*range(7, 20), *range(20, 48, 2)]
BROKEN = [12, 17, 26]

Formula = tuple[str, bool]  # TeX, and whether it is displayed


def each(page: str, change: Callable[[Formula], str]) -> str:
    """The page with every formula of its text changed; code, scripts and attributes stay as they are."""

    def one(match: re.Match[str]) -> str:
        for kind in ("inline", "displayed"):
            if match[kind] is not None:
                return change((html.unescape(match[kind]).strip(), kind == "displayed"))
        return match[0]

    return TOKEN.sub(one, page)


def found(page: str) -> list[Formula]:
    """The formulas of a page's text, in its order."""
    there: list[Formula] = []

    def note(formula: Formula) -> str:
        there.append(formula)
        return ""

    each(page, note)
    return there


def parts(text: str) -> tuple[str, str, str]:
    """What MathJax writes, less what the pages do not need: attributes of its own, its look, and all that follows."""
    text = SINGLE.sub(r'<mjx-c class="\3 single"\2\4>\5</mjx-c>', NOTES.sub("", text))
    start = START.match(text)
    if start is None:
        raise ValueError(f"MathJax writes formulas in another way now: {text[:200]}")
    return start[1], start[2], text[start.end() :]


def light(text: str, tex: str, shown: str) -> str:
    """A formula as the pages have it: with its TeX, and the widths at which it is shown."""
    attributes, _, rest = parts(text)
    data = html.escape(tex).replace("\n", "&#10;")
    return f'<mjx-container jax="CHTML"{attributes}{shown} data-tex="{data}"{rest}'


def versions(tex: str, each_width: list[tuple[int, str]]) -> str:
    """A formula for every width: each version is shown from its width on, up to that of the next wider one."""
    texts, wider = [], 0
    for width, text in each_width:
        names = [f"from-{width}"] * bool(width) + [f"to-{wider}"] * bool(wider)
        texts.append(light(text, tex, f' class="{" ".join(names)}"' if names else ""))
        wider = width
    return "".join(texts)


def sheet(rules: str, look: str) -> str:
    """The style sheet: MathJax's own, and which version of a formula is shown."""
    shown = [
        f"@container formula (width < {width}em) {{\n"
        f"  mjx-container[display].from-{width} {{ display: none; }}\n"
        f"  mjx-container[display].to-{width} {{ display: block; }}\n}}"
        for width in reversed(WIDTHS)
    ]
    versions = [
        "div.math { container: formula / inline-size; }",
        'mjx-container[display][class*="to-"] { display: none; }',
    ]
    look = f'mjx-container[jax="CHTML"] {{ {look} }}'
    whole = "calc(100% + 1em) -2px, calc(100% + 1em) calc(100% + 2px), -1em calc(100% + 2px)"
    single = f"mjx-c.single {{ clip-path: padding-box polygon(-1em -2px, {whole}); }}"  # as of a letter among others
    far = "mjx-assistive-mml { content-visibility: auto; contain-intrinsic-size: 1px 1px; }"  # not laid out until near
    return "\n".join([rules.replace("FONTS", FACES), look, single, far, *versions, *shown, ""])


def embed(rules: str, folder: Path, texts: str) -> str:
    """The style sheet with the faces that these formulas use in it, with their characters and no others: a face that
    came later would have the page laid out anew. Other faces stay files, in case a later formula asks for one."""
    points = {ord(sign) for text in re.findall(r">([^<]+)<", texts) for sign in html.unescape(text)}
    for face in {"N", "ZERO", "BRK", *FACE.findall(texts)}:
        name = f"mjx-ncm-{face.lower()}.woff2"
        font = folder / name
        if face not in ("ZERO", "BRK"):  # a blank each
            keep(points | ALWAYS, font, font)
        data = base64.b64encode(font.read_bytes()).decode()
        rules = rules.replace(f"FONTS/{name}", f"data:font/woff2;base64,{data}")
    return rules


def write(app: Sphinx, error: Exception | None) -> None:
    """Set the formulas of every page."""
    if error or app.builder.name != "html":
        return
    static = Path(app.outdir) / "_static"
    pages = {path: path.read_text(encoding="utf8") for path in written(app)}
    there = {path: found(text) for path, text in pages.items()}
    different = list(dict.fromkeys(formula for some in there.values() for formula in some))
    options = {"output": app.config.mathjax3_config["output"], "widths": WIDTHS, "broken": BROKEN}
    *texts, rules = formulas.convert(different, "html", options)
    ready = {formula: versions(formula[0], text) for formula, text in zip(different, texts, strict=True)}
    if texts:
        _, look, _ = parts(texts[0][0][1])
        rules = embed(rules, static / FACES, "".join(ready.values()))
        (static / STYLE).write_text(sheet(rules, look), encoding="utf8")
    for path, text in pages.items():
        link = rf'<link rel="stylesheet" href="\1{STYLE}">' if there[path] else ""
        changed = STARTUP.sub(link, each(text, ready.__getitem__))
        if changed != text:
            path.write_text(changed, encoding="utf8")
    LOGGER.info("formulas: %d set, %d of them different", sum(map(len, there.values())), len(different))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_js_file("math.js", loading_method="defer")
    app.connect("build-finished", write, priority=940)  # after what reads the TeX of the pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
