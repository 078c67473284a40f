"""The sign beside a heading or a claim leads there and copies the address."""

import sys
from pathlib import Path

import pytest
from in_browser import page_alone

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_links  # noqa: E402

CLAIM = """<div class="proof theorem admonition" id="thm-a">
<p class="admonition-title"><span class="caption-number">Theorem 2.2 </span></p></div>"""
PROOF = '<div class="proof admonition">\n<p>Proof. Clear.</p></div>'


def test_claims_and_exercises_have_the_sign_and_proofs_have_none():
    sign = '<a class="headerlink" href="#thm-a" title="Link to this theorem">#</a>'
    assert ostrl_links.linked(CLAIM) == CLAIM.replace("</p>", f"{sign}</p>")
    exercise = CLAIM.replace("proof theorem", "exercise").replace("Theorem", "Exercise")
    assert "Link to this exercise" in ostrl_links.linked(exercise)
    assert ostrl_links.linked(PROOF) == PROOF


@pytest.mark.parametrize(
    ("head", "address"),
    [
        ('<link rel="canonical" href="https://example.org/book/02.html">', "https://example.org/book/02.html#thm-a"),
        ("", None),
    ],
)
def test_the_published_address_is_copied_where_it_is_known(browser, tmp_path, head, address):
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    main = f'<main class="bd-article">{ostrl_links.linked(CLAIM)}</main><script src="links.js"></script>'
    page.goto(page_alone(tmp_path, f"<!doctype html>{head}{main}", "links.js"))
    page.locator("a.headerlink").click()
    page.wait_for_function("document.querySelector('[role=status]').textContent === 'Address copied'")
    assert page.url.endswith("page.html#thm-a")
    assert page.evaluate("navigator.clipboard.readText()") == (address or page.url)
    context.close()
