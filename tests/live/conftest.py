"""Live figures in a real browser: a page with nothing on it but a figure's own output and book/_static_src/live.js."""

import json
from pathlib import Path

import pytest
from in_browser import missing

pytest.register_assert_rewrite("private_lab")
ROOT = Path(__file__).parents[2]

# The colors of the book's theme, which the figures take from the page that they stand on.
THEME = """
html { --pst-color-text-base: #323232; --pst-color-background: #fff; color-scheme: light; }
html[data-theme="dark"] { --pst-color-text-base: #ced6dd; --pst-color-background: #14181e; color-scheme: dark; }
body { background: var(--pst-color-background); color: var(--pst-color-text-base); }
body { font: 16px/1.65 sans-serif; margin: 12px; }
main { max-width: 720px; margin: auto; }
"""


@pytest.fixture(autouse=True)
def widgets_are_shown(monkeypatch):
    """As for a reader: where notebooks are run to be stored, BOOK_BUILD leaves the widgets out."""
    monkeypatch.delenv("BOOK_BUILD", raising=False)


def drag(page, handle, dx, dy, steps):
    """Drag what is on show at a locator by so many pixels."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=steps)
    page.mouse.up()


class Figure:
    """One figure on an open page."""

    def __init__(self, page, index=0):
        self.page = page
        self.root = page.locator(".ostrl-live").nth(index)

    def number(self, name):
        """The full-precision value of what is on show as ``data-name``."""
        return json.loads(self.root.locator(f'[data-name="{name}"]').get_attribute("data-value"))

    def text(self, name):
        return self.root.locator(f'[data-name="{name}"]').inner_text()

    def type(self, name, text):
        """Type into a number field, key by key, as a hand does."""
        field = self.root.locator(f'input[data-name="{name}"]')
        field.click()
        field.press("Control+a")
        field.press_sequentially(text)

    def choose(self, name, value):
        self.root.locator(f'select[data-name="{name}"]').select_option(value)

    def handle(self, label):
        return self.root.get_by_role("slider", name=label, exact=True)

    def drag(self, label, dx, dy):
        drag(self.page, self.handle(label), dx, dy, steps=8)


@pytest.fixture
def show(browser, tmp_path):
    """show(figure, …) -> the figure(s) on a page of their own, opened from a folder; no error may occur on it."""
    contexts, errors = [], []

    def open_page(*figures, width=1000, dark=False, **options):
        outputs = "".join(figure._repr_mimebundle_()[0]["text/html"] for figure in figures)
        file = tmp_path / f"page{len(contexts)}.html"
        script = (ROOT / "book/_static_src/live.js").as_uri()
        file.write_text(
            f'<!doctype html><html lang="en" data-theme="{"dark" if dark else "light"}"><head><meta charset="utf-8">'
            f'<title>Figure</title><meta name="viewport" content="width=device-width"><style>{THEME}</style></head>'
            f'<body><main><h1>Figure</h1>{outputs}</main><script defer src="{script}"></script></body></html>',
            encoding="utf8",
        )
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.goto(file.as_uri())
        page.locator(".ostrl-live").nth(len(figures) - 1).wait_for()
        shown = [Figure(page, index) for index in range(len(figures))]
        return shown[0] if len(shown) == 1 else shown

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def axe(show):
    """axe(figure, …) -> what axe-core finds wrong with a page that holds the figures, and whether it is too wide."""
    script = ROOT / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        missing("no axe-core; run make setup")

    def run(*figures, **options):
        shown = show(*figures, **options)
        page = (shown[0] if isinstance(shown, list) else shown).page
        page.evaluate(script.read_text(encoding="utf8"))
        return page.evaluate("""async () => {
            const only = { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] };
            const { violations } = await axe.run(document, { runOnly: only, resultTypes: ['violations'] });
            const wide = document.documentElement.scrollWidth > innerWidth ? ['wider than the window'] : [];
            const say = (rule, node) => `${rule.id}: ${node.html.slice(0, 120)} ${node.any[0]?.message ?? ''}`;
            return [...wide, ...violations.flatMap(rule => rule.nodes.map(node => say(rule, node)))];
        }""")

    return run
