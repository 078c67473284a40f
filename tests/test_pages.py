"""What the book's extensions do to its pages: code line by line, pictures without loss in fewer bytes."""

import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "book/_ext"))

import ostrl_code
import ostrl_weight

PYTHON = '<div class="highlight-python notranslate"><div class="highlight"><pre><span></span>{}\n</pre></div>'


def test_each_line_of_code_knows_its_indentation():
    page = ostrl_code.line_by_line(PYTHON.format('<span class="k">if</span> x:\n    <span class="n">y</span>'))
    assert page == PYTHON.replace("{}\n", "{}").format(
        '<span class="line"><span class="k">if</span> x:\n</span>'
        '<span class="line" style="--indent:4ch">    <span class="n">y</span>\n</span>'
    )


def test_the_output_of_a_cell_keeps_its_columns():
    output = PYTHON.replace("python", "myst-ansi").format("a  1\nb  2")
    assert ostrl_code.line_by_line(output) == output


def test_a_picture_keeps_every_pixel(tmp_path):
    picture = Image.effect_noise((60, 40), 50).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((60, 40)))
    flat = Image.new("RGBA", (400, 300), (0, 114, 178, 0))  # a color under full transparency counts as well
    picture.save(tmp_path / "noise.png")
    flat.save(tmp_path / "flat.png")
    done = ostrl_weight.compress(tmp_path)
    assert "flat" in done
    for name, original in (("noise", picture), ("flat", flat)):
        (path,) = tmp_path.glob(f"{name}.*")  # one of the two is left
        assert path.suffix == (".webp" if name in done else ".png")
        assert Image.open(path).convert("RGBA").tobytes() == original.tobytes()


@pytest.mark.parametrize(
    "tag",
    [
        '<script defer src="../_static/scripts/fontawesome.js?digest=5"></script>',
        '<link rel="preload" as="script" href="_static/scripts/fontawesome.js?digest=5">',
    ],
)
def test_the_script_of_icons_is_left_out(tag):
    assert ostrl_weight.ICONS.sub("", f"<p>\n  {tag}\n</p>") == "<p>\n</p>"
