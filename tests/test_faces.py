"""The text faces hold what the pages write, in the weights that are used, and the small ones stand in the sheet."""

import base64
import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "node_modules/@fontsource-variable/source-serif-4/files"
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_faces  # noqa: E402

RULE = """/* {name} */
@font-face {{
  font-family: 'Source Serif 4 Variable';
  src: url(source-serif-4/{name}.woff2) format('woff2-variations');
  unicode-range: {span};
}}
"""
FACES = {
    "source-serif-4-latin-wght-normal": "U+0000-00FF,U+2000-206F",
    "source-serif-4-greek-wght-normal": "U+0370-0377,U+03A3-03FF",
    "source-serif-4-cyrillic-wght-normal": "U+0301,U+0400-045F",
    "source-serif-4-latin-wght-italic": "U+0000-00FF,U+2000-206F",
}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fonts")
    (folder / "source-serif-4").mkdir()
    for name in FACES:
        shutil.copyfile(FILES / f"{name}.woff2", folder / f"source-serif-4/{name}.woff2")
    sheet = folder / "fonts.css"
    sheet.write_text("\n".join(RULE.format(name=name, span=span) for name, span in FACES.items()))
    ostrl_faces.cut(sheet, ostrl_faces.written(["na&iuml;ve \\u03c0 – &lt;β"]))
    return sheet


def font(rule):
    data = re.search(r"base64,([^)]+)\)", rule)
    return TTFont(io.BytesIO(base64.b64decode(data[1])))


def test_what_is_written_is_known_however_it_is_written():
    points = ostrl_faces.written(["na&iuml;ve \\u03c0 –", "β"])
    assert {ord(letter) for letter in "ïπ–β"} | set(range(0x20, 0x7F)) == points


def test_a_range_is_read_as_a_browser_reads_it():
    assert ostrl_faces.spans("unicode-range: U+0041-0043,U+2113;") == {0x41, 0x42, 0x43, 0x2113}


def test_a_face_has_the_characters_that_are_written_and_the_weights_that_are_used(sheet):
    latin, greek, italic = ostrl_faces.RULE.findall(sheet.read_text())  # nothing in Cyrillic is written
    with font(latin) as face:
        assert set(face.getBestCmap()) == set(range(0x20, 0x7F)) | {0xEF, 0x2013}
        (axis,) = face["fvar"].axes
        assert (axis.minValue, axis.maxValue) == (400, 700)
        assert "kern" in {record.FeatureTag for record in face["GPOS"].table.FeatureList.FeatureRecord}
    with font(greek) as face:
        assert set(face.getBestCmap()) == {0x3C0, 0x3B2}
    assert "url(source-serif-4/source-serif-4-latin-wght-italic.woff2)" in italic  # large, and not on every page
    assert "unicode-range: U+0370-0377,U+03A3-03FF;" in greek


def test_files_that_no_rule_names_are_gone(sheet):
    assert [path.name for path in sheet.parent.rglob("*.woff2")] == ["source-serif-4-latin-wght-italic.woff2"]
