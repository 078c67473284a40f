"""Small things the book needs from Sphinx: equation links in docstrings, plain type names, no unused runtime."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from ostrl_body import change_written
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon.docstring import GoogleDocstring

LABEL = re.compile(r"``((?:eq|thm|prop|lem|cor)-[a-z0-9]+(?:-[a-z0-9]+)*)``")

# Where the manuals of other packages describe a name: nothing is fetched when the book is built.
TORCH = "https://docs.pytorch.org/docs/stable/"
MANUALS = {
    "torch.Generator": TORCH + "generated/torch.Generator.html",
    "torch.Tensor": TORCH + "tensors.html#torch.Tensor",
    "torch.autograd.Function": TORCH + "autograd.html#torch.autograd.Function",
    "torch.autograd.grad": TORCH + "generated/torch.autograd.grad.html",
    "torch.device": TORCH + "tensor_attributes.html#torch.device",
    "torch.dtype": TORCH + "tensor_attributes.html#torch.dtype",
    "torch.func.functional_call": TORCH + "generated/torch.func.functional_call.html",
    "torch.nn.Module": TORCH + "generated/torch.nn.Module.html",
    "torch.nn.Parameter": TORCH + "generated/torch.nn.parameter.Parameter.html",
    "torch.nn.utils.parameters_to_vector": TORCH + "generated/torch.nn.utils.parameters_to_vector.html",
    "torch.optim.Optimizer": TORCH + "optim.html#torch.optim.Optimizer",
    "torch.vmap": TORCH + "generated/torch.vmap.html",
    "numpy.ndarray": "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html",
    "matplotlib.axes.Axes": "https://matplotlib.org/stable/api/_as_gen/matplotlib.axes.Axes.html",
    "matplotlib.figure.Figure": "https://matplotlib.org/stable/api/_as_gen/matplotlib.figure.Figure.html",
}
ALIASES = {  # the name that the manual lists
    "Tensor": "torch.Tensor",
    "torch._C.Generator": "torch.Generator",
    "torch.nn.modules.module.Module": "torch.nn.Module",
    "torch.nn.parameter.Parameter": "torch.nn.Parameter",
    "torch.optim.optimizer.Optimizer": "torch.optim.Optimizer",
    "matplotlib.axes._axes.Axes": "matplotlib.axes.Axes",
}


def defined_labels(root: Path) -> set[str]:
    """Labels of the equations and claims that the notebooks define."""
    labels: set[str] = set()
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                labels.update(re.findall(r"^\$\$ \((eq-[a-z0-9-]+)\)\s*$", text, re.M))
                labels.update(re.findall(r"^:label: ((?:thm|prop|lem|cor)-[a-z0-9-]+)\s*$", text, re.M))
    return labels


def link_labels(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn ``eq-…`` and the labels of claims in a docstring into links, where a chapter defines them."""
    known = app.env.ostrl_labels

    def link(match: re.Match[str]) -> str:
        label = match[1]
        if label not in known:
            return match[0]
        return f"equation :eq:`{label}`" if label.startswith("eq-") else f":prf:ref:`{label}`"

    lines[:] = [LABEL.sub(link, line) for line in lines]


def resolve_type(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Element | None:
    """Link the names of other packages; what has no page (a dtype, a shape, traitlets' ``t.Any``) stays text."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    url = MANUALS.get(ALIASES.get(target, target))
    if url:
        return nodes.reference("", "", contnode, internal=False, refuri=url)
    if target.startswith("jaxtyping.") or target == "t.Any" or re.fullmatch(r"'[^']*'", target):
        return contnode
    return None


def mend_markup(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Mend what stops a screen reader or is no HTML: lists without items, lists in signatures, ids used twice."""
    body = context.get("body")
    if not body:
        return
    body = body.replace(' role="list" class="citation-list"', ' class="citation-list"')
    body = re.sub(r' role="doc-(?:biblioentry|backlink)"', "", body)
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    body = re.sub(r' id="(?:proof|proof-content|exercise-content)"', "", body)  # the same on every claim of a page

    # a summary may hold no paragraph
    body = re.sub(r'<p (class="(?:collapsed|expanded) admonition-title")>(.*?)</p>', r"<span \1>\2</span>", body)
    if page == "_modules/index":  # a list in a list stands in one of its items
        body = body.replace("</li>\n<ul>", "\n<ul>").replace("</ul><li>", "</ul></li><li>")

    if page.startswith("_modules/"):  # the listing of a file marks its functions with blocks inside <pre>

        def inline(listing: re.Match[str]) -> str:
            return listing[0].replace("<div class", "<span class").replace("</div>", "</span>")

        body = re.sub(r"<pre>.*?</pre>", inline, body, flags=re.S)

    def signature(match: re.Match[str]) -> str:
        lines = match[0].replace("<dl>", '<span class="sig-params">').replace("</dl>", "</span>")
        return lines.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")

    context["body"] = re.sub(r'<dt class="sig .*?</dt>', signature, body, flags=re.S)


VIEWPORT = re.compile(r'<meta name="viewport"[^>]*>')
PRINTED = re.compile(r'(<div id="jb-print-docs-body" class="onlyprint">\s*<h1>)')
NUMBER = re.compile(r'<h1><span class="section-number">[^<]*</span>')


def mend_page(text: str) -> str:
    """Mend what the theme writes around the body: one viewport, no title twice, the chapter's number in print."""
    first = VIEWPORT.search(text)
    if first:
        text = text[: first.end()] + VIEWPORT.sub("", text[first.end() :])
    text = re.sub(r"<title>(.+) &#8212; \1</title>", r"<title>\1</title>", text)
    number = NUMBER.search(text)
    return PRINTED.sub(rf"\g<1>{number[0].removeprefix('<h1>')}", text) if number else text


def drop_dead_edit_links(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A page that tools/claims.py writes is in no repository, so there is nothing there to edit."""
    if page.startswith("book/generated/"):
        for group in context.get("header_buttons", []):
            if "buttons" in group:
                group["buttons"] = [b for b in group["buttons"] if b["label"] != "source-edit-button"]


def drop_sizes(app: Sphinx, doctree: nodes.document) -> None:
    """Leave the size of a chapter's pictures to the style sheet: what a notebook stores is wider than a phone."""
    if app.env.docname.startswith("notebooks/"):
        for image in doctree.findall(nodes.image):
            image.attributes.pop("width", None)
            image.attributes.pop("height", None)


def start_clean(app: Sphinx) -> None:
    """Drop the pages of the last build: a page that was renamed would stay, and be published."""
    if app.builder.name == "html":
        shutil.rmtree(app.outdir, ignore_errors=True)
        Path(app.outdir).mkdir(parents=True)


def load_labels(app: Sphinx) -> None:
    app.env.ostrl_labels = defined_labels(Path(app.srcdir))


REDIRECT = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><meta http-equiv="refresh" content="0; url={page}"></head>
<body><p><a href="{page}">{title}</a></p></body>
</html>
"""


def write_redirect(app: Sphinx, error: Exception | None) -> None:
    """index.html leads to the front page: the one that the table of contents writes is not a whole page."""
    if not error and app.builder.name == "html":
        page = REDIRECT.format(title=app.config.html_title, page=f"{app.config.root_doc}.html")
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf8")


def drop_unused_widget_runtime(app: Sphinx, error: Exception | None) -> None:
    """Leave the widget runtime (4 MB) out of a site none of whose pages shows a widget."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    if not any("widgets-paths.js" in page.read_text(encoding="utf8") for page in out.rglob("*.html")):
        shutil.rmtree(out / "_static/vendor/requirejs", ignore_errors=True)
        shutil.rmtree(out / "_static/vendor/html-manager", ignore_errors=True)
        (out / "_static/vendor/widgets-paths.js").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    sys.path.insert(0, str(app.srcdir))  # document this copy of the package, installed or not
    app.connect("builder-inited", start_clean)
    app.connect("builder-inited", load_labels)
    app.connect("autodoc-process-docstring", link_labels, priority=400)
    # Below an attribute, napoleon would read "a sentence: with a colon" as a type and its description.
    GoogleDocstring._parse_attribute_docstring = lambda self: self._dedent(self._consume_to_end())
    app.connect("missing-reference", resolve_type, priority=400)
    app.connect("doctree-read", drop_sizes)
    app.connect("html-page-context", mend_markup)
    change_written(app, mend_page)
    app.connect("html-page-context", drop_dead_edit_links, priority=900)  # after the theme has put them there
    app.connect("build-finished", drop_unused_widget_runtime)
    app.connect("build-finished", write_redirect, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
