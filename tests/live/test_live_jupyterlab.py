"""Live figures with a kernel: a private JupyterLab, a real browser, and values that move both ways."""

import nbformat
import pytest
from conftest import drag
from private_lab import eventually, kernel, opened, served

CELLS = [
    "from ostrl import live\nfigure = live.ThreeAnswers('rloo')\nfigure",
    "from ostrl.live import lab as laboratory\nlab = laboratory.monte_carlo(samples=100_000)\nlab",
    "1 + 1",
]


@pytest.fixture(scope="module")
def notebook(browser, tmp_path_factory):
    """The notebook, opened, with every cell run."""
    root = tmp_path_factory.mktemp("lab")
    (root / "work").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "work/figures.ipynb")
    with served(root) as server, opened(browser, server, "figures.ipynb") as page:
        assert page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')"), "a cell failed"
        yield page


def shown(page, name):
    return page.evaluate(f"JSON.parse(document.querySelector('.ostrl-live [data-name={name}]').dataset.value)")


def test_a_figure_moves_both_ways(notebook):
    page = notebook
    assert page.locator(".ostrl-live").count() == 1  # the widget alone, not its twin as well
    handle = page.locator(".ostrl-live").get_by_role("slider", name="Policy", exact=True)
    cells = "jupyterapp.shell.currentWidget.content.widgets.length"
    assert page.evaluate(cells) == len(CELLS)

    handle.focus()
    for key in ("ArrowRight", "ArrowUp", "a", "b"):  # the last two would insert cells
        page.keyboard.press(key)
    assert handle.evaluate("node => node === document.activeElement")
    assert page.evaluate(cells) == len(CELLS)
    probs = shown(page, "probs")
    assert probs[2] > 0.1
    eventually(lambda: kernel(page, "figure.probs") == probs)  # hand to kernel

    drag(page, handle, 20, -90, steps=10)
    dragged = shown(page, "probs")
    assert dragged[2] > probs[2] + 0.1
    eventually(lambda: kernel(page, "figure.probs") == dragged)

    page.locator(".ostrl-live select[data-name=weight]").select_option("threshold")
    eventually(lambda: kernel(page, "figure.weight") == "threshold")
    kernel(page, "figure.set_trait('rewards', [0.0, 1.0, 1.0])")  # kernel to picture
    kernel(page, "figure.set_trait('probs', [0.2, 0.2, 0.6])")
    eventually(lambda: shown(page, "probs") == [0.2, 0.2, 0.6])
    assert shown(page, "value") == pytest.approx(0.8)
    exact = kernel(page, "__import__('ostrl').exact.gradient(figure.policy, figure.task).tolist()")
    assert shown(page, "gradient") == pytest.approx(exact, abs=1e-12)


def test_the_lab_draws_again_when_a_slider_moves(notebook):
    page = notebook
    picture = page.locator(".widget-html img, .jupyter-widget-html img").last
    before, size = picture.get_attribute("src"), kernel(page, "lab.experiment.size")
    handle = page.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    eventually(lambda: kernel(page, "lab.experiment.size") > size)
    eventually(lambda: picture.get_attribute("src") != before)
    numbers = kernel(page, "lab.numbers")
    error = numbers["sd"] / numbers["replicas"] ** 0.5
    assert abs(numbers["sample_mean"] - numbers["mean"]) < 6 * error  # a false alarm in 5e8 runs; the seed is fixed
