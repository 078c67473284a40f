"""Run each notebook again and compare its pictures with the stored ones: nbval does not look at pictures."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from run_notebooks import execute  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SIMILAR = 0.98


def pictures(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, np.ndarray]]:
    """Every stored picture with the figure's name (or its place), as gray on white."""
    for i, cell in enumerate(notebook.cells):
        pngs = [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name", f"cell {i + 1}")
        for k, png in enumerate(pngs):
            picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
            ground = Image.new("RGBA", picture.size, "white")
            ground.alpha_composite(picture)
            yield (name if len(pngs) == 1 else f"{name}, picture {k + 1}"), np.asarray(ground.convert("L"))


def differences(stored: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> list[str]:
    """What differs between the pictures of two runs, one readable line each."""
    want, got = dict(pictures(stored)), dict(pictures(fresh))
    found = [f"{name}: stored, but not drawn" for name in want.keys() - got.keys()]
    found += [f"{name}: drawn, but not stored" for name in got.keys() - want.keys()]
    for name in want.keys() & got.keys():
        a, b = want[name], got[name]
        if abs(a.shape[0] - b.shape[0]) > 3 or abs(a.shape[1] - b.shape[1]) > 3:
            found.append(f"{name}: {a.shape} stored, {b.shape} drawn")
            continue
        height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
        similarity = structural_similarity(a[:height, :width], b[:height, :width])
        if not similarity > SIMILAR:
            found.append(f"{name}: similarity {similarity:.4f}, at least {SIMILAR} expected")
    return sorted(found)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_figures_are_what_the_notebook_draws(path: Path) -> None:
    assert not differences(nbformat.read(path, as_version=4), execute(path))
