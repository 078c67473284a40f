"""Bind the built site into one EPUB: the same words, numbers and links, formulas as MathML, live figures as pictures.

    python tools/ebook.py build/_build/html build/ostrl.epub
    python tools/ebook.py build/_build/html build/ostrl-kindle.epub --pictures

The second has formulas as pictures, too: a Kindle knows no MathML.

The pages are those of the site's menu, without the API reference: what the pages say of it leads to the site where the
site's address is known, and is plain text where it is not.
"""

from __future__ import annotations

import argparse
import io
import posixpath
import re
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import chromium
import epub
import formulas as shown
import yaml
from bs4 import BeautifulSoup, Tag
from configure import last_change
from PIL import Image
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
FRONT = "book/intro.html"
LEFT_OUT = "book/api/"
GONE = "script, style, noscript, button, .headerlink, .chapter-map, .toctree-wrapper, .ostrl-live-fallback"
FORMULA = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.S)
MARK = "\ue000{}\ue001"  # stands for a formula until the page is written
MARKS = re.compile("\ue000(\\d+)\ue001")


@dataclass
class Page:
    """A page of the site on its way into the book."""

    name: str  # as the site has it: notebooks/02_policy_gradient.html
    title: str
    part: str
    article: Tag
    live: list[str] = field(default_factory=list)  # the pictures of its live figures

    @property
    def file(self) -> str:
        return self.name.removesuffix(".html").replace("/", "-") + ".xhtml"


def read(site: Path) -> list[Page]:
    """The front page and the pages of the menu, in its order."""
    front = BeautifulSoup((site / FRONT).read_text(encoding="utf8"), "html.parser")
    pages, part = [Page(FRONT, "About this book", "", article(front, FRONT))], ""
    for entry in front.select("nav.bd-links .caption-text, nav.bd-links .toctree-l1 > a"):
        if entry.name != "a":
            part = entry.get_text()
            continue
        name = posixpath.normpath(posixpath.join(posixpath.dirname(FRONT), str(entry["href"])))
        if not name.startswith(LEFT_OUT):
            page = BeautifulSoup((site / name).read_text(encoding="utf8"), "html.parser")
            pages.append(Page(name, entry.get_text(), part, article(page, name)))
    if len(pages) == 1:
        raise ValueError(f"{site / FRONT} has no menu of chapters (nav.bd-links)")
    return pages


def article(page: BeautifulSoup, name: str) -> Tag:
    found = page.select_one("article.bd-article")
    if found is None:
        raise ValueError(f"{name} has no article.bd-article")
    for narrow in found.select('mjx-container[class*="to-"]'):  # the same again, in lines for a narrow column
        narrow.decompose()
    for formula in found.select("mjx-container[data-tex]"):  # set for a browser: here its TeX is what counts
        formula.replace_with((r"\[{}\]" if formula.has_attr("display") else r"\({}\)").format(formula["data-tex"]))
    return found


# ------------------------------------------------------------------------------------------------------- a page's body


def clean(page: Page, soup: BeautifulSoup, site: str | None) -> None:
    """Leave out what needs a script, show what is folded, and let live figures be pictures."""
    for number, host in enumerate(page.article.select(".ostrl-live-host")):
        page.live.append(f"images/live-{Path(page.name).stem}-{number}.png")
        figure = soup.new_tag("figure", attrs={"class": "live"})
        note = soup.new_tag("figcaption")
        where = soup.new_tag("a", href=f"{site}{page.name}") if site else soup.new_tag("span")
        where.string = "the web edition"
        note.extend(["A live figure in its first state. It answers your hand in ", where, ", and in the notebook."])
        figure.extend([soup.new_tag("img", src=page.live[-1]), note])
        host.replace_with(figure)
    for gone in page.article.select(GONE):
        gone.decompose()
    for fold in page.article.select("details"):
        summary = fold.summary
        words = (summary.select_one(".collapsed") or summary).get_text(" ", strip=True)
        if words.startswith("Solution"):  # stays folded, where the reader knows how
            summary.string = words
        elif "above-input" in (fold.get("class") or []):  # code that the page folds
            summary.decompose()
            fold.unwrap()
        elif words.startswith("Proof"):
            summary.name = "p"
            summary["class"] = "unfolded"
            fold.unwrap()
    for part in page.article.find_all(True):
        for name in [name for name in part.attrs if name in ("style", "tabindex", "role") or name.startswith("data-")]:
            del part.attrs[name]


def lead(pages: list[Page], site: str | None) -> None:
    """Links lead to the book's own files, to the published site, or nowhere: then they are words."""
    files = {page.name: page.file for page in pages}
    for page in pages:
        for link in page.article.select("a[href]"):
            href = str(link["href"])
            if re.match(r"[a-z]+:", href):
                continue
            path, _, fragment = href.partition("#")
            name = posixpath.normpath(posixpath.join(posixpath.dirname(page.name), path)) if path else page.name
            anchor = f"#{fragment}" if fragment else ""
            if name in files:
                link["href"] = f"{files[name] if path else ''}{anchor}" or files[name]
            elif site:
                link["href"] = f"{site}{name}{anchor}"
            else:
                link.unwrap()


def pictures(pages: list[Page], site: Path) -> dict[str, bytes]:
    """The pictures of the pages as PNG, which every reader shows; ``src`` is changed to where they will lie."""
    found: dict[str, bytes] = {}
    for page in pages:
        for image in page.article.select("img"):
            source = str(image["src"])
            if source in page.live:
                continue
            path = site / posixpath.normpath(posixpath.join(posixpath.dirname(page.name), source))
            name = f"images/{path.stem}.png"
            if name not in found:
                with Image.open(path) as picture:
                    data = io.BytesIO()
                    picture.save(data, "PNG", optimize=True)
                    found[name] = data.getvalue()
            image["src"] = name
    return found


# ------------------------------------------------------------------------------------------------------------ formulas


def take_formulas(page: Page, formulas: list[tuple[str, bool]]) -> None:
    """Put a mark where a formula stands, and the formula into the list."""

    def mark(found: re.Match[str]) -> str:
        formulas.append((found[1] or found[2], found[2] is not None))
        return MARK.format(len(formulas) - 1)

    for text in page.article.find_all(string=FORMULA):
        if text.find_parent(["pre", "code"]) is None:
            text.replace_with(FORMULA.sub(mark, text))


# ------------------------------------------------------------------------------------------------------- pictures taken


COVER = """<!doctype html><meta charset="utf-8"><style>
  body {{ margin: 0; width: 800px; height: 1200px; background: #fff; color: #1a1a1a; font-family: sans-serif; }}
  h1 {{ margin: 0; padding: 110px 70px 0; font-size: 62px; line-height: 1.15; }}
  img {{ display: block; width: 700px; margin: 60px 50px; }}  p {{ margin: 0 70px; font-size: 30px; color: #555; }}
</style><h1>{title}</h1><img src="{picture}" alt=""><p>{author}</p>"""


NAMES = """host => [...host.querySelectorAll(':scope [role=group][aria-label], :scope svg[role=img]')]
  .map(part => part.getAttribute('aria-label')).slice(0, 2)"""


def photograph(site: Path, pages: list[Page], title: str, author: str) -> dict[str, tuple[bytes, str]]:
    """The cover, and the live figures as they begin, as a browser shows them, each with what it says of itself."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        view = browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=2, color_scheme="light")
        tab = view.new_page()
        for page in pages:
            if not page.live:
                continue
            tab.goto((site / page.name).resolve().as_uri())
            hosts = tab.locator(".ostrl-live-host")
            for number, name in enumerate(page.live):
                host = hosts.nth(number)
                host.and_(tab.locator("[data-live=yes]")).wait_for(timeout=20_000)
                labels = host.evaluate(NAMES)
                found[name] = host.screenshot(), ". ".join(label.rstrip(".") for label in labels) + "."
        tab.set_viewport_size({"width": 800, "height": 1200})
        cover = site / "_static/cover.html"  # beside what it shows: a page from nowhere may read no file
        picture = (ROOT / "book/images/ascent.png").as_uri()
        cover.write_text(COVER.format(title=title, picture=picture, author=author), encoding="utf8")
        tab.goto(cover.resolve().as_uri())
        found["images/cover.png"] = tab.screenshot(), title
        cover.unlink()
        browser.close()
    return found


# ------------------------------------------------------------------------------------------------------------ the book


def style() -> str:
    """The book's style, with the site's colors of code."""
    colors = HtmlFormatter(style="a11y-high-contrast-light").get_style_defs(".highlight")
    rules = [rule for rule in colors.splitlines() if rule.startswith(".highlight .")]
    return (ROOT / "book/paper/epub.css").read_text(encoding="utf8") + "\n".join(rules) + "\n"


def bind(site: Path, target: Path, config: dict[str, str], changed: str | None, drawn: bool = False) -> int:
    """Write the EPUB, its formulas drawn as pictures or not; returns their number."""
    soup = BeautifulSoup((site / FRONT).read_text(encoding="utf8"), "html.parser")
    canonical = soup.select_one("link[rel=canonical]")
    address = str(canonical["href"]).removesuffix(FRONT) if canonical else None
    pages, formulas = read(site), []
    for page in pages:
        clean(page, soup, address)
        take_formulas(page, formulas)
    lead(pages, address)
    images = pictures(pages, site)
    set_formulas, formula_images = shown.pictures(formulas) if drawn else (shown.mathml(formulas), {})
    taken = photograph(site, pages, config["title"], config["author"])
    images |= formula_images | {name: picture for name, (picture, _) in taken.items()}
    for image in (image for page in pages for image in page.article.select(".live img")):
        image["alt"] = taken[str(image["src"])][1]
    chapters = []
    for page in pages:
        body = page.article.decode_contents(formatter="minimal")
        sections = [
            (str(section["id"]), section.find("h2").get_text())
            for section in page.article.select("section[id]:has(> h2)")
        ]
        whole = MARKS.sub(lambda found: set_formulas[int(found[1])], body)
        named = [(at, MARKS.sub(lambda found: formulas[int(found[1])][0], words)) for at, words in sections]
        chapters.append(epub.Chapter(page.file, page.title, page.part, whole, named))
    said = str(soup.select_one('meta[name="description"]')["content"])
    about = epub.About(description=said, address=address, changed=changed, **config)
    epub.write(target, about, chapters, images, style())
    return len(formulas)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--pictures", action="store_true", help="formulas as pictures, for readers without MathML")
    args = parser.parse_args()
    if not (args.site / FRONT).is_file():
        print(f"no {FRONT} in {args.site}: run `make book` first", file=sys.stderr)
        return 1
    if not chromium.find():
        print("no Chromium found: install it (Debian: apt-get install chromium) or set $CHROMIUM", file=sys.stderr)
        return 1
    told = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    config = {"title": told["title"], "author": told["author"], "rights": told["copyright"]}
    config["version"] = metadata.version("ostrl")
    count = bind(args.site, args.target, config, last_change(ROOT), drawn=args.pictures)
    print(f"{args.target}: {count} formulas, {args.target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
