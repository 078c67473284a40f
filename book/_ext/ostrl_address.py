"""Words for a book that is published somewhere, and words for a copy that names no place (tools/configure.py).

What stands in ``:::{published}`` is read where the book has the address of a repository, with it in the place of
``OWNER/NAME``; what stands in ``:::{unpublished}``, where it has none. In both, ``SITE`` and ``VERSION`` are the site's
address and the package's version. Every page's footer leads to how to cite the book, to what has changed and to where
errors are reported, and a report that is begun on a page asks for what is needed. A chapter's file is no text that one
would edit on the web: a suggestion for it is a report, too.
"""

from __future__ import annotations

from functools import reduce
from importlib import metadata
from typing import Any, ClassVar
from urllib.parse import quote

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HELP, CITE, CHANGES = "book/troubleshooting", "book/cite", "book/changes"
INDEX = "genindex"  # no page of ours: Sphinx writes it
EMPTY = "Your%20issue%20content%20here."  # what the theme begins a report with
ASKED = """\
What I read or did:

What I expected, and what I got:

The line that `ostrl --version` prints, if I ran code:
"""
SUGGESTED = """\
What should change:

What it should say instead, and why:
"""


class Published(SphinxDirective):
    has_content = True
    wanted: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        repository = self.config.html_theme_options.get("repository_url", "").removeprefix("https://github.com/")
        if bool(repository) is not self.wanted:
            return []
        said = {
            "OWNER/NAME": repository,
            "SITE": self.config.html_baseurl,
            "VERSION": metadata.version("ostrl"),
        }
        lines = [reduce(lambda text, word: text.replace(*word), said.items(), line) for line in self.content]
        self.content = StringList(lines, self.content.source(0))
        return self.parse_content_to_nodes()


class Unpublished(Published):
    wanted = False


def lead_there(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The links of the footer."""

    def link(name: str, fragment: str, words: str) -> str:
        if name not in (*app.env.found_docs, INDEX):
            return ""
        way = context["pathto"](name).rstrip("#") + fragment
        return f' · <a href="{way or "#"}">{words}</a>'

    links = link(INDEX, "", "Index") + link(CITE, "", "How to cite") + link(CHANGES, "", "Changes")
    links += link(HELP, "#report-an-error", "Report an error")
    if context.get("theme_extra_footer"):
        context["theme_extra_footer"] = context["theme_extra_footer"].replace("</p>", f"{links}</p>")


def ask(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A report that is begun on a page, instead of an empty one; and where questions are answered."""
    repository, branch = (app.config.html_theme_options.get(f"repository_{what}") for what in ("url", "branch"))
    for group in context.get("header_buttons", []):
        if group.get("label") != "source-buttons":
            continue
        for button in group["buttons"]:
            if button["label"] == "source-issues-button":
                button["url"] = button["url"].replace(EMPTY, quote(ASKED))
            elif button["label"] == "source-edit-button" and button["url"].endswith(".ipynb"):
                title = quote(f"Suggestion for {app.env.titles[page].astext()}")
                button["url"] = f"{repository}/issues/new?title={title}&body={quote(SUGGESTED)}"
        more = [("Ask a question", f"{repository}/discussions", "fas fa-comments", "ask")]
        source = app.env.doc2path(page, base=False) if page in app.env.found_docs else None
        if source and any(button["label"] == "source-edit-button" for button in group["buttons"]):
            more.append(
                ("History of this page", f"{repository}/commits/{branch}/{source}", "fas fa-history", "history")
            )
        group["buttons"] += [
            {"type": "link", "url": url, "text": text, "tooltip": text, "icon": icon, "label": f"source-{name}-button"}
            for text, url, icon, name in more
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("published", Published)
    app.add_directive("unpublished", Unpublished)
    app.add_js_file("report.js", loading_method="defer")
    app.connect("html-page-context", lead_there, priority=900)  # after 404.html has got its own way to write links
    app.connect("html-page-context", ask, priority=900)  # after the theme has put its buttons there
    return {"parallel_read_safe": True, "parallel_write_safe": True}
