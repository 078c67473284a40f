"""Check that the built pages are valid HTML, with the W3C's own checker (vnu, from npm; it needs Java 11 or newer).

    python tools/check_valid.py build/_build/html

Without Java nothing is checked: a loud line says so, and with CI=true that is an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import java
from check_html import pages

ROOT = Path(__file__).resolve().parents[1]
CHECKER = ROOT / "node_modules/vnu-jar/build/dist/vnu.jar"


def errors(program: str, site: Path) -> list[str]:
    """One line for each kind of error on a page: where it is first, and how often it occurs."""
    if not pages(site):
        return [f"no pages under {site}"]
    command = [program, "-jar", str(CHECKER), "--errors-only", "--format", "json", *map(str, pages(site))]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    if not report.strip().startswith("{"):
        raise RuntimeError(f"the checker of HTML did not run: {report.strip()[:500]}")
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for message in json.loads(report)["messages"]:
        page = message.get("url", "").split(f"{site.name}/")[-1]
        where = f"line {message.get('lastLine', '?')}: {' '.join(message.get('extract', '').split())[:120]}"
        places[page, message["message"]].append(where)
    return [f"{page}: {what} ({len(at)} times; {at[0]})" for (page, what), at in places.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    site = parser.parse_args().site
    return java.check("HTML NOT VALIDATED", lambda path: errors(path, site), f"valid HTML: {len(pages(site))} pages")


if __name__ == "__main__":
    sys.exit(main())
