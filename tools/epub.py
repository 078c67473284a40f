"""Write an EPUB 3: chapters, pictures and one style sheet, packed as https://www.w3.org/TR/epub-33/ asks.

The same chapters give the same bytes: entries are dated by the book, not by the day.
"""

from __future__ import annotations

import html
import uuid
import zipfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="EPUB/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><meta charset="utf-8"/><title>{title}</title><link rel="stylesheet" href="book.css"/></head>
<body>{body}</body>
</html>
"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="book" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
{metadata}
</metadata>
<manifest>
{manifest}
</manifest>
<spine>
{spine}
</spine>
</package>
"""
ACCESS = {
    "schema:accessMode": ["textual", "visual"],
    "schema:accessModeSufficient": ["textual"],
    "schema:accessibilityFeature": ["alternativeText", "structuralNavigation", "tableOfContents"],
    "schema:accessibilityHazard": ["none"],
}
FORMULAS = {  # with MathML in the chapters, and without
    True: "Formulas are MathML with their TeX; every picture has a description.",
    False: "Formulas are pictures, described by their TeX; every other picture has a description.",
}


@dataclass
class About:
    """What is said of the book; ``changed`` is a day, YYYY-MM-DD, and ``address`` where the book is published."""

    title: str
    author: str
    description: str
    rights: str
    version: str
    changed: str | None
    address: str | None


@dataclass
class Chapter:
    """A file of the book: its body as XHTML, and the sections for the table of contents as (id, words)."""

    file: str
    title: str
    part: str
    body: str
    sections: list[tuple[str, str]]


def metadata(about: About, mathml: bool) -> str:
    """The identifier is the same for every version, and the day is what changes."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, (about.address or about.title) + ("" if mathml else "#pictures"))
    lines = [
        f'<dc:identifier id="book">urn:uuid:{name}</dc:identifier>',
        f"<dc:title>{html.escape(about.title)}</dc:title>",
        f"<dc:creator>{html.escape(about.author)}</dc:creator>",
        "<dc:language>en</dc:language>",
        f"<dc:rights>{html.escape(about.rights)}</dc:rights>",
        f"<dc:description>{html.escape(about.description)} Version {html.escape(about.version)}.</dc:description>",
        f'<meta property="dcterms:modified">{about.changed or "1980-01-01"}T00:00:00Z</meta>',  # it must be there
        '<meta name="cover" content="cover-image"/>',
    ]
    if about.address:
        lines.append(f"<dc:source>{html.escape(about.address)}</dc:source>")
    lines += [f'<meta property="{name}">{value}</meta>' for name, values in ACCESS.items() for value in values]
    lines += ['<meta property="schema:accessibilityFeature">MathML</meta>'] if mathml else []
    lines += [f'<meta property="schema:accessibilitySummary">{FORMULAS[mathml]}</meta>']
    return "\n".join(lines)


def contents(chapters: list[Chapter]) -> str:
    """The table of contents: parts, chapters, sections."""

    def entry(chapter: Chapter) -> str:
        inner = "".join(
            f'<li><a href="{chapter.file}#{at}">{html.escape(words)}</a></li>' for at, words in chapter.sections
        )
        below = f"<ol>{inner}</ol>" if inner else ""
        return f'<li><a href="{chapter.file}">{html.escape(chapter.title)}</a>{below}</li>'

    groups = []
    for part, members in groupby(chapters, key=lambda chapter: chapter.part):
        items = "".join(map(entry, members))
        groups.append(f"<li><span>{html.escape(part)}</span><ol>{items}</ol></li>" if part else items)
    return f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>{"".join(groups)}</ol></nav>'


def write(target: Path, about: About, chapters: list[Chapter], images: dict[str, bytes], style: str) -> None:
    """Write the file; ``images`` are PNGs by name, ``images/cover.png`` among them."""
    cover = f'<section epub:type="cover"><img class="cover" src="images/cover.png" alt="{html.escape(about.title)}"/>'
    pages = {"cover.xhtml": PAGE.format(title="Cover", body=f"{cover}</section>")}
    pages["contents.xhtml"] = PAGE.format(title="Contents", body=contents(chapters))
    pages |= {c.file: PAGE.format(title=html.escape(c.title), body=c.body) for c in chapters}

    properties = {"contents.xhtml": "nav"}
    properties |= {c.file: "mathml" for c in chapters if "<math" in c.body}
    mathml = "mathml" in properties.values()
    items, order = [], []
    for number, (file, _) in enumerate(pages.items()):
        extra = f' properties="{properties[file]}"' if file in properties else ""
        items.append(f'<item id="page-{number}" href="{file}" media-type="application/xhtml+xml"{extra}/>')
        order.append(f'<itemref idref="page-{number}"/>')
    for number, file in enumerate(sorted(images)):
        is_cover = file == "images/cover.png"
        name, extra = ("cover-image", ' properties="cover-image"') if is_cover else (f"image-{number}", "")
        items.append(f'<item id="{name}" href="{file}" media-type="image/png"{extra}/>')
    items.append('<item id="style" href="book.css" media-type="text/css"/>')
    package = PACKAGE.format(metadata=metadata(about, mathml), manifest="\n".join(items), spine="\n".join(order))

    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as packed:

        def add(name: str, data: str | bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
            entry = zipfile.ZipInfo(name)  # dated 1980, whatever the day
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, data, method)

        add("mimetype", "application/epub+zip", zipfile.ZIP_STORED)  # first, and as it is
        add("META-INF/container.xml", CONTAINER)
        add("EPUB/book.opf", package)
        add("EPUB/book.css", style)
        for name, text in pages.items():
            add(f"EPUB/{name}", text)
        for name in sorted(images):
            add(f"EPUB/{name}", images[name], zipfile.ZIP_STORED)
