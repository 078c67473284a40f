"""Check the printed book: nothing too wide, no reference lost, no figure missing, the numbers of the site.

    python tools/check_pdf.py build/ostrl.pdf build/pdf/_build/latex --site build/_build/html

The site is compared with where it has been built.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parents[1]
TOO_WIDE = 5.0  # points; less than a letter, and code never comes near it, for it wraps

Numbers = dict[str, str]  # label -> what stands beside it: "(2.1)", "Figure 2.1", "Proposition 2.1", "Exercise 2.1"


# what LaTeX says


def log_problems(log: str) -> Iterator[str]:
    """What the log of LaTeX complains about, in words; it must have been written with long lines."""
    for found in re.finditer(r"^Overfull \\([hv])box \(([\d.]+)pt too \w+\)(.*)\n(.*)", log, re.M):
        kind, points, where, excerpt = found.groups()
        if float(points) > TOO_WIDE:
            words = re.sub(r"\\TU/\S+|\[\]|\|", " ", excerpt)
            much = f"{points} points too {'wide' if kind == 'h' else 'high'}{where.replace(' detected', '')}"
            yield f"{much} of ostrl.tex: {' '.join(words.split())[:100]}"
    for character in sorted(set(re.findall(r"^Missing character: There is no (.*)", log, re.M))):
        yield f"a sign that the font lacks: {character}"
    for line in sorted(set(re.findall(r"^LaTeX Warning: (.*(?:undefined|multiply defined|too large).*)$", log, re.M))):
        yield line
    for line in re.findall(r"^(?:! |Package \w+ Error: )(.*)", log, re.M):
        yield f"LaTeX error: {line}"


# what stands in the PDF


def titles(outline: list) -> Iterator[str]:
    for entry in outline:
        if isinstance(entry, list):
            yield from titles(entry)
        else:
            yield str(entry.title)


def plain(title: str) -> str:
    """The words of a title: bookmarks and pages write dashes, quotes and marks in their own way."""
    return re.sub(r"\W+", " ", title).strip().lower()


def pdf_problems(reader: PdfReader, chapters: list[str], pictures: int) -> Iterator[str]:
    """What is missing from the PDF: chapters in its outline, targets of links, pictures, its own name."""
    bookmarks = {plain(title) for title in titles(reader.outline)}
    if not bookmarks:
        yield "no outline"
    for chapter in chapters:
        if not any(bookmark.endswith(plain(chapter)) for bookmark in bookmarks):
            yield f"no chapter {chapter!r} in the outline"
    information = reader.metadata or {}
    for key in ("/Title", "/Author"):
        if not information.get(key):
            yield f"no {key[1:].lower()} in the document's properties"
    if not reader.trailer["/Root"].get("/Lang"):
        yield "no language: whoever reads it aloud has to guess"
    targets, seen = set(reader.named_destinations), 0
    for number, page in enumerate(reader.pages, 1):
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            action = link.get("/A", {})
            name = link.get("/Dest", action.get("/D"))
            if isinstance(name, str) and name not in targets:
                yield f"page {number}: a link leads to {name}, which is nowhere"
        if "??" in page.extract_text():
            yield f"page {number}: two question marks, as for a lost reference"
        objects = page.get("/Resources", {}).get("/XObject", {})
        seen += len(objects)
    if seen != pictures:
        yield f"{seen} pictures, where the chapters have {pictures}"


# numbers


def printed_numbers(tex: str) -> Numbers:
    """The numbers on paper."""
    numbers = {
        label: f"({number})" for number, label in re.findall(r"\\tag\{([^}]*)\}\\label\{equation:[^:}]*:([^}]*)\}", tex)
    }
    for number, body in re.findall(r"\\renewcommand\{\\thefigure\}\{([^}]*)\}(.*?)\\end\{figure\}", tex, re.S):
        for label in re.findall(r"\\label\{\\detokenize\{[^:}]*:(fig-[^}]*)\}", body):
            numbers[label] = f"Figure {number}"
    boxes = r"\\label\{\\detokenize\{[^:}]*:([^}]*)\}\}\\ostrl(?:claim|exercise)title\{([^}]*)\}"
    return numbers | dict(re.findall(boxes, tex))


def site_numbers(site: Path) -> Numbers:
    """The numbers on the site."""
    numbers: Numbers = {}
    for page in sorted(site.rglob("*.html")):
        soup = BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")
        for tag in soup.select("main div.math[id] > span.eqno"):
            numbers[str(tag.parent["id"]).removeprefix("equation-")] = tag.get_text().strip("#¶ \n")
        for tag in soup.select("main figure[id], main div.proof[id], main div.exercise[id]"):
            if number := tag.select_one(".caption-number"):
                numbers[str(tag["id"])] = number.get_text().strip()
    return numbers


def printed_headings(toc: str) -> dict[str, str]:
    """Numbered chapters and sections on paper: "2.1" -> its title."""
    lines = re.findall(
        r"\\contentsline \{(?:chapter|section|subsection)\}\{\\numberline \{([\d.]+)\}(.*)\}\{\d+\}\{", toc
    )
    return {number: plain(re.sub(r"\\\(.*?\\\)|\\\w+ ?", " ", title)) for number, title in lines}


def site_headings(site: Path) -> dict[str, str]:
    """The same on the site."""
    found = {}
    for page in sorted(site.rglob("notebooks/*.html")):
        soup = BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")
        for heading in soup.select("main :is(h1, h2, h3):has(> .section-number)"):
            number = heading.select_one(".section-number").extract().get_text().strip(". \n")
            for other in heading.select(".math, .headerlink"):
                other.decompose()
            found[number] = plain(heading.get_text())
    return found


def heading_problems(printed: dict[str, str], site: dict[str, str]) -> Iterator[str]:
    for number in sorted(printed.keys() | site.keys()):
        if printed.get(number) != site.get(number):
            yield f"section {number} is {printed.get(number)!r} on paper and {site.get(number)!r} on the site"


def number_problems(printed: Numbers, site: Numbers) -> Iterator[str]:
    for label in sorted(printed.keys() | site.keys()):
        if printed.get(label) != site.get(label):
            yield f"{label} is {printed.get(label, 'missing')} on paper and {site.get(label, 'missing')} on the site"


# all of it


def contents() -> tuple[list[str], set[str], int]:
    """The chapters' titles, the names of their figures, and how many pictures the book has besides."""
    chapters, figures = [], set()
    front = (ROOT / "book/intro.md").read_text(encoding="utf8")
    more = front.count("![") + front.count("{live-figure}")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        chapters.append(re.search(r"^# (.+)$", source, re.M)[1].strip())  # type: ignore[index]
        for cell in cells:
            if name := cell["metadata"].get("mystnb", {}).get("figure", {}).get("name"):
                figures.add(name)
            for output in cell.get("outputs", []):
                more += "ostrl-live-host" in "".join(output.get("data", {}).get("text/html", ""))
    return chapters, figures, more


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdf", type=Path)
    parser.add_argument("latex", type=Path, help="the folder it was typeset in")
    parser.add_argument("--site", type=Path)
    options = parser.parse_args()
    chapters, figures, more = contents()
    reader = PdfReader(options.pdf)
    tex = (options.latex / "ostrl.tex").read_text(encoding="utf8")
    numbers = printed_numbers(tex)

    found = list(log_problems((options.latex / "ostrl.log").read_text(encoding="utf8", errors="replace")))
    found += pdf_problems(reader, chapters, len(figures) + more)
    found += [f"the figure {name} has no caption on paper" for name in sorted(figures - numbers.keys())]
    compared = "not compared with the site, which is not built (make book)"
    if options.site and (options.site / "index.html").exists():
        site = site_numbers(options.site)
        found += number_problems(numbers, site)
        headings = printed_headings((options.latex / "ostrl.toc").read_text(encoding="utf8"))
        found += heading_problems(headings, site_headings(options.site))
        compared = f"{len(site)} of them and {len(headings)} headings compared with the site"
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"PDF: {len(reader.pages)} pages, {len(numbers)} numbers ({compared}), {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
