"""Break the estimators on purpose, one small change at a time, and list the changes that no test notices.

    python tools/mutants.py                              # weighting, surrogate, exact; takes a while
    python tools/mutants.py ostrl/weighting.py --jobs 2

A survivor is either a test that is missing or a change that makes no difference; each deserves a look.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EXACT = [f"ostrl/exact/{name}.py" for name in ("values", "enumeration", "difficulty", "selection", "comparison")]
FILES = ["ostrl/weighting.py", "ostrl/surrogate.py", *EXACT]
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
DROPPED_CALLS = {"detach", "sqrt", "clamp_min", "square", "unsqueeze", "group"}


def variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every single change of one node: what it does, and the changed node."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        changed = copy.copy(node)
        changed.op = SWAPS[type(node.op)]()
        yield f"{type(node.op).__name__} -> {type(changed.op).__name__}", changed
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        flipped = copy.copy(node)
        flipped.ops = [SWAPS[type(node.ops[0])]()]
        yield f"{type(node.ops[0]).__name__} -> {type(flipped.ops[0]).__name__}", flipped
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "drop minus", node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} -> {node.value + 1}", ast.copy_location(ast.Constant(node.value + 1), node)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} -> {not node.value}", ast.copy_location(ast.Constant(not node.value), node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DROPPED_CALLS:
        kept = node.args[-1] if node.func.attr == "group" else node.func.value
        yield f"drop {node.func.attr}", kept


class Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, by: ast.AST) -> None:
        self.target, self.by = target, by

    def visit(self, node: ast.AST) -> ast.AST:
        return self.by if node is self.target else self.generic_visit(node)


def mutants(path: Path) -> Iterator[tuple[str, str]]:
    """Descriptions and sources of all mutants of a file; messages of errors and docstrings are left alone."""
    count = len(list(ast.walk(ast.parse(path.read_text()))))
    for number in range(count):
        tree = ast.parse(path.read_text())
        raised = {n for r in ast.walk(tree) if isinstance(r, ast.Raise | ast.JoinedStr) for n in ast.walk(r)}
        node = list(ast.walk(tree))[number]
        if node in raised or not isinstance(node, ast.expr):
            continue
        for what, changed in variants(node):
            mutated = Replace(node, changed).visit(copy.copy(tree))
            source = ast.unparse(ast.fix_missing_locations(mutated))
            yield f"{path.name}:{node.lineno}: {what} in `{ast.unparse(node)[:60]}`", source


def survives(name: str, source: str, tests: list[str]) -> bool:
    """Whether all tests pass on a copy of the package with one file changed."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "ostrl", Path(folder) / "ostrl")
        (Path(folder) / name).write_text(source)
        env = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", "-m", "pytest"]  # -P: this folder's own ostrl must not come first
        command += ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=600).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tests", nargs="*", default=["tests/unit"])
    options = parser.parse_args()
    for name in options.files:  # the harness itself must notice what nobody could miss, and nothing else
        if survives(name, "raise RuntimeError", options.tests):
            sys.exit(f"the tests do not import the changed copy of {name}")
        if not survives(name, (ROOT / name).read_text(), options.tests):
            sys.exit(f"the tests fail without any change to {name}")
    work = [(name, *mutant) for name in options.files for mutant in mutants(ROOT / name)]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = tqdm(pool.map(lambda m: survives(m[0], m[2], options.tests), work), total=len(work))
        survivors = [what for (_, what, _), alive in zip(work, results, strict=True) if alive]
    print(f"{len(work) - len(survivors)} of {len(work)} mutants noticed")
    for what in survivors:
        print(f"survived: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
