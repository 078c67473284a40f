"""The page that a host shows for an unknown address works wherever that address is: all it names starts at the root."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import configure  # noqa: E402


@pytest.fixture(scope="module", params=[{}, {"OSTRL_REPOSITORY": "ada/ostrl"}], ids=["no address", "ada/ostrl"])
def built(request, tmp_path_factory):
    """A book of two pages, each in a folder: where it lies, where it is on its host, its page for what is not there."""
    folder = tmp_path_factory.mktemp("book")
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "page.md").write_text(f"# Page {name}\n\nWords.\n", encoding="utf8")
    whole = configure.configured(yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8")), request.param)
    settings = {key: value for key, value in whole["sphinx"]["config"].items() if key.startswith("notfound")}
    settings["templates_path"] = [str(ROOT / path) for path in whole["sphinx"]["config"]["templates_path"]]
    config = {"title": "Book", "sphinx": {"extra_extensions": ["notfound.extension"], "config": settings}}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: one/page\nchapters:\n- file: two/page\n", encoding="utf8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = folder / "out/_build/html"
    page = BeautifulSoup((site / "404.html").read_text(encoding="utf8"), "html.parser")
    return site, "/ostrl/" if request.param else "/", page


def test_every_address_on_it_starts_at_the_root_and_is_there(built):
    site, root, page = built
    named = [tag.get(key) for key in ("href", "src", "action") for tag in page.select(f"[{key}]")]
    own = [url for url in named if not url.startswith(("#", "https://"))]
    assert len(own) > 20
    for url in own:
        assert url.startswith(root)
        assert (site / url.removeprefix(root).partition("?")[0]).is_file(), url
    assert page.html["data-content_root"] == root  # where scripts look


def test_it_says_so_and_leads_on(built):
    _, root, page = built
    article = page.select_one("article")
    assert "not there" in article.h1.get_text()
    assert article.select_one('form[action$="search.html"] input[name="q"]')
    assert [a["href"] for a in article.select("a")] == [f"{root}one/page.html", f"{root}two/page.html"]
