"""A page of the book opens its own notebook on Colab and Binder, and does not show the cell that Colab needs."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import configure  # noqa: E402
import ostrl_colab  # noqa: E402
import run_notebooks  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A book of one chapter, built with the address of a repository and with what says where to launch it."""
    folder = tmp_path_factory.mktemp("book")
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("1 + 1")]
    notebook = run_notebooks.with_first_cell(nbformat.v4.new_notebook(cells=cells))
    (folder / "notebooks").mkdir()
    (folder / "notebooks/one.ipynb").write_text(run_notebooks.canonical(notebook), encoding="utf8")
    whole = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    config = configure.configured(whole, {"OSTRL_REPOSITORY": "ada/ostrl"})
    config["sphinx"] = {"local_extensions": {"ostrl_colab": str(ROOT / "book/_ext")}}
    kept = ("title", "execute", "repository", "launch_buttons", "only_build_toc_files", "sphinx")
    config = {key: config[key] for key in kept}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: notebooks/one\n", encoding="utf8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out/_build/html"


@pytest.fixture(scope="module")
def page(site):
    return BeautifulSoup((site / "notebooks/one.html").read_text(encoding="utf8"), "html.parser")


@pytest.mark.parametrize(
    ("where", "address"),
    [
        ("colab.research.google.com", "https://colab.research.google.com/github/ada/ostrl/blob/colab/notebooks/one.ipynb"),
        ("mybinder.org", "https://mybinder.org/v2/gh/ada/ostrl/main?urlpath=lab/tree/notebooks/one.ipynb"),
    ],
)  # fmt: skip
def test_a_page_launches_its_own_notebook(page, where, address):
    assert [a["href"] for a in page.select(f'a[href*="{where}"]')] == [address]


def test_the_site_s_notebook_has_the_address_and_is_else_the_one_of_the_book(site):
    handed_out = nbformat.read(site / "_sources/notebooks/one.ipynb", as_version=4)
    assert 'install --quiet "ostrl[notebooks] @ git+https://github.com/ada/ostrl@main"' in handed_out.cells[1].source
    assert "OWNER" not in handed_out.cells[1].source
    assert run_notebooks.with_first_cell(handed_out) == nbformat.read(
        site.parents[2] / "notebooks/one.ipynb", as_version=4
    )


def test_what_is_said_of_the_branch_and_what_is_pushed_to_it_is_the_same():
    steps = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())["jobs"]["deploy"]["steps"]
    assert any(f"--initial-branch {ostrl_colab.BRANCH}\n" in step.get("run", "") for step in steps)


def test_a_notebook_without_the_cell_that_installs_is_not_handed_out():
    with pytest.raises(ValueError, match='one cell with the id "install", this one 0'):
        ostrl_colab.addressed('{"cells": []}', "https://github.com/ada/ostrl", "main")


def test_the_cell_for_colab_is_not_on_the_page(page):
    assert "1 + 1" in page.get_text()
    assert "google.colab" not in page.get_text()
