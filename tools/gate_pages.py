"""Judge what tools/check_pages.mjs saw: no request to elsewhere, no error, nothing too wide, no axe finding.

    python tools/gate_pages.py build/pages.json

What the theme itself brings is listed below, each rule with the elements it applies to, and is excused on those
elements alone. The list was found on search.html, a page with nothing of ours on it; an entry that no longer occurs
there is reported, so that the list only shrinks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

BLANK_PAGE = "search.html"
THEME = {  # axe rule -> how the element's HTML reads; sphinx-book-theme 1.3 on pydata-sphinx-theme 0.17
    (
        "region",
        'class="sidebar-primary-item"',
    ): "the sidebar's title and search button are outside the navigation landmark",
}
NAMES = {
    "external": "asks for another machine",
    "missing": "answered with an error",
    "console": "error",
    "wide": "wider than the window",
    "math": "mathematics",
    "images": "picture that does not load",
}
HEAVIEST = 3_000_000  # bytes of all that a page loads, before a host compresses it; live figures' data included
SLOWEST = 2000  # ms until the heaviest pages answer
LONGEST = 200  # ms that a page may not answer after that: what Web Vitals calls good


def excuse(finding: dict[str, str]) -> tuple[str, str] | None:
    """The entry of the theme's list that covers an axe finding."""
    return next((key for key in THEME if key[0] == finding["rule"] and key[1] in finding["html"]), None)


def judge(report: dict[str, Any]) -> list[str]:
    """One line for each thing that is wrong, the views it shows in put together."""
    seen: dict[tuple[str, str], list[str]] = defaultdict(list)
    blank: set[tuple[str, str]] = set()
    for page, views in report["pages"].items():
        for view, record in views.items():
            for kind, words in NAMES.items():
                for what in record[kind]:
                    seen[page, f"{words}: {what}"].append(view)
            if record["weight"] > HEAVIEST:
                seen[page, f"loads {record['weight'] / 1e6:.1f} MB where {HEAVIEST / 1e6:.0f} are allowed"].append(view)
            for finding in record["axe"]:
                key = excuse(finding)
                if key is None:
                    what = f"axe {finding['rule']} ({finding['impact']}): {finding['target']} {finding['html'][:100]}"
                    seen[page, what].append(view)
                elif page == BLANK_PAGE:
                    blank.add(key)
    lines = [f"{page} [{', '.join(views)}]: {what}" for (page, what), views in seen.items()]
    if BLANK_PAGE in report["pages"]:
        lines += [
            f"the theme no longer brings {rule} on {what}: take it off the list" for rule, what in THEME.keys() - blank
        ]
    if "search" in report and not report["search"]:
        lines.append("the search of the built site finds nothing for gradient")
    if not report.get("signs", True):
        lines.append("the search of the built site finds nothing for ∇")
    if report.get("meant", "gradient") != "gradient":
        lines.append(f"the search of the built site takes gradinet for {report['meant'] or 'nothing'}, not gradient")
    if not report.get("named", "Theorem 2.2").startswith("Theorem 2.2"):
        lines.append(f"the search of the built site offers {report['named'] or 'nothing'} for Theorem 2.2")
    if report.get("search") and "gradient" not in report.get("passage", "").lower():
        lines.append("the search of the built site shows no passage that says gradient, with its section")
    lines += report.get("turned", [])
    lines += [f"by keyboard: {what}" for what in report.get("keyboard", [])]
    lines += [f"preview of a link: {what}" for what in report.get("previews", [])]
    for page, run in report.get("answers", {}).items():
        if run["time"] > SLOWEST or run["held"] > LONGEST:
            limits = f"{SLOWEST} and {LONGEST} ms are allowed"
            lines.append(f"{page}: answers after {run['time']} ms, and is held up for {run['held']} ms then; {limits}")
    for kind, words in NAMES.items():
        lines += [f"at an unknown address: {words}: {what}" for what in report.get("lost", {}).get(kind, [])]
        lines += [
            f"opened from a folder on disk: {words}: {what}"
            for what in report.get("disk", {}).get(kind, [])
            if kind != "missing"
        ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    report = json.loads(parser.parse_args().report.read_text(encoding="utf8"))
    if "skipped" in report:
        how = "Install it (Debian: apt-get install chromium) or set $CHROMIUM"
        print(f"*** BROWSER CHECKS SKIPPED: {report['skipped']}. {how}. ***")
        return int(os.environ.get("CI") == "true")
    lines = judge(report)
    for line in lines:
        print(line, file=sys.stderr)
    for page, run in report.get("answers", {}).items():
        weight = max(record["weight"] for record in report["pages"][page].values())
        print(f"{page}: {weight / 1e6:.1f} MB, answers after {run['time']} ms")
    print(f"{len(report['pages'])} pages in the browser: {len(lines)} problems")
    return int(bool(lines) or not report["pages"])


if __name__ == "__main__":
    sys.exit(main())
