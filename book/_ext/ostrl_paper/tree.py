"""The tree of the whole book, changed for paper before LaTeX is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.builders.latex.nodes import thebibliography
from sphinx.transforms.post_transforms import SphinxPostTransform

from ostrl_paper import live
from ostrl_paper.left_out import missed, remark
from ostrl_paper.parts import box, box_title, docname_of, latex, scope, section_of
from ostrl_paper.tables import fit, printed

SUMMARY = re.compile(r"<details>\s*<summary>(.*?)</summary>", re.S)
SOLUTION = re.compile(r"Solution of (\d+\.\d+)")
CHECKED = re.compile(r"\d+\.\d+: (?:not attempted yet|right\.)")


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
        figures = [(bundle, html) for bundle, html in self.bundles() if "ostrl-live-host" in html]
        folder = Path(self.app.srcdir) / "build" / "paper"
        pictures = live.draw([html for _, html in figures], folder)
        for (bundle, _), picture in zip(figures, pictures, strict=True):
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
            lines = [*caption_of(bundle), nodes.paragraph("", "", note)]
            bundle.replace_self([latex("\\begin{ostrllive}"), image, *lines, latex("\\end{ostrllive}")])

    def typeset_tables(self) -> None:
        for bundle, html in list(self.bundles()):
            if table := printed(html):
                bundle.replace_self(table)

    def sort_cells(self) -> None:
        """Code that the site folds stays there; so do the words of the checker."""
        sources: dict[str, list[tuple[nodes.Element, str]]] = {}  # of each chapter, cell by cell
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            for part in list(cell.children):
                kind = part.get("nb_element")
                if kind == "cell_code_source" and "tag_hide-cell" not in cell["classes"]:
                    sources.setdefault(docname_of(cell, self.root), []).append((part, part.astext()))
                if kind == "cell_code_output":
                    for output in list(part.children):
                        if CHECKED.match(output.astext().strip()):
                            part.remove(output)
                    if not part.children:
                        cell.remove(part)
        for chapter in sources.values():
            printed = [None if folded(part) else source for part, source in chapter]
            for i, (part, source) in enumerate(chapter):
                if folded(part):
                    names = missed(source, [s for s in printed[:i] if s], [s for s in printed[i:] if s])
                    part.parent.replace(part, [remark(names)] if names else [])

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
        title, *content = book.children
        parts = [node for node in content if "toctree-wrapper" in getattr(node, "attributes", {}).get("classes", [])]
        about = nodes.section("", nodes.title("", "About this book"), ids=book["ids"])
        about.extend(node for node in content if node not in parts)
        book["ids"] = []
        book.children = []
        book.extend([title, latex("\\ostrlunnumbered"), about])
        captions = [tree["caption"] for tree in self.env.get_doctree(self.root).findall(addnodes.toctree)]
        numbered = False
        for caption, part in zip(captions, parts, strict=True):
            name = re.fullmatch(r"Part [IVX]+ · (.*)", caption)
            if name:
                book += latex(f"\\ostrlnumbered\\part{{{name[1]}}}")
            elif numbered:  # what follows the numbered parts begins with the solutions
                book += [latex(f"\\ostrlunnumbered\\ostrlpart{{{caption}}}"), self.solutions_chapter()]
            book.extend(part.children)
            numbered = numbered or bool(name)

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


def folded(source: nodes.Element) -> bool:
    return "tag_hide-input" in source.parent["classes"]


def caption_of(output: nodes.Element) -> list[nodes.Node]:
    """The paragraph in italics right below a live figure, taken from where it stands: it moves with the figure."""
    after = output.next_node(descend=False, siblings=True)
    if isinstance(after, nodes.paragraph) and [type(x) for x in after.children] == [nodes.emphasis]:
        after.parent.remove(after)
        return [after]
    return []


class LateTransform(SphinxPostTransform):
    """What needs resolved references: how wide columns are, and where the bibliography stands."""

    default_priority = 800
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for table in list(self.document.findall(nodes.table)):
            fit(table)
        place = next((s for s in self.document.findall(nodes.section) if "bibliography" in s["ids"]), None)
        for bibliography in list(self.document.findall(thebibliography)):
            if place is not None:
                bibliography.parent.remove(bibliography)
                place.append(bibliography)
