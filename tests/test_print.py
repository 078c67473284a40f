"""A page that is printed from the browser: what is folded is there, and a frame is broken with what is in it."""

import pytest
from in_browser import page_alone
from pypdf import PdfReader

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
