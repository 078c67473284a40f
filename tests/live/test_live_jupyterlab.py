"""Live figures with a kernel: a private JupyterLab, a real browser, and values that move both ways."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from conftest import missing

CELLS = [
    "from ostrl import live\nfigure = live.ThreeAnswers('rloo')\nfigure",
    "from ostrl.live import lab as laboratory\nlab = laboratory.monte_carlo(samples=100_000)\nlab",
    "1 + 1",
]
FOLDERS = (
    "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A private JupyterLab with one notebook: folders, port and token of its own. Gives its address and token."""
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        missing('no JupyterLab; install it with pip install "ostrl[lab]"')
    root = tmp_path_factory.mktemp("lab")
    (root / "work").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "work/figures.ipynb")
    environment = os.environ | {name: str(root / name.lower()) for name in FOLDERS}
    environment.pop("BOOK_BUILD", None)  # that would leave out the widgets
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root / 'work'}",
        "--expose-app-in-browser", "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with open(root / "log", "w", encoding="utf8") as log:
        process = subprocess.Popen(command, env=environment, cwd=root / "work", stdout=log, stderr=log)
        try:
            for _ in range(480):
                assert process.poll() is None, (root / "log").read_text(encoding="utf8")[-3000:]
                try:
                    with urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2):
                        break
                except OSError:
                    time.sleep(0.25)
            else:
                pytest.fail("JupyterLab did not start within two minutes")
            yield address, token
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def notebook(server, browser):
    """The notebook, opened, with every cell run; whatever asks for another machine is refused, and is an error."""
    address, token = server
    context, elsewhere = browser.new_context(viewport={"width": 1300, "height": 1600}), []

    def gate(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(f"{address}/doc/tree/figures.ipynb?token={token}&reset")
    idle = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(idle)
    assert page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')"), "a cell failed"
    yield page
    context.close()
    assert elsewhere == []


def kernel(page, expression):
    """An expression's value in the notebook's kernel; the notebook itself stays as it is."""
    return eval(
        page.evaluate(
            """async expression => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const request = { code: '', store_history: false, user_expressions: { value: expression } };
                const { value } = (await kernel.requestExecute(request).done).content.user_expressions;
                if (value.status !== 'ok') throw new Error(`${value.ename}: ${value.evalue}`);
                return value.data['text/plain'];
            }""",
            expression,
        )
    )


def eventually(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    assert holds()


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

    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y - 90, steps=10)
    page.mouse.up()
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
