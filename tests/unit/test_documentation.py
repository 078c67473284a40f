"""What the README and the docstrings show is what happens."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import ostrl

README = Path(__file__).parents[2] / "README.md"
MODULES = [m.name for m in pkgutil.walk_packages(ostrl.__path__, "ostrl.")]


def test_the_readmes_code_runs_and_keeps_its_promises(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.S)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert printed.count("tensor(") == 2
    assert "my_loss gives the same estimates as dr_grpo. Its expectation is 0.75 ∇J on every problem" in printed
    row = names["ledger"]["my_loss"]
    assert row.worst("cosine") == pytest.approx(1, abs=1e-12)
    assert row.worst("scale") == pytest.approx(0.75, abs=1e-12)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_every_public_function_and_class_says_what_it_is():
    silent = [
        f"{module}.{name}"
        for module in MODULES
        for name, thing in vars(importlib.import_module(module)).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module and not thing.__doc__
    ]
    assert not silent
