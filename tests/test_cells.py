"""In a chapter's code, what comes from ``ostrl`` leads to its documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "book/_ext"))

import ostrl_cells

import ostrl
from ostrl import exact

CELLS = [
    'import importlib.util\n\nif importlib.util.find_spec("ostrl") is None:\n    %pip install ostrl',
    "import ostrl\nimport torch\nfrom ostrl import METHODS, exact\nfrom ostrl.diagnostics import cosine, snr as ratio",
    "from ostrl.live import lab\nfrom ostrl.methods import rest\n\nrest = METHODS",
]
NAMES = frozenset(
    f"ostrl.{name}"
    for name in ("exact", "exact.gradient", "methods.METHODS", "policies.TablePolicy", "policies.TablePolicy.sample")
)
PAGE = '<div class="highlight-{}"><div class="highlight"><pre><span></span>{}\n</pre></div>'


def n(*path: str) -> str:
    return ostrl_cells.DOT.join(f'<span class="n">{name}</span>' for name in path)


def test_names_are_those_that_the_cells_import_from_the_package() -> None:
    found = ostrl_cells.imported(CELLS)
    assert set(found) == {"ostrl", "METHODS", "exact", "cosine", "ratio", "lab"}  # rest is given to something else
    assert found["exact"] is exact
    assert found["METHODS"] is ostrl.METHODS


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("exact", (1, "ostrl.exact")),
        ("exact.gradient", (2, "ostrl.exact.gradient")),
        ("exact.gradient.__name__", (2, "ostrl.exact.gradient")),
        ("ostrl.METHODS", (2, "ostrl.methods.METHODS")),  # where it is documented, not where it was found
        ("TablePolicy.sample", (2, "ostrl.policies.TablePolicy.sample")),
        ("exact.nothing", (1, "ostrl.exact")),
        ("torch.tensor", None),
    ],
)
def test_a_path_leads_to_the_longest_beginning_that_is_documented(path: str, found: tuple[int, str] | None) -> None:
    objects = ostrl_cells.imported(CELLS) | {"TablePolicy": ostrl.TablePolicy}
    assert ostrl_cells.resolve(path.split("."), objects, NAMES) == found


def test_each_name_is_a_link_once_in_a_block() -> None:
    def address(path: list[str]) -> tuple[int, str] | None:
        return (min(len(path), 2), "../api.html#" + ".".join(path[:2])) if path[0] == "exact" else None

    code = f"{n('g')} {n('exact', 'gradient', 'T')} {n('exact', 'gradient')} {n('exact', 'value')}"
    page = ostrl_cells.linked(PAGE.format("python notranslate", code) * 2, address)
    gradient, value = (
        f'<a class="reference internal from-code" href="../api.html#exact.{name}">{n("exact", name)}</a>'
        for name in ("gradient", "value")
    )
    first = code.replace(n("exact", "gradient"), gradient, 1).replace(n("exact", "value"), value)
    assert page == PAGE.format("python notranslate", first) * 2
    assert re.sub("</?a[^>]*>", "", page) == PAGE.format("python notranslate", code) * 2


@pytest.mark.parametrize(
    "code",
    [
        f'<span class="p">)</span>{ostrl_cells.DOT}{n("exact")}',  # a field of a result
        f'{n("exact")}<span class="o">=</span>{n("x")}',  # the name of an argument
        '<span class="s2">"exact"</span>',  # a string
    ],
)
def test_what_only_has_the_name_is_no_link(code: str) -> None:
    page = PAGE.format("python notranslate", code)
    assert ostrl_cells.linked(page, lambda path: (1, "#") if path[0] == "exact" else None) == page


def test_only_python_is_linked() -> None:
    page = PAGE.format("bash notranslate", n("exact"))
    assert ostrl_cells.linked(page, lambda path: (1, "#")) == page
