"""Of the theme's 2,000 icons the site keeps those that it shows, and their fonts have no other letters."""

import sys
from pathlib import Path

import pydata_sphinx_theme
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[1]
STATIC = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_icons  # noqa: E402

SHEET = (STATIC / ostrl_icons.SHEET).read_text(encoding="utf8")


def test_an_icon_stays_exactly_where_a_page_or_a_script_names_its_class():
    names = ostrl_icons.used(['<i class="fa-solid fa-bars fa-lg"></i>', "x.innerHTML = '<i class=\"fa-xmark\">'"])
    assert names == {"fa-solid", "fa-bars", "fa-lg", "fa-xmark"}
    sheet = ostrl_icons.cut(SHEET, names)
    assert '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}' in sheet  # also by its other name
    assert "fa-xmark:before" in sheet
    assert "fa-rocket:before" in SHEET and "fa-rocket:before" not in sheet
    assert len(sheet) < 0.8 * len(SHEET)


def test_nothing_but_icons_is_cut():
    def others(sheet):
        return ostrl_icons.RULE.sub("", sheet)

    sheet = ostrl_icons.cut(SHEET, set())
    assert others(sheet) == ostrl_icons.FACE.sub(r'url(\1.woff) format("woff")', others(SHEET))
    assert sheet.count('.woff) format("woff")') == 3 and ".woff2" not in sheet and ".ttf" not in sheet
    assert ".fa-solid" in sheet and "--pst-icon-download" in sheet


def test_a_font_has_the_letters_that_are_asked_for_and_is_small(tmp_path):
    for suffix in (".ttf", ".woff2"):
        source = STATIC / ostrl_icons.FONTS / f"fa-solid-900{suffix}"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    points = ostrl_icons.letters(['a{content:"\\f0c9"}', "b{content:'\uf019'}", '.c{content:"\\2014"}'])
    assert points == {0xF0C9, 0xF019}
    ostrl_icons.shrink(tmp_path / "fa-solid-900.ttf", points)
    (font,) = tmp_path.iterdir()
    assert font.name == "fa-solid-900.woff" and font.stat().st_size < 2_000
    with TTFont(font) as cut:
        assert set(cut.getBestCmap()) == points
