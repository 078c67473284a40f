"""The search: everyday words of a question don't count, and results are passages (book/_static_src/search.js)."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

# A page is found where it has all words of a question, and no page has to say "why does my".
QUESTION = """
an aren can could couldn did didn do does doesn don from have how i isn ll m my our re s should shouldn t ve wasn we
what when where which who why won would wouldn you your
"""


class SearchQuestions(SearchEnglish):
    stopwords = SearchEnglish.stopwords | set(QUESTION.split())


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if page == "search":
        app.env.get_domain("math").data["has_equations"][page] = True  # the passages have
        app.add_js_file("search.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(SearchQuestions)
    app.connect("html-page-context", add_script, priority=450)  # before MathJax decides
    return {"parallel_read_safe": True, "parallel_write_safe": True}
