"""Words for a book that is published somewhere, and words for a copy that names no place (tools/configure.py).

What stands in ``:::{published}`` is read where the book has the address of a repository, with it in the place of
``OWNER/NAME``; what stands in ``:::{unpublished}``, where it has none. Every page's footer leads to where errors are
reported.
"""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HELP = "book/troubleshooting"


class Published(SphinxDirective):
    has_content = True
    wanted: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        repository = self.config.html_theme_options.get("repository_url", "").removeprefix("https://github.com/")
        if bool(repository) is not self.wanted:
            return []
        lines = [line.replace("OWNER/NAME", repository) for line in self.content]
        self.content = StringList(lines, self.content.source(0))
        return self.parse_content_to_nodes()


class Unpublished(Published):
    wanted = False


def lead_there(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if HELP in app.env.found_docs and context.get("theme_extra_footer"):
        link = f' · <a href="{context["pathto"](HELP).rstrip("#")}#report-an-error">Report an error</a></p>'
        context["theme_extra_footer"] = context["theme_extra_footer"].replace("</p>", link)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("published", Published)
    app.add_directive("unpublished", Unpublished)
    app.connect("html-page-context", lead_there, priority=900)  # after 404.html has got its own way to write links
    return {"parallel_read_safe": True, "parallel_write_safe": True}
