"""A page stands still while it loads: light or dark is known, and the faces are there, before anything is drawn.

The theme settles light or dark in a script at the end of the page, after the first paint, and a browser unpacks a face
only when it meets a letter of it; either moves what is already being read. steady.css keeps the room of live figures.
What is read in the dark is printed in the light.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

EARLY = """\
if (document.documentElement.dataset.theme === 'auto')
  document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
for (const face of ['Serif 4', 'Sans 3'])   // a letter of each of its files
  document.fonts.load(`1em "Source ${face} Variable"`, 'a\\u03c9\\u011d');
{
  let shown;   // paper is white
  const { dataset } = document.documentElement;
  addEventListener('beforeprint', () => { shown = dataset.theme; dataset.theme = 'light'; });
  addEventListener('afterprint', () => { dataset.theme = shown; });
}"""


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_css_file("steady.css")
    app.add_js_file(None, body=EARLY, priority=10)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
