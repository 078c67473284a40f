"""A page stands still while it loads: live figures get their room before they are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_live_figure_on_a_page_has_its_room():
    sheet = (ROOT / "book/_static_src/steady.css").read_text(encoding="utf8")
    texts = "".join(path.read_text(encoding="utf8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    figures = set(re.findall(r'data-figure=\\"(\w+)', texts))
    assert len(figures) > 3
    for name in figures:
        assert sheet.count(f'[data-figure="{name}"] {{ --room:') == 2, name  # in a narrow column, and in a wide one
