"""A page that is printed from the browser: what is folded is there, and a frame is broken with what is in it."""

import sys
from pathlib import Path

import pytest
from in_browser import page_alone
from pypdf import PdfReader

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book/_ext"))

import ostrl_steady

LINES = "\n".join(f"line_{i}" for i in range(40))
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Print</title>
<link rel="stylesheet" href="book.css">
<style>
  .cell_input, .highlight-python, .highlight {{ display: flex; }}  .highlight-python {{ break-inside: avoid; }}
  pre {{ overflow: auto; }}
</style></head><body><article class="bd-article">
<p style="height: 200mm">Above.</p>
<div class="cell"><details class="hide"><summary><span class="collapsed">Show the code</span></summary>
<div class="cell_input"><div class="highlight-python"><div class="highlight"><pre>{LINES}</pre></div></div></div>
</details></div>
<details><summary>Proof</summary><p>Quod erat demonstrandum.</p></details>
</article></body></html>"""


@pytest.fixture
def sheets(browser, tmp_path):
    page = browser.new_page()
    page.goto(page_alone(tmp_path, PAGE, "book.css"))
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    page.close()
    return [sheet.extract_text() for sheet in PdfReader(tmp_path / "page.pdf").pages]


def test_what_is_folded_is_printed(sheets):
    text = "\n".join(sheets)
    assert "line_0" in text and "line_39" in text
    assert "Proof" in text and "Quod erat demonstrandum." in text
    assert "Show the code" not in text


def test_code_goes_on_over_the_end_of_a_page(sheets):
    assert "line_0" in sheets[0] and "line_39" in sheets[1]


def test_a_page_that_is_read_in_the_dark_is_printed_in_the_light_and_stays_dark(browser, tmp_path):
    page = browser.new_page()
    seen = "addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme; });"
    script = f"<script>{ostrl_steady.EARLY}\n{seen}</script>"
    page.goto(page_alone(tmp_path, f'<!doctype html><html lang="en" data-theme="dark">{script}<p>Text.</p></html>'))
    page.pdf(path=tmp_path / "page.pdf")
    assert page.evaluate("[window.printed, document.documentElement.dataset.theme]") == ["light", "dark"]
    page.close()
