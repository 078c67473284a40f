"""Formulas as a reader of books shows them: as MathML, or as pictures where it knows no MathML (a Kindle)."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import chromium
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LETTER = re.compile(r'<mi mathvariant="(double-struck|script|bold|bold-italic|fraktur)">([A-Za-z])</mi>')
BOX = re.compile(r'viewBox="[\d.-]+ (-?[\d.]+) ([\d.]+) ([\d.]+)"')  # of SVG, in thousandths of an em
DOTS = 48  # pixels an em: what text of 11 points has on a screen of 300 dots an inch
DRAW = """async ([svgs, width, height]) => {
  const drawn = [];
  for (const [i, svg] of svgs.entries()) {
    const image = new Image(width[i], height[i]), canvas = new OffscreenCanvas(width[i], height[i]);
    image.src = `data:image/svg+xml;utf8,${encodeURIComponent(svg)}`;
    await image.decode();
    const pen = canvas.getContext('2d');
    pen.fillStyle = 'white';
    pen.fillRect(0, 0, width[i], height[i]);
    pen.drawImage(image, 0, 0, width[i], height[i]);
    const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
    drawn.push(btoa(String.fromCharCode(...bytes)));
  }
  return drawn;
}"""
BATCH = 200


def convert(formulas: list[tuple[str, bool]], form: str, options: dict[str, Any] | None = None) -> list[Any]:
    """Each formula, TeX and whether it is displayed, as ``mathml``, ``svg`` or ``html`` (with the options and results
    that tools/tex.mjs tells of); raises where TeX knows no such thing."""
    command = ["node", str(ROOT / "tools/tex.mjs"), form, json.dumps(options or {})]
    done = subprocess.run(command, input=json.dumps(formulas), capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        reason = re.search(r"^Error: (.*(?:\n(?!\s+at ).*)*)", done.stderr, re.M)
        raise ValueError(f"MathJax cannot read a formula: {reason[1] if reason else done.stderr}")
    return json.loads(done.stdout)


def described(tex: str) -> str:
    """TeX as the text of an attribute."""
    return html.escape(" ".join(tex.split()))


# -------------------------------------------------------------------------------------------------------------- MathML


def mathml(formulas: list[tuple[str, bool]]) -> list[str]:
    """Each formula as MathML, with its TeX as a description."""
    return [plain(text, tex) for text, (tex, _) in zip(convert(formulas, "mathml"), formulas, strict=True)]


def plain(text: str, tex: str) -> str:
    """MathML without MathJax's own notes, and with letters that carry their face: readers know no ``mathvariant``."""
    text = re.sub(r' data-[\w-]+="[^"]*"', "", re.sub(r"\n\s*", "", text))
    text = LETTER.sub(lambda found: f"<mi>{letter(found[1], found[2])}</mi>", text)
    return text.replace("<math", f'<math alttext="{described(tex)}"', 1)


def letter(face: str, character: str) -> str:
    """The character of a mathematical alphabet: 𝔼 for a double-struck E."""
    case = "CAPITAL" if character.isupper() else "SMALL"
    name = f"{face.upper().replace('-', ' ').replace('DOUBLE STRUCK', 'DOUBLE-STRUCK')} {case} {character.upper()}"
    for full in (f"MATHEMATICAL {name}", name, name.replace("FRAKTUR", "BLACK-LETTER")):
        try:
            return unicodedata.lookup(full)
        except KeyError:  # some stand among the older symbols
            continue
    raise ValueError(f"no {face} {character} in Unicode")


# ------------------------------------------------------------------------------------------------------------ pictures


def pictures(formulas: list[tuple[str, bool]]) -> tuple[list[str], dict[str, bytes]]:
    """Each formula as an image with its TeX as text, as large as the text around it; and the images, PNG, by name."""
    from playwright.sync_api import sync_playwright

    different = list(dict.fromkeys(formulas))
    svgs = convert(different, "svg")
    boxes = [tuple(float(number) / 1000 for number in BOX.search(svg).groups()) for svg in svgs]
    sizes = [[max(1, round(DOTS * box[side])) for box in boxes] for side in (1, 2)]
    drawn: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        page = browser.new_page()
        for start in range(0, len(svgs), BATCH):
            some = slice(start, start + BATCH)
            drawn += page.evaluate(DRAW, [svgs[some], sizes[0][some], sizes[1][some]])
        browser.close()
    found, images = {}, {}
    for formula, data, (top, width, height) in zip(different, drawn, boxes, strict=True):
        tex, display = formula
        name = f"images/tex-{hashlib.sha256(f'{display}{tex}'.encode()).hexdigest()[:12]}.png"
        images[name] = gray(base64.b64decode(data))
        look = f"width:{width:.2f}em" + ("" if display else f";vertical-align:{-(height + top):.2f}em")
        kind = "displayed" if display else "inline"
        found[formula] = f'<img class="formula {kind}" src="{name}" alt="{described(tex)}" style="{look}"/>'
    return [found[formula] for formula in formulas], images


def gray(picture: bytes) -> bytes:
    """A PNG in sixteen shades."""
    data = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("L").quantize(16).save(data, "PNG", optimize=True)
    return data.getvalue()
