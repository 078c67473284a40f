"""A page says which state of the book it shows, and the site hands out the printed book where there is one."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book/_ext")]

import configure  # noqa: E402
import ostrl_download  # noqa: E402

import ostrl  # noqa: E402

INTRO = "# Front page\n\n:::{whole-book}\n**Print** it:\n:::\n"


FORMS = {"PDF": 2_600_000, "EPUB": 600_000}


@pytest.fixture(scope="module", params=[[], ["PDF"], ["PDF", "EPUB"]], ids=["neither", "PDF", "both"])
def site(request, tmp_path_factory):
    """A book of one page in a folder, built after files of the whole book of so many bytes."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "book").mkdir()
    (folder / "book/intro.md").write_text(INTRO, encoding="utf8")
    (folder / "build").mkdir()
    for form in request.param:
        (folder / f"build/ostrl.{form.lower()}").write_bytes(bytes(FORMS[form]))
    sphinx = {
        "local_extensions": {"ostrl_download": str(ROOT / "book/_ext")},
        "config": {"myst_enable_extensions": ["colon_fence"]},
    }
    footer = configure.edition("2026-01-02")
    config = {"title": "Book", "sphinx": sphinx, "only_build_toc_files": True, "html": {"extra_footer": footer}}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n", encoding="utf8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-W", "--path-output", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out/_build/html"


def page(site):
    return BeautifulSoup((site / "book/intro.html").read_text(encoding="utf8"), "html.parser")


def test_the_whole_book_is_on_the_site_exactly_where_links_lead_to_it(site):
    links = {a.get_text(strip=True): a["href"] for a in page(site).select('a[href*="ostrl."]')}
    there = [form for form in FORMS if (site.parents[2] / f"build/ostrl.{form.lower()}").exists()]
    words = {"PDF": "3 MB", "EPUB": "1 MB"}
    assert links == {
        text: f"../ostrl.{form.lower()}"
        for form in there
        for text in (f"{form} ({words[form]})", f"The book as {form}, {words[form]}")
    }
    for form in FORMS:
        assert (site / f"ostrl.{form.lower()}").exists() is (form in there)
    said = " ".join(page(site).article.get_text().split())
    ends = {
        0: None,
        1: "Print it: the whole book as PDF (3 MB).",
        2: "the whole book as PDF (3 MB) and as EPUB (1 MB).",
    }
    assert (ends[len(there)] in said) if there else ("Print it" not in said)


def test_the_button_that_prints_does_not_promise_a_file(site):
    (button,) = page(site).select(".btn-download-pdf-button")
    assert button.get_text(strip=True) == "Print or save as PDF"
    assert button["title"] == "Print this page, or save it as PDF"


def test_every_page_says_its_version_and_day(site):
    (footer,) = page(site).select(".bd-footer-content .extra_footer")
    assert " ".join(footer.get_text().split()) == f"Version {ostrl.__version__} (2026-01-02)"


def test_the_paper_has_no_link_to_itself(monkeypatch):
    monkeypatch.setattr(ostrl_download, "sizes", lambda app: {"PDF": "3 MB"})
    on_paper = SimpleNamespace(app=SimpleNamespace(builder=SimpleNamespace(name="latex")))
    assert ostrl_download.WholeBook.run(SimpleNamespace(env=on_paper)) == []


def test_without_a_repository_and_without_git_nothing_is_invented(tmp_path):
    assert configure.edition(None) == f"<p>Version {ostrl.__version__}</p>"
    assert configure.last_change(tmp_path) is None


def test_the_day_is_that_of_the_last_commit_to_the_book_itself(tmp_path):
    def git(*words):
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        day = {"GIT_COMMITTER_DATE": "2026-03-04T23:59:00+0000", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00+0000"}
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, env=os.environ | day)

    git("init")
    (tmp_path / "page.md").write_text("words", encoding="utf8")
    git("add", ".")
    git("commit", "-m", "A page")
    (tmp_path / "unpacked").mkdir()  # a book that was unpacked inside another project is not that project
    assert configure.last_change(tmp_path) == "2026-03-04"
    assert configure.last_change(tmp_path / "unpacked") is None


def test_the_book_asks_for_what_is_tested_here():
    config = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    assert configure.configured(config, {})["html"]["extra_footer"].startswith(f"<p>Version {ostrl.__version__}")
    assert "ostrl_download" in config["sphinx"]["config"]["extensions"]
    assert ":::{whole-book}" in (ROOT / "book/intro.md").read_text(encoding="utf8")


def test_each_page_has_its_own_day_where_git_knows_it_and_only_there(monkeypatch):
    def config(changed, env):
        monkeypatch.setattr(configure, "last_change", lambda folder: changed)
        read = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
        return configure.configured(read, env)["sphinx"]["config"]

    known = config("2026-01-02", {"OSTRL_REPOSITORY": "ada/ostrl"})
    assert "sphinx_last_updated_by_git" in known["extensions"]
    assert known["sitemap_show_lastmod"] is True
    unknown = config(None, {"OSTRL_REPOSITORY": "ada/ostrl"})
    assert "sphinx_last_updated_by_git" not in unknown["extensions"]
    assert unknown["html_last_updated_fmt"] is None and unknown["sitemap_show_lastmod"] is False
