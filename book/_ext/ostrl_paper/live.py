"""Pictures of live figures for paper: each figure runs in Chromium, and its first state is printed as a small PDF."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import chromium  # noqa: E402

RUNTIME = ROOT / "book/_static_src/live.js"
STYLE = """
@page { margin: 0; }
html { --pst-color-text-base: #222; --pst-color-background: #fff; color-scheme: light; }
body { color: #222; font: 15px/1.5 sans-serif; margin: 0; padding: 4px; width: 672px; display: flow-root; }
/* a list that scrolls on the page ends on paper with a whole entry */
body .ostrl-live .ol-answers { max-height: none; overflow: visible; }
body .ostrl-live .ol-answers > :nth-child(n+7) { display: none; }
"""


def draw(outputs: list[str], folder: Path) -> list[Path]:
    """A PDF for each output of a live figure. What was drawn before, from the same output, is not drawn again."""
    runtime = RUNTIME.read_text(encoding="utf8")
    pictures = []
    for output in outputs:
        key = hashlib.sha256((output + runtime + STYLE).encode()).hexdigest()[:16]
        pictures.append(folder / f"live-{key}.pdf")
    missing = {picture: output for output, picture in zip(outputs, pictures, strict=True) if not picture.exists()}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _print(missing, runtime)
    return pictures


def _print(figures: dict[Path, str], runtime: str) -> None:
    from playwright.sync_api import sync_playwright  # only where there is something to draw

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        for picture, output in figures.items():
            page = browser.new_page(viewport={"width": 680, "height": 900})
            page.emulate_media(media="screen")
            page.set_content(
                f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{output}<script>{runtime}</script>"
            )
            page.locator(".ostrl-live-host[data-live=yes]").wait_for(timeout=20_000)
            height = page.evaluate("Math.ceil(document.body.getBoundingClientRect().height)")
            page.pdf(path=picture, width="680px", height=f"{height + 2}px", print_background=True)
            page.close()
        browser.close()
