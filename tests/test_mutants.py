"""The mutation run tests the changed copy, not the package that lies beside it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import mutants  # noqa: E402

NAME, TESTS = "ostrl/weighting.py", ["tests/unit/test_weighting.py"]


def test_an_unchanged_copy_survives():
    assert mutants.survives(NAME, (ROOT / NAME).read_text(), TESTS)


def test_the_own_sample_left_in_the_baseline_is_noticed():
    wrong = (
        (ROOT / NAME)
        .read_text()
        .replace("return _centered(rewards) * (size / (size - 1))", "return _centered(rewards)")
    )
    assert wrong != (ROOT / NAME).read_text()
    assert not mutants.survives(NAME, wrong, TESTS)


def test_mutants_are_found_and_differ_from_the_source():
    source = (ROOT / NAME).read_text()
    found = dict(mutants.mutants(ROOT / NAME))
    assert any("drop detach" in what for what in found)
    assert all(mutant != source for mutant in found.values())
