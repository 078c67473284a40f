"""The search: everyday words of a question don't count, and results are passages (book/_static_src/search.js)."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

# A page is found where it has all words of a question, and no page has to say "why does my".
QUESTION = """
an aren't can could couldn't did didn't do does doesn't don't from have how i i'll i'm isn't i've my our should
shouldn't wasn't we we're what what's when where which who why won't would wouldn't you your
"""


class SearchQuestions(SearchEnglish):
    stopwords = SearchEnglish.stopwords | set(re.findall(r"\w+", QUESTION))


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if page == "search":
        app.env.get_domain("math").data["has_equations"][page] = True  # the passages have
        app.add_js_file("search.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(SearchQuestions)
    app.connect("html-page-context", add_script, priority=450)  # before MathJax decides
    return {"parallel_read_safe": True, "parallel_write_safe": True}
