"""The page of help says where the book comes from exactly where that is known, and every page leads to it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import configure  # noqa: E402
import ostrl_address  # noqa: E402
import ostrl_download  # noqa: E402

import ostrl  # noqa: E402

INTRO = "# Front page\n\nTake {notebooks}`all notebooks` along.\n"


@pytest.fixture(scope="module", params=[None, "ada/ostrl"], ids=["no address", "ada/ostrl"])
def site(request, tmp_path_factory):
    """The page of help, a front page and a notebook."""
    folder = tmp_path_factory.mktemp("book")
    for name in ("book", "notebooks"):
        (folder / name).mkdir()
    (folder / "book/intro.md").write_text(INTRO, encoding="utf8")
    words = (ROOT / "book/troubleshooting.md").read_text(encoding="utf8")
    (folder / "book/troubleshooting.md").write_text(words, encoding="utf8")
    (folder / "book/cite.md").write_text((ROOT / "book/cite.md").read_text(encoding="utf8"), encoding="utf8")
    notebook = (ROOT / "notebooks/surprises.ipynb").read_text(encoding="utf8")
    (folder / "notebooks/surprises.ipynb").write_text(notebook, encoding="utf8")
    env = {"OSTRL_REPOSITORY": request.param} if request.param else {}
    config = configure.configured(yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8")), env)
    extensions = {name: str(ROOT / "book/_ext") for name in ("ostrl_address", "ostrl_colab", "ostrl_download")}
    config["sphinx"] = {"local_extensions": extensions, "config": {"myst_enable_extensions": ["colon_fence"]}}
    config = {key: config[key] for key in ("title", "execute", "repository", "html", "sphinx", "only_build_toc_files")}
    del config["html"]["favicon"]
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    files = "".join(f"- file: {name}\n" for name in ("book/troubleshooting", "book/cite", "notebooks/surprises"))
    toc = f"format: jb-book\nroot: book/intro\nchapters:\n{files}"
    (folder / "_toc.yml").write_text(toc, encoding="utf8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, folder / "out/_build/html"


def page(site, name):
    return BeautifulSoup((site[1] / f"{name}.html").read_text(encoding="utf8"), "html.parser")


def test_the_page_names_the_repository_exactly_where_there_is_one(site):
    article = page(site, "book/troubleshooting").article
    addresses = {a["href"] for a in article.select('a[href*="github.com"]')}
    words = article.get_text()
    assert "OWNER" not in words
    if site[0]:
        assert addresses == {f"https://github.com/ada/ostrl/{place}" for place in ("releases", "issues", "discussions")}
        assert words.count("git+https://github.com/ada/ostrl") == 2
        assert "names no place" not in words
    else:
        assert addresses == set()
        assert "github" not in words
        assert words.count("names no place") == 2


def test_every_page_leads_to_where_errors_are_reported(site):
    for name, way in {
        "book/intro": "troubleshooting.html",
        "book/troubleshooting": "",
        "notebooks/surprises": "../book/troubleshooting.html",
    }.items():
        (link,) = page(site, name).select(".bd-footer a[href$='#report-an-error'], .extra_footer a[href*='report']")
        assert (link.get_text(), link["href"]) == ("Report an error", f"{way}#report-an-error")
    assert page(site, "book/troubleshooting").find(id="report-an-error")


def test_the_entry_to_cite_has_the_version_and_the_address(site):
    entry = page(site, "book/cite").select_one("pre").get_text()
    assert f"Version {ostrl.__version__}." in entry
    assert ("url    = {https://ada.github.io/ostrl/}" in entry) is bool(site[0])
    assert not re.search("SITE|VERSION|OWNER", entry)
    (link,) = page(site, "notebooks/surprises").select(".extra_footer a[href$='cite.html']")
    assert (link.get_text(), link["href"]) == ("How to cite", "../book/cite.html")


def test_the_index_is_linked_from_every_page(site):
    (link,) = page(site, "notebooks/surprises").select("a[href='../genindex.html']")
    assert link.get_text() == "Index"


def test_a_report_begun_on_a_page_asks_for_what_is_needed(site):
    found = page(site, "notebooks/surprises").select("a[href*='issues/new']")
    asked = [parse_qs(urlsplit(link["href"]).query) for link in found]
    assert [query["body"] for query in asked] == ([[ostrl_address.SUGGESTED], [ostrl_address.ASKED]] if site[0] else [])
    if site[0]:  # a notebook is no text to edit on the web, a page of words is
        assert asked[0]["title"] == ["Suggestion for Ten surprises"]
        (edit,) = page(site, "book/cite").select(".btn-source-edit-button")
        assert edit["href"] == "https://github.com/ada/ostrl/edit/main/book/cite.md"


def test_the_menu_of_a_page_leads_to_its_history_and_to_where_questions_are_asked(site):
    for name, file in {"notebooks/surprises": "notebooks/surprises.ipynb", "book/cite": "book/cite.md"}.items():
        found = page(site, name).select(".btn-source-history-button, .btn-source-ask-button")
        ways = ["discussions", f"commits/main/{file}"] if site[0] else []
        assert [link["href"] for link in found] == [f"https://github.com/ada/ostrl/{way}" for way in ways]


def test_all_notebooks_are_one_file_on_the_site(site):
    (link,) = page(site, "book/intro").article.select('a[href$=".zip"]')
    assert (link["href"], link.get_text()) == ("../ostrl-notebooks.zip", "all notebooks")
    (link,) = page(site, "book/troubleshooting").article.select('a[href$=".zip"]')
    with zipfile.ZipFile(site[1] / "ostrl-notebooks.zip") as packed:
        assert packed.namelist() == ["ostrl-notebooks/surprises.ipynb"]
        handed_out = site[1] / "_sources/notebooks/surprises.ipynb"
        assert packed.read(packed.namelist()[0]) == handed_out.read_bytes()


def test_the_archive_depends_on_the_notebooks_alone(tmp_path):
    for name in "ba":
        (tmp_path / f"{name}.ipynb").write_text(name)
    ostrl_download.pack(tmp_path, tmp_path / "one.zip")
    (tmp_path / "a.ipynb").touch()
    ostrl_download.pack(tmp_path, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        assert packed.namelist() == ["ostrl-notebooks/a.ipynb", "ostrl-notebooks/b.ipynb"]
        assert {entry.date_time[0] for entry in packed.infolist()} == {1980}


def test_a_notebook_is_saved_and_a_page_of_words_is_shown(site):
    (link,) = page(site, "notebooks/surprises").select(".btn-download-source-button")
    assert link.has_attr("download")
    assert not link.has_attr("target")
    (link,) = page(site, "book/intro").select(".btn-download-source-button")
    assert link["target"] == "_blank"


def test_on_paper_the_archive_is_words(monkeypatch):
    on_paper = SimpleNamespace(app=SimpleNamespace(builder=SimpleNamespace(name="latex")))
    role = SimpleNamespace(env=on_paper, text="all notebooks")
    nodes, _ = ostrl_download.Notebooks.run(role)
    assert [node.astext() for node in nodes] == ["all notebooks"]
    assert not hasattr(nodes[0], "attributes")  # no link


def test_the_page_names_the_file_of_this_version_and_what_the_programs_say():
    words = (ROOT / "book/troubleshooting.md").read_text(encoding="utf8")
    assert set(re.findall(r"ostrl-([\d.]+)-py3", words)) == {ostrl.__version__}
    said = [ROOT / name for name in ("Makefile", "tools/gate_pages.py", "tools/check_valid.py", "ostrl/live/figure.py")]
    source = "\n".join(path.read_text(encoding="utf8") for path in said)
    for message in ("ostrl needs Python 3.11 or newer", "BROWSER CHECKS SKIPPED", "HTML NOT VALIDATED"):
        assert message in words
        assert message in source
    assert "A live figure: run this cell to use it." in " ".join(words.split())
    assert "A live figure: run this cell to use it." in source


def test_the_book_has_the_page_and_the_front_page_leads_there():
    assert f"file: {ostrl_address.HELP}\n" in (ROOT / "book/_toc.yml").read_text(encoding="utf8")
    front = (ROOT / "book/intro.md").read_text(encoding="utf8")
    assert "(troubleshooting.md)" in front
    assert "{notebooks}`" in front
    config = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    assert {"ostrl_address", "ostrl_download"} <= set(config["sphinx"]["config"]["extensions"])
