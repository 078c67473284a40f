"""What holds for every live figure, and needs no browser: its module, its output, its checks."""

import json
import re
import subprocess
import sys

import pytest

from ostrl import METHODS, live
from ostrl.live.figure import bundle
from ostrl.live.three_answers import ROWS

FIGURES = [getattr(live, name) for name in live.__all__ if name != "LiveFigure"]


def test_importing_the_package_does_not_import_the_figures():
    code = "import sys, ostrl; sys.exit('anywidget' in sys.modules or 'ostrl.live' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_anywidget_the_error_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None\nfrom ostrl import live"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert 'ImportError: live figures need anywidget; install it with pip install "ostrl[notebooks]"' in run.stderr


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_the_module_is_one_piece_and_small(figure):
    module = str(figure._esm)
    assert len(module.encode()) < 40_000
    assert not re.search(r"^\s*import\b", module, re.MULTILINE)
    assert re.findall(r"^export .*", module, re.MULTILINE) == ["export default { render };"]


def test_a_bundle_holds_each_module_once_and_in_order():
    module = bundle("three_answers.mjs")
    assert module.count("function softmax(") == module.count("function simplex(") == 1
    assert module.index("function softmax(") < module.index("function render(")


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_stored_outputs_are_the_same_from_run_to_run_and_hold_the_state(figure, monkeypatch):
    assert "application/vnd.jupyter.widget-view+json" in figure()._repr_mimebundle_()[0]
    monkeypatch.setenv("BOOK_BUILD", "1")
    data, metadata = figure()._repr_mimebundle_()
    assert (data, metadata) == figure()._repr_mimebundle_()
    assert set(data) == {"text/html", "text/markdown", "text/plain"}
    payload = json.loads(re.search(r'<script type="application/json">(.*?)</script>', data["text/html"])[1])
    assert payload == {"esm": str(figure._esm), "state": figure().values}
    assert eval(data["text/plain"], vars(live)).values == figure().values


WRONG = [
    ({"probs": [1.0, 0.0, 0.0]}, ValueError, "probs must each be greater than 0"),
    ({"probs": [0.5, 0.6, 0.1]}, ValueError, r"probs must sum to 1, got \[0.5, 0.6, 0.1\] with sum 1.2"),
    ({"probs": [0.5, 0.5]}, ValueError, "probs must be a list of 3 numbers"),
    ({"probs": "abc"}, ValueError, "probs must be a list of 3 numbers"),
    ({"rewards": [0, float("nan"), 1]}, ValueError, "rewards must be finite"),
    ({"rewards": [0, "1", 1]}, TypeError, "rewards must be numbers"),
    ({"demonstrators": [-0.1, 1.0, 0.1]}, ValueError, "demonstrators must each be at least 0"),
    ({"group_size": 9}, ValueError, "group_size must be finite and from 2 to 8, got 9"),
    ({"group_size": 2.5}, ValueError, "group_size must be a whole number"),
    ({"group_size": True}, TypeError, "group_size must be a number"),
    ({"beta": 0.0}, ValueError, "beta must be finite and greater than 0"),
    ({"labels": "nobody"}, ValueError, "labels must be one of on_policy, demonstrations, mixture, frozen"),
    ({"answers": ["a", "b"]}, ValueError, "answers must be 3 names"),
    ({"temperature": 1.0}, TypeError, "ThreeAnswers has no 'temperature'; it has answers, baseline"),
    ({"method": "ppo"}, ValueError, "method must be one of reinforce, rloo"),
    ({"method": "rloo", "labels": "mixture"}, TypeError, "method='rloo' already says labels"),
]


@pytest.mark.parametrize("values, error, message", WRONG, ids=[str(values) for values, *_ in WRONG])
def test_wrong_values_are_named(values, error, message):
    with pytest.raises(error, match=message):
        live.ThreeAnswers(**values)


def test_tensors_are_taken_and_the_model_is_frozen_where_it_starts():
    torch = pytest.importorskip("torch")
    figure = live.ThreeAnswers(probs=torch.tensor([0.25, 0.25, 0.5]))
    assert figure.probs == figure.start == [0.25, 0.25, 0.5]
    assert live.ThreeAnswers(probs=[0.2, 0.2, 0.6], start=[0.3, 0.3, 0.4]).start == [0.3, 0.3, 0.4]
    assert figure.policy.probs().tolist() == [pytest.approx(figure.probs)]
    assert figure.task.demonstrations.tolist() == [figure.demonstrators]


def test_every_method_of_the_table_can_be_chosen():
    assert set(METHODS) - set(ROWS) <= {"dapo"}  # with one token an answer, it is grpo
    assert set(ROWS) <= set(METHODS)
    for name, answers in ROWS.items():
        figure = live.ThreeAnswers(method=name)
        assert (figure.labels, figure.weight, figure.normalizer) == answers
