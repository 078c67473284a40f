"""Run the notebooks and store their outputs, so that a second run changes no byte.

    python tools/run_notebooks.py                # all of them, in place
    python tools/run_notebooks.py notebooks/02_policy_gradient.ipynb

Under ``BOOK_BUILD=1`` and ``TQDM_DISABLE=1``, with figures drawn by the inline backend, no timings, no widget
state, and nothing of the reader's own IPython settings. The figure test runs notebooks through ``execute`` too.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # no version: another Python would show up as a change
}
KEPT_METADATA = {"accelerator"}  # "GPU": what Colab gives a chapter that has work for one
CELL_METADATA = {"tags", "mystnb", "jupyter"}
# The first code cell of every notebook: on Colab the notebook is all there is. A copy of the project whose package is
# not on the index names another source here ("ostrl[notebooks] @ git+https://…"), and runs this tool.
FIRST_CELL = """\
# On Colab this cell installs ostrl; anywhere else it does nothing. Where the package index has no ostrl, put
# "ostrl[notebooks] @ git+https://github.com/OWNER/NAME" in its place (OWNER/NAME: see this page's address).
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "ostrl[notebooks]\""""
ENVIRONMENT = {
    "BOOK_BUILD": "1",
    "TQDM_DISABLE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONHASHSEED": "0",
}


def with_first_cell(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with FIRST_CELL below its title, not to be seen in the book."""
    cell = nbformat.v4.new_code_cell(FIRST_CELL, id="install", metadata={"tags": ["remove-cell"]})
    cells = [cell for cell in notebook.cells if cell.get("id") != "install"]
    return nbformat.from_dict(notebook | {"cells": [*cells[:1], cell, *cells[1:]]})


@contextmanager
def environment() -> Iterator[None]:
    """The kernel's environment while the block runs, with an empty IPython folder."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ENVIRONMENT, IPYTHONDIR=folder)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def execute(path: Path, on_cell: Callable[[], None] = lambda: None, timeout: int = 600) -> nbformat.NotebookNode:
    """A copy of the notebook with fresh outputs; the file stays as it is."""
    notebook = with_first_cell(nbformat.read(path, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        on_cell_executed=lambda **_: on_cell(),
        resources={"metadata": {"path": str(path.parent)}},
    )
    with environment():
        client.execute()
    return notebook


def without_text_chunks(png: bytes) -> bytes:
    """The picture without the chunks that name the software that drew it."""
    kept, position = [png[:8]], 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        chunk = png[position : position + 12 + length]
        if chunk[4:8] not in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):
            kept.append(chunk)
        position += len(chunk)
    return b"".join(kept)


def canonical(notebook: nbformat.NotebookNode) -> str:
    """The one text of a notebook: sorted keys, no noise in the metadata, pictures without software versions."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata = METADATA | {k: v for k, v in notebook.metadata.items() if k in KEPT_METADATA}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in CELL_METADATA}
        cell.pop("attachments", None)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                size = output.metadata.get("image/png", {})  # the pixels are twice as many as the picture is wide
                size = {key: size[key] for key in ("height", "width") if key in size}
                output.metadata = {"image/png": size} if size else {}
            if "image/png" in output.get("data", {}):
                png = without_text_chunks(base64.b64decode(output["data"]["image/png"]))
                output["data"]["image/png"] = base64.b64encode(png).decode()
    nbformat.validate(notebook)
    split = json.loads(nbformat.writes(notebook))
    return json.dumps(split, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def run(path: Path) -> bool:
    """Run one notebook in place, with a progress bar for people; returns whether the file changed."""
    cells = sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)
    with tqdm(total=cells, desc=path.stem, unit="cell") as bar:
        notebook = execute(path, on_cell=bar.update)
    before, after = path.read_text(encoding="utf8"), canonical(notebook)
    if after != before:
        path.write_text(after, encoding="utf8")
    return after != before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every notebook of the book")
    paths = parser.parse_args().notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        print("no notebooks to run", file=sys.stderr)
        return 1
    failed = False
    for path in paths:
        try:
            print(f"{path.name}: {'outputs changed' if run(path.resolve()) else 'unchanged'}")
        except CellExecutionError as error:
            print(f"{path.name}: a cell raised, the file is left as it was\n{error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
