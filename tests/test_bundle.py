"""One style sheet and one script of the book's own for each page."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book/_ext"))

import ostrl_bundle


def static(folder):
    (folder / "styles").mkdir()
    (folder / "styles/theme.css").write_text('@charset "UTF-8";\n@import "../basic.css";\nb { color: red; }')
    (folder / "basic.css").write_text("a { background: url(file.png) }")
    (folder / "styles/own.css").write_text(
        "c { src: url('../fonts/x.woff2'); background: url(data:image/png;base64,AA) }"
    )
    return folder


def test_style_sheets_are_joined_in_their_order_with_addresses_from_where_they_lie_now(tmp_path):
    page = """<link rel="stylesheet" type="text/css" href="../_static/styles/theme.css?v=1" />
<script src="../_static/x.js"></script>
<link href="../_static/styles/own.css" rel="stylesheet"><link rel="icon" href="../_static/i.svg">"""
    changed = ostrl_bundle.bundled(static(tmp_path), set())(page)
    first, *rest = changed.split("\n")
    assert rest == ['<script src="../_static/x.js"></script>', '<link rel="icon" href="../_static/i.svg">']
    name = first.removeprefix('<link rel="stylesheet" href="../_static/').removesuffix('">')
    text = (tmp_path / name).read_text()
    rules = ['a { background: url("file.png") }', "b { color: red; }"]
    rules += ['c { src: url("fonts/x.woff2"); background: url(data:image/png;base64,AA) }']
    assert text.split() == " ".join(rules).split()


def test_scripts_of_the_book_are_one_at_the_place_of_the_last_and_others_stay(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.js").write_text(f"{name}();\n")
    tag = '<script defer="defer" src="_static/{}.js?v=1"></script>\n'.format
    page = tag("a") + tag("theirs") + tag("b") + "<p>"
    changed = ostrl_bundle.bundled(tmp_path, {"a.js", "b.js"})(page)
    assert changed.startswith(tag("theirs") + '<script defer src="_static/all-') and changed.endswith("</script>\n<p>")
    text = next(tmp_path.glob("all-*.js")).read_text()
    assert text.index("a();") < text.index("b();") and text.count("reportError") == 2


def test_a_page_without_any_stays_as_it_is(tmp_path):
    assert ostrl_bundle.bundled(tmp_path, {"a.js"})("<p>x</p>") == "<p>x</p>"
