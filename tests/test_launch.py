"""A page of the book opens its own notebook on Colab and Binder, and does not show the cell that Colab needs."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import configure  # noqa: E402
import run_notebooks  # noqa: E402


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A book of one chapter, built with the address of a repository and with what says where to launch it."""
    folder = tmp_path_factory.mktemp("book")
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("1 + 1")]
    notebook = run_notebooks.with_first_cell(nbformat.v4.new_notebook(cells=cells))
    (folder / "notebooks").mkdir()
    (folder / "notebooks/one.ipynb").write_text(run_notebooks.canonical(notebook), encoding="utf8")
    whole = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    config = configure.configured(whole, {"OSTRL_REPOSITORY": "ada/ostrl"})
    config = {key: config[key] for key in ("title", "execute", "repository", "launch_buttons", "only_build_toc_files")}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: notebooks/one\n", encoding="utf8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    html = (folder / "out/_build/html/notebooks/one.html").read_text(encoding="utf8")
    return BeautifulSoup(html, "html.parser")


@pytest.mark.parametrize(
    ("site", "address"),
    [
        ("colab.research.google.com", "https://colab.research.google.com/github/ada/ostrl/blob/main/notebooks/one.ipynb"),
        ("mybinder.org", "https://mybinder.org/v2/gh/ada/ostrl/main?urlpath=lab/tree/notebooks/one.ipynb"),
    ],
)  # fmt: skip
def test_a_page_launches_its_own_notebook(page, site, address):
    assert [a["href"] for a in page.select(f'a[href*="{site}"]')] == [address]


def test_the_cell_for_colab_is_not_on_the_page(page):
    assert "1 + 1" in page.get_text()
    assert "google.colab" not in page.get_text()
