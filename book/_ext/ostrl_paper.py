"""The book on paper: what the LaTeX builder needs to say what the site says, with the same numbers.

Everything here happens when the tree of the whole book is put together for LaTeX; the pages of the site see none of
it. book/paper/ostrl-paper.sty is the look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.latex.nodes import thebibliography
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging, texescape
from sphinx.writers.latex import LaTeXTranslator

import ostrl_paper_live

logger = logging.getLogger(__name__)

SUMMARY = re.compile(r"<details>\s*<summary>(.*?)</summary>", re.S)
SOLUTION = re.compile(r"Solution of (\d+\.\d+)")
CHECKED = re.compile(r"\d+\.\d+: (?:not attempted yet|right\.)")
LINE = 84  # letters across the page in a table of a few columns
MATH = re.compile(r"\\\((.*?)\\\)")


class box(nodes.General, nodes.Element):
    """A claim, a proof or an exercise: an environment of ostrl-paper.sty."""


class box_title(nodes.Inline, nodes.TextElement):
    """How a box begins, in its first line; references lead here."""


class scope(nodes.General, nodes.Element):
    """Nodes that belong to another document than the one around them: their labels keep that document's name."""


def latex(text: str) -> nodes.raw:
    return nodes.raw("", text, format="latex")


def docname_of(node: nodes.Node, root: str) -> str:
    """The document that a node of the assembled tree comes from."""
    while node is not None:
        if isinstance(node, addnodes.start_of_file | scope):
            return node["docname"]
        node = node.parent
    return root


def word_length(cell: nodes.Element) -> int:
    """The longest piece of a table's cell that a line cannot be broken in, in letters."""
    longest = 0
    for text in cell.findall(nodes.Text):
        code = isinstance(text.parent, nodes.literal)
        if isinstance(text.parent, nodes.math_block):
            longest = max(longest, 40)  # a wider one shrinks
        elif isinstance(text.parent, nodes.math):
            longest = max(longest, len(text) // 3)
        else:
            words = re.split(r"(?<=[.])|\s" if code else r"(?<=/)|\s", text)
            longest = max(longest, *(round(len(word) * (1.25 if code else 1)) for word in words))
    return longest


def section_of(node: nodes.Node) -> nodes.section:
    while not isinstance(node, nodes.section) or not isinstance(node[0], nodes.title):
        node = node.parent
    return node


class PaperTransform(SphinxPostTransform):
    """All changes to the tree, in one place and before anything is resolved (myst-nb chooses outputs at 4)."""

    default_priority = 3
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        self.root = self.config.root_doc
        self.solutions: dict[str, dict[str, list[nodes.Node]]] = {}
        if not isinstance(self.document[0], nodes.section):
            return
        for file in self.document.findall(addnodes.start_of_file):  # Sphinx leaves their parents unset
            for child in file.children:
                child.parent = file
        self.draw_live_figures()
        self.typeset_tables()
        self.sort_cells()
        self.unfold()
        self.frame()
        self.order()

    # ------------------------------------------------------------------------------------------------ outputs

    def bundles(self) -> Iterator[tuple[nodes.container, str]]:
        """Each output that has an HTML version, and that version."""
        for bundle in list(self.document.findall(nodes.container)):
            if bundle.get("nb_element") == "mime_bundle":
                for version in bundle.children:
                    if version["mime_type"] == "text/html" and version.children:
                        yield bundle, version.astext()

    def draw_live_figures(self) -> None:
        """A live figure becomes a picture of its first state, and a line that says where it lives."""
        live = [(bundle, html) for bundle, html in self.bundles() if "ostrl-live-host" in html]
        folder = Path(self.app.srcdir) / "build" / "paper"
        pictures = ostrl_paper_live.draw([html for _, html in live], folder)
        for (bundle, _), picture in zip(live, pictures, strict=True):
            docname, section = docname_of(bundle, self.root), section_of(bundle)
            uri = picture.relative_to(self.app.srcdir).as_posix()
            self.env.images.add_file(docname, uri)
            image = nodes.image(uri=uri, candidates={"*": uri}, align="center")
            site = self.config.html_baseurl
            words = f"“{section[0].astext()}”"
            where: list[nodes.Node] = [nodes.Text(f"the section {words} of the web edition")]
            if site:
                address = f"{site}{docname}.html#{section['ids'][0]}"
                where = [nodes.reference("", f"the section {words} on the site", refuri=address, internal=False)]
            note = nodes.emphasis("", "", nodes.Text("A live figure in its first state. It answers your hand in "))
            note.extend([*where, nodes.Text(", and in the notebook.")])
            bundle.replace_self([latex("\\begin{ostrllive}"), image, nodes.paragraph("", "", note), latex("\\end{ostrllive}")])

    def typeset_tables(self) -> None:
        """A table of the library is a table on paper too, mathematics included."""
        for bundle, html in list(self.bundles()):
            source = BeautifulSoup(html, "html.parser").find("table", class_="ostrl")
            if source is None:
                continue
            rows = [[self.text(cell.get_text()) for cell in row.find_all(["th", "td"])] for row in source.find_all("tr")]
            caption = self.text(source.caption.get_text()) if source.caption else ""
            # words may wrap (L), but not formulas, numbers, and the names in the first column (l)
            columns = list(zip(*rows[1:], strict=True))
            kinds = ["l" if j == 0 or any("$" in x for x in c) or not any(" " in x for x in c) else "L" for j, c in enumerate(columns)]
            head = [r"\shortstack[l]{" + x.replace(" ", r"\\") + "}" if kind == "l" else x for x, kind in zip(rows[0], kinds, strict=True)]
            lines = [" & ".join(row) + r"\\" for row in [head, *rows[1:]]]
            body = "\n".join([lines[0], "\\midrule", *lines[1:]])
            columns = "".join(kinds)
            bundle.replace_self(latex(f"\\ostrltable{{{columns}}}{{{body}}}{{{caption}}}"))

    @staticmethod
    def text(words: str) -> str:
        """Words for LaTeX; what stands between \\( and \\) is mathematics already."""
        pieces = MATH.split(re.sub(r"(?<!\w)-(?=\d)", "−", words))  # a line may end after a hyphen, not after a minus
        words = "".join(f"${x}$" if i % 2 else texescape.escape(x, "xelatex") for i, x in enumerate(pieces))
        return words.replace(" ± ", "~±~")

    def sort_cells(self) -> None:
        """Code that draws stays on the site; so do the words of the checker."""
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            for part in list(cell.children):
                kind = part.get("nb_element")
                if kind == "cell_code_source" and "tag_hide-input" in cell["classes"]:
                    cell.remove(part)
                if kind == "cell_code_output":
                    for output in list(part.children):
                        if CHECKED.match(output.astext().strip()):
                            part.remove(output)
                    if not part.children:
                        cell.remove(part)

    # ------------------------------------------------------------------------------------- what the site folds

    def unfold(self) -> None:
        """Proofs that the site folds stand open; solutions move to a chapter of their own, with their code."""
        for opening in list(self.document.findall(nodes.raw)):
            found = SUMMARY.match(opening.astext().strip()) if opening["format"] == "html" else None
            if not found:
                continue
            parent = opening.parent
            start = parent.index(opening)
            end = next(
                i
                for i, node in enumerate(parent.children)
                if i > start and isinstance(node, nodes.raw) and "</details>" in node.astext()
            )
            inside = parent.children[start + 1 : end]
            title = found[1].strip()
            solved = SOLUTION.fullmatch(title)
            if solved:
                after = parent.children[end + 1 :][:1]
                if after and "tag_hide-cell" in after[0].get("classes", []):
                    inside = [*inside, after[0]]
                for node in [opening, parent.children[end], *inside]:
                    parent.remove(node)
                self.solutions.setdefault(docname_of(parent, self.root), {})[solved[1]] = inside
                continue
            parent.remove(parent.children[end])
            if inside and type(inside[0]).__name__ == "proof_node":
                inside[0]["paper_title"] = title
                parent.remove(opening)
            else:
                opening.replace_self(nodes.paragraph("", "", nodes.strong("", f"{title}.")))

    def frame(self) -> None:
        """Claims, proofs and exercises become boxes that carry the site's numbers."""
        for node in list(self.document.findall(nodes.Admonition)):
            name = type(node).__name__
            docname = docname_of(node, self.root)
            numbers = self.env.toc_fignumbers.get(docname, {})
            if name == "proof_node":
                content = node[0].children  # an admonition, in which the directive has begun with "Proof. "
                opening = next(node[0].findall(nodes.Text))
                opening.parent.replace(opening, nodes.Text(opening.removeprefix("Proof. ")))
                new, title = box(kind="proof"), node.get("paper_title", "Proof")
            elif "countertype" in node:
                content = node.children
                number = ".".join(map(str, numbers[node["countertype"]][node["ids"][0]]))
                new, title = box(kind="claim"), f"{node['realtype'].title()} {number}"
            elif name == "exercise_enumerable_node":
                content = node.children
                number = ".".join(map(str, numbers["exercise"][node["ids"][0]]))
                new, title = box(kind="exercise"), f"Exercise {number}"
                if number in self.solutions.get(docname, {}):
                    new["solved"] = number
            elif name == "admonition" and "proof" not in node["classes"]:
                content = node.children
                new, title = box(kind="note"), node[0].astext()
            else:
                continue
            for child in content:
                if isinstance(child, nodes.section):  # a wrapper without a title
                    new.extend(child.children)
                elif not isinstance(child, nodes.title):
                    new.append(child)
            if not isinstance(new[0], nodes.paragraph):
                new.insert(0, nodes.paragraph())
            new[0].insert(0, box_title("", title, kind=new["kind"], ids=node["ids"]))
            node.replace_self(new)

    # --------------------------------------------------------------------------------------------- whole book

    def order(self) -> None:
        """The front page as a first chapter, the parts, the solutions, and numbers where the site has them."""
        book = self.document[0]
        wrappers = [n for n in book.children if "toctree-wrapper" in (n.get("classes", []) if hasattr(n, "get") else [])]
        about = nodes.section("", nodes.title("", "About this book"), ids=book["ids"])
        about.extend(n for n in book.children[1:] if n not in wrappers)
        book["ids"] = []
        title = book[0]
        book.children = []
        book.extend([title, latex("\\ostrlunnumbered"), about])
        seen = False
        for wrapper in wrappers:
            toctree_caption = self.captions()[len([w for w in wrappers[: wrappers.index(wrapper)]])]
            part = re.fullmatch(r"Part [IVX]+ · (.*)", toctree_caption)
            if part:
                book += latex(f"\\ostrlnumbered\\part{{{part[1]}}}")
                seen = True
            else:
                book += latex("\\ostrlunnumbered" + (f"\\ostrlpart{{{toctree_caption}}}" if seen else ""))
                if seen and self.solutions:
                    book += self.solutions_chapter()
            book.extend(wrapper.children)

    def captions(self) -> list[str]:
        return [t["caption"] for t in self.env.get_doctree(self.root).findall(addnodes.toctree)]

    def solutions_chapter(self) -> nodes.section:
        chapter = nodes.section("", nodes.title("", "Solutions"), ids=["solutions"])
        for docname, solutions in self.solutions.items():
            number = self.env.toc_secnumbers[docname][""][0]
            name = f"Chapter {number} · {self.env.titles[docname].astext()}"
            section = nodes.section("", nodes.title("", name), ids=[f"solutions-{number}"])
            inner = scope(docname=docname)
            section += inner
            for which, content in solutions.items():
                if not isinstance(content[0], nodes.paragraph):
                    content.insert(0, nodes.paragraph())
                content[0].insert(0, latex(f"\\ostrlsolution{{{which}}}"))
                inner.extend(content)
            chapter += section
        return chapter


class LateTransform(SphinxPostTransform):
    """What needs resolved references: how wide columns are, and where the bibliography stands."""

    default_priority = 800
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for table in self.document.findall(nodes.table):
            self.fit(table)
        place = next((s for s in self.document.findall(nodes.section) if "bibliography" in s["ids"]), None)
        for bibliography in list(self.document.findall(thebibliography)):
            if place is not None:
                bibliography.parent.remove(bibliography)
                place.append(bibliography)

    def fit(self, table: nodes.table) -> None:
        """Columns as wide as what stands in them, in a table that may break over pages."""
        for end in list(table.findall(nodes.raw)):
            if end.astext().strip() == r"\\":  # would end the row
                end.replace_self(latex("\\newline "))
        for text in [text for text in table.findall(nodes.Text) if isinstance(text.parent, nodes.paragraph)]:
            if "/" in text:  # a path breaks after a slash, as it does on the site
                pieces = [[latex("\\allowbreak{}"), nodes.Text(x)] for x in re.split(r"(?<=/)", text)]
                text.parent.replace(text, sum(pieces, [])[1:])
        columns = list(zip(*(row.children for row in table.findall(nodes.row)), strict=True))
        texts = [[cell.astext() for cell in cells] for cells in columns]
        least = [max(map(word_length, cells)) + 1 for cells in columns]
        most = [max(len(line) for text in column for line in [*text.splitlines(), ""]) + 2 for column in texts]
        amount = [(sum(map(len, column)) / len(column)) ** 0.6 for column in texts]
        room = max(LINE - sum(least), 0)
        for j, spec in enumerate(table.findall(nodes.colspec)):
            spec["colwidth"] = round(10 * (least[j] + min(max(most[j] - least[j], 0), room * amount[j] / sum(amount))))
        table["classes"] += ["longtable", "colwidths-given"]


class PaperTranslator(LaTeXTranslator):
    """Sphinx's own, but for numbers, which are the site's, and for equations, which shrink where they are too wide."""

    def number(self, kind: str, node: nodes.Element) -> str:
        numbers = self.builder.env.toc_fignumbers.get(self.curfilestack[-1], {}).get(kind, {})
        return ".".join(map(str, next((numbers[x] for x in node["ids"] if x in numbers), ())))

    def visit_figure(self, node: nodes.Element) -> None:
        start = len(self.body)
        super().visit_figure(node)
        if number := self.number("figure", node):
            self.body.insert(start + 1, f"\\renewcommand{{\\thefigure}}{{{number}}}")

    def visit_math_block(self, node: nodes.Element) -> None:
        tag = ""
        if node.get("label"):
            label = f"equation:{node['docname']}:{node['label']}"
            tag = f"\\tag{{{self.number('displaymath', node)}}}\\label{{{label}}}"
        self.body.append(f"\n\\ostrldisplay{{{tag}}}{{{node.astext().strip()}}}%\n")
        raise nodes.SkipNode

    def visit_container(self, node: nodes.Element) -> None:
        if node.get("nb_element") == "cell_code_output":
            self.body.append("\n\\begin{ostrloutput}\n")
        super().visit_container(node)

    def depart_container(self, node: nodes.Element) -> None:
        super().depart_container(node)
        if node.get("nb_element") == "cell_code_output":
            self.body.append("\n\\end{ostrloutput}\n")

    def visit_box(self, node: nodes.Element) -> None:
        self.body.append(f"\n\n\\begin{{ostrl{node['kind']}}}\n")

    def depart_box(self, node: nodes.Element) -> None:
        if node.get("solved"):
            self.body.append(f"\\ostrlsolved{{{node['solved']}}}")
        self.body.append(f"\\end{{ostrl{node['kind']}}}\n\n")

    def visit_box_title(self, node: nodes.Element) -> None:
        self.body.append(f"{self.hypertarget_to(node, anchor=True)}\\ostrl{node['kind']}title{{{self.encode(node.astext())}}}")
        raise nodes.SkipNode

    def visit_scope(self, node: nodes.Element) -> None:
        self.curfilestack.append(node["docname"])

    def depart_scope(self, node: nodes.Element) -> None:
        self.curfilestack.pop()


def title_page(app: Sphinx, config: Config) -> None:
    version = metadata.version("ostrl")
    config.latex_elements["maketitle"] = f"\\ostrltitlepage{{{version}}}{{{config.html_baseurl}}}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", title_page)
    app.add_node(box)
    app.add_node(box_title)
    app.add_node(scope)
    app.add_post_transform(PaperTransform)
    app.add_post_transform(LateTransform)
    app.set_translator("latex", PaperTranslator)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
