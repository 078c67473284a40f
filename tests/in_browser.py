"""What the tests in a browser share: the browser itself, and what is said where something for them is missing."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import chromium  # noqa: E402


def page_alone(folder, text, *names):
    """The address of a page in a folder, beside the styles and scripts of the book's that it names."""
    for name in names:
        (folder / name).write_bytes((ROOT / "book/_static_src" / name).read_bytes())
    (folder / "page.html").write_text(text, encoding="utf8")
    return (folder / "page.html").as_uri()


def missing(what):
    """Nothing is checked without a browser; where everything must be checked, that is an error."""
    message = f"*** NOT TESTED IN A BROWSER: {what} ***"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="module")  # not longer: Playwright's event loop would be in the way of other modules' own
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing('no playwright; install it with pip install "ostrl[test]"')
    path = chromium.find()
    if not path:
        missing("no Chromium found; install it (Debian: apt-get install chromium) or set $CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        yield browser
        browser.close()
