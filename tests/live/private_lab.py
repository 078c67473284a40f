"""A private JupyterLab, and a notebook opened in it by a real browser: folders, port and token of its own."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
from in_browser import missing

FOLDERS = (
    "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)  # fmt: skip


@contextmanager
def served(root):
    """JupyterLab on the folder ``root / "work"``: its address and token."""
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        missing('no JupyterLab; install it with pip install "ostrl[lab]"')
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


@contextmanager
def opened(browser, server, name):
    """The notebook's page, its kernel idle. Asking for another machine is refused, and is an error as any other."""
    address, token = server
    context, elsewhere, errors = browser.new_context(viewport={"width": 1300, "height": 1600}), [], []

    def gate(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.set_default_timeout(90_000)
    page.goto(f"{address}/doc/tree/{name}?token={token}&reset")
    idle = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(idle)
    try:
        yield page
        page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    finally:
        context.close()
    assert elsewhere == []
    assert errors == []


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
