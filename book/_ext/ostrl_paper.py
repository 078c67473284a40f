"""The book on paper: what the LaTeX builder needs to say what the site says, with the same numbers.

Everything here happens when the tree of the whole book is put together for LaTeX; the pages of the site see none of
it. book/paper/ostrl-paper.sty is the look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.writers.latex import LaTeXTranslator

import ostrl_paper_live

logger = logging.getLogger(__name__)

SUMMARY = re.compile(r"<details>\s*<summary>(.*?)</summary>", re.S)
SOLUTION = re.compile(r"Solution of (\d+\.\d+)")
CHECKED = re.compile(r"\d+\.\d+: (?:not attempted yet|right\.)")
MATH = re.compile(r"\\\((.*?)\\\)")


class box(nodes.General, nodes.Element):
    """A claim, a proof or an exercise: an environment of ostrl-paper.sty, with what its title says."""


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
        self.widths()
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
            rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in source.find_all("tr")]
            table, group = nodes.table(classes=["output"]), nodes.tgroup(cols=len(rows[0]))
            table += group
            group.extend(nodes.colspec(colwidth=1) for _ in rows[0])
            for part, lines in ((nodes.thead(), rows[:1]), (nodes.tbody(), rows[1:])):
                group += part
                for line in lines:
                    part += nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *self.text(x))) for x in line))
            new: list[nodes.Node] = [table]
            if source.caption:
                new.append(nodes.paragraph("", "", nodes.emphasis("", "", *self.text(source.caption.get_text()))))
            bundle.replace_self(new)

    @staticmethod
    def text(words: str) -> list[nodes.Node]:
        pieces = MATH.split(words)
        return [nodes.math("", x) if i % 2 else nodes.Text(x) for i, x in enumerate(pieces) if x]

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
            if inside and type(inside[0]).__name__ == "unenumerable_node":
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
            if "countertype" in node or name == "unenumerable_node":
                kind = node["realtype"]
                number = numbers.get(node.get("countertype"), {}).get(node["ids"][0]) if node.get("ids") else None
                title = node.get("paper_title") or " ".join([kind.title(), ".".join(map(str, number or ()))]).strip()
                new = box(kind="proof" if kind == "proof" else "claim", title=title, ids=node["ids"])
                content = node.children
            elif name == "exercise_enumerable_node":
                number = ".".join(map(str, numbers["exercise"][node["ids"][0]]))
                new = box(kind="exercise", title=f"Exercise {number}", ids=node["ids"])
                new["solved"] = number in self.solutions.get(docname, {})
                new["number"] = number
                content = node.children
            else:
                continue
            for child in content:
                if isinstance(child, nodes.section):  # a wrapper without a title
                    new.extend(child.children)
                elif not isinstance(child, nodes.title):
                    new.append(child)
            node.replace_self(new)

    # ------------------------------------------------------------------------------------------------- tables

    def widths(self) -> None:
        """Columns as wide as what stands in them, and tables that may break over pages."""
        for table in self.document.findall(nodes.table):
            if "output" in table["classes"]:
                continue
            group = next(table.findall(nodes.tgroup))
            columns = list(zip(*([cell.astext() for cell in row] for row in table.findall(nodes.row)), strict=True))
            for spec, cells in zip(group.findall(nodes.colspec), columns, strict=True):
                word = max(len(word) for cell in cells for word in [*re.split(r"[\s./]+", cell), ""])
                amount = sum(map(len, cells)) / len(cells)
                spec["colwidth"] = max(min(word, 22), round(4 * amount**0.5), 4)
            table["classes"] += ["longtable", "colwidths-given"]

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
                inner += latex(f"\\ostrlsolution{{{which}}}")
                inner.extend(content)
            chapter += section
        return chapter


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
        self.body.append(f"\n\n\\begin{{ostrl{node['kind']}}}{{{self.encode(node['title'])}}}{self.hypertarget_to(node, True)}")
        self.body.append("\\ignorespaces\n")

    def depart_box(self, node: nodes.Element) -> None:
        if node.get("solved"):
            self.body.append(f"\\ostrlsolved{{{node['number']}}}")
        self.body.append(f"\n\\end{{ostrl{node['kind']}}}\n\n")

    def visit_scope(self, node: nodes.Element) -> None:
        self.curfilestack.append(node["docname"])

    def depart_scope(self, node: nodes.Element) -> None:
        self.curfilestack.pop()


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(box)
    app.add_node(scope)
    app.add_post_transform(PaperTransform)
    app.set_translator("latex", PaperTranslator)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
