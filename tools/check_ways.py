"""Check the ways between pages: code to its equation and back, and a preview for every link that should have one.

    python tools/check_ways.py build/_build/html

A function whose docstring names an equation or a claim links to it in the API reference, and below the equation stands
a line that leads to the function; the code of a chapter leads to the reference. All are made by extensions in
book/_ext; this looks at what came out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import claims  # noqa: E402
from ostrl_previews import LINK  # noqa: E402


def fragments(tag: Tag | None) -> set[str]:
    return {str(link["href"]).partition("#")[2] for link in tag.select("a[href]")} if tag else set()


def lines_below(soup: BeautifulSoup) -> dict[str, set[str]]:
    """Label of an equation -> what the line below it leads to."""
    found = {}
    for equation in soup.select('main div.math[id^="equation-"]'):
        line = equation.find_next_sibling()
        own = isinstance(line, Tag) and "in-code" in (line.get("class") or [])
        found[str(equation["id"]).removeprefix("equation-")] = fragments(line) if own else set()
    return found


def problems(pages: dict[str, BeautifulSoup], named: dict[str, list[str]]) -> Iterator[str]:
    """What leads nowhere; ``named`` maps a label to the documented functions that name it."""
    entries = {str(dt["id"]): dt.find_parent("dl") for soup in pages.values() for dt in soup.select("dt.sig[id]")}
    lines: dict[str, set[str]] = {}
    for name, soup in pages.items():
        if name.startswith("notebooks/"):
            lines |= lines_below(soup)
            if soup.select_one("main .highlight .line") and not soup.select_one('main .highlight a[href*="#ostrl."]'):
                yield f"{name}: nothing in its code leads to the API reference"
    for label, names in sorted(named.items()):
        for name in names:
            if name not in entries:
                yield f"{name} names {label}, and has no entry in the API reference"
            elif not {label, f"equation-{label}"} & fragments(entries[name]):
                yield f"{name} names {label}, and its entry in the API reference does not link to it"
            if label.startswith("eq-") and name not in lines.get(label, set()):
                yield f"below equation {label} nothing leads to {name}"
    for page, soup in sorted(pages.items()):
        block = soup.find(id="previews")
        shown = json.loads(block.get_text()) if block else {}
        wanted = {str(link["href"]) for link in soup.select("main a.internal[href]")}
        for href in sorted(href for href in wanted if LINK.search(href) and href not in shown):
            yield f"{page}: no preview of {href}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    site = parser.parse_args().site
    named = claims.documented_names(ROOT)
    files = [path for folder in ("notebooks", "book") for path in sorted((site / folder).rglob("*.html"))]
    pages = {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
        for path in files
    }
    found = list(problems(pages, named))
    for problem in found:
        print(problem, file=sys.stderr)
    ways = sum(map(len, named.values()))
    print(f"{ways} ways between code and book, previews on {len(pages)} pages: {len(found)} problems")
    return int(bool(found) or not pages)


if __name__ == "__main__":
    sys.exit(main())
