"""Check the built pages without a browser: nothing from elsewhere, every picture described, every figure captioned.

python tools/check_html.py build/_build/html
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

RESOURCES = "script[src], img[src], iframe[src], source[src], video[src], audio[src], object[data], link[href]"
LOADS = {
    "stylesheet",
    "preload",
    "prefetch",
    "modulepreload",
    "icon",
    "shortcut",
    "manifest",
    "preconnect",
    "dns-prefetch",
}
ELSEWHERE = re.compile(r"^(?:https?:)?//", re.I)


def pages(site: Path) -> list[Path]:
    """Every page of the site; what lies under _static is none."""
    return [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] != "_static"]


def page_problems(soup: BeautifulSoup) -> Iterator[str]:
    """What is wrong with one page."""
    for tag in soup.select(RESOURCES):
        if tag.name == "link" and not LOADS & {rel.lower() for rel in tag.get("rel") or []}:
            continue  # an address, such as rel=canonical: nothing is loaded from it
        url = str(tag.get("src") or tag.get("data") or tag.get("href") or "")
        if ELSEWHERE.match(url):
            yield f"loads {url}"
    for tag in soup.select("style, [style]"):
        text = tag.get_text() if tag.name == "style" else str(tag.get("style"))
        if re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text):
            yield f"a style loads from elsewhere: {text.strip()[:80]}"
    for script in soup.select("script:not([src])"):
        if re.search(r"(?:import\s*\(?|importScripts\(|fetch\()\s*['\"]https?://", script.get_text()):
            yield "a script on the page loads from elsewhere"
    for image in soup.select("main img"):
        alt = str(image.get("alt", "")).strip()
        if not alt or re.search(r"_images/|\.(?:png|svg|jpe?g)$", alt):
            yield f"no description (alt) on {image.get('src')}"
    for figure in soup.select("main figure"):
        caption = figure.find("figcaption")
        if caption is None or not caption.get_text(strip=True).strip("#¶"):
            yield f"no caption on the figure {figure.get('id', '')}".rstrip()
    for output in soup.select("main .cell_output img"):
        if output.find_parent("figure") is None:
            yield f"a picture outside a captioned figure: {output.get('src')}"
    ids = Counter(tag["id"] for tag in soup.select("main [id]"))
    for name, times in ids.items():
        if times > 1:
            yield f"the id {name} occurs {times} times"
    headings = len(soup.select("article.bd-article h1"))
    if headings > 1:
        yield f"{headings} top headings where a page has one"


def problems(site: Path) -> Iterator[str]:
    """What is wrong with the site, one line each."""
    found = pages(site)
    if not found:
        yield f"no pages under {site}"
    for page in found:
        if page.relative_to(site).as_posix() == "index.html":
            continue  # a redirect to the front page
        soup = BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")
        for problem in page_problems(soup):
            yield f"{page.relative_to(site)}: {problem}"
    for sheet in sorted((site / "_static").rglob("*.css")) if (site / "_static").exists() else []:
        if re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf8", errors="replace")):
            yield f"{sheet.relative_to(site)}: loads from elsewhere"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    found = list(problems(parser.parse_args().site))
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"HTML: {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
