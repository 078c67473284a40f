"""The chapters themselves in a private JupyterLab: opened, run by its own command, and their figures moved.

Chapters 0 to 8 and the surprises run from the first cell to the last. Chapters 9 and 10 train for minutes, so here
they run up to their first section and the figure; nbval runs all of every chapter.
"""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import drag
from private_lab import eventually, kernel, opened, served

CHAPTERS = Path(__file__).parents[2] / "notebooks"
LONG = ("09_rl_on_a_small_llm", "10_comparison")
NAMES = sorted(path.stem for path in CHAPTERS.glob("*.ipynb"))
FIGURE = re.compile(r"^(\w+) = live\.\w+\(", re.M)
# What is moved: a handle by the mouse, or a slider by a key; and the value that follows.
HANDLES = {
    ("02_policy_gradient", "figure"): ("probs", "Policy"),
    ("04_baselines", "figure"): ("size", "N, answers behind one estimate"),
    ("06_three_gradients", "figure"): ("probs", "Policy"),
    ("06_three_gradients", "omega_figure"): ("success_rate", "p, how often the model is right"),
    ("09_rl_on_a_small_llm", "figure"): ("step", "Step of training"),
}


def code(name):
    """The code cells of a chapter, by their place in it."""
    cells = nbformat.read(CHAPTERS / f"{name}.ipynb", as_version=4).cells
    return {i: cell.source for i, cell in enumerate(cells) if cell.cell_type == "code"}


def places(name, pattern):
    """Where the cells are whose code fits the pattern, with what it found."""
    return [(i, found[1]) for i, source in code(name).items() if (found := pattern.search(source))]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(CHAPTERS, root / "work", ignore=shutil.ignore_patterns(".*"))
    with served(root) as server:
        yield server


def run(page, name):
    """Run the chapter, or of a long one the cells at the top and those of its figures."""
    if name not in LONG:
        assert page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')"), "a cell raised"
        return
    for i in [*list(code(name))[:3], *(i for i, _ in places(name, FIGURE))]:
        select(page, i)
        assert page.evaluate("jupyterapp.commands.execute('notebook:run-cell')"), f"cell {i + 1} raised"


def select(page, i):
    """Bring a cell into view, as only such cells are drawn; its output."""
    page.evaluate(
        """async i => {
            const notebook = jupyterapp.shell.currentWidget.content;
            notebook.deselectAll();
            notebook.activeCellIndex = i;
            await notebook.scrollToItem(i, 'center');
        }""",
        i,
    )
    return page.locator(".jp-Notebook-cell.jp-mod-active .jp-Cell-outputWrapper")


def move(page, cell, figure, trait, label):
    """Move one handle or slider of a figure, and see the kernel's value follow."""
    live = cell.locator(".ostrl-live")
    handle = live.get_by_role("slider", name=label, exact=True)
    handle.scroll_into_view_if_needed()
    before = kernel(page, f"{figure}.{trait}")
    if trait == "probs":
        drag(page, handle, 20, -60, steps=10)
        now = live.locator('[data-name="probs"]').evaluate("node => JSON.parse(node.dataset.value)")
        assert now[2] > before[2] + 0.1
        eventually(lambda: kernel(page, f"{figure}.probs") == now)
    else:
        handle.press("ArrowRight")
        eventually(lambda: kernel(page, f"{figure}.{trait}") > before)


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_runs_and_its_figures_move(name, server, browser):
    with opened(browser, server, f"{name}.ipynb") as page:
        assert page.locator(".jp-Notebook h1").first.inner_text()
        run(page, name)
        figures = places(name, FIGURE)
        assert [(name, figure) for _, figure in figures] == [key for key in HANDLES if key[0] == name]
        for i, figure in figures:
            move(page, select(page, i), figure, *HANDLES[name, figure])
        for i, laboratory in places(name, re.compile(r"^(\w+) = lab\.monte_carlo\(", re.M)):
            cell = select(page, i)
            picture = cell.locator("img").last
            before, size = picture.get_attribute("src"), kernel(page, f"{laboratory}.experiment.size")
            cell.locator(".noUi-handle").first.press("ArrowRight")
            eventually(lambda lab=laboratory, size=size: kernel(page, f"{lab}.experiment.size") > size)
            eventually(lambda picture=picture, before=before: picture.get_attribute("src") != before)
