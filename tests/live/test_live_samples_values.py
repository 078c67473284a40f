"""What the figure of answers along training takes, keeps and stores; no browser needed."""

import copy
import json
import math
import re

import pytest
from recordings import recording

from ostrl import live

GONE = object()
ANSWER = ("prompts", 1, "samples", 2, 0)
WRONG = [
    (("steps",), GONE, ValueError, "data must have steps, accuracy, prompts; it lacks steps"),
    (("extra",), 1, ValueError, "data must have steps, accuracy, prompts; it has extra besides"),
    (("steps",), 5, TypeError, "data['steps'] must be a list, got 5"),
    (("steps", 1), 2.5, ValueError, "data['steps'][1] must be a whole number of at least 0, got 2.5"),
    (("steps", 0), -1, ValueError, "data['steps'][0] must be a whole number of at least 0, got -1"),
    (("steps", 1), "2", TypeError, "data['steps'][1] must be a number, got '2'"),
    (("steps", 1), 0, ValueError, "data['steps'] must grow from entry to entry, got [0, 0, 5, 10]"),
    (("accuracy", 0), GONE, ValueError, "data['accuracy'] must have 4 entries, got 3"),
    (("accuracy", 0), 71, ValueError, "data['accuracy'][0] must be a finite number from 0 to 1, got 71"),
    (("method",), None, TypeError, "data['method'] must be a string, got None"),
    (("prompts",), [], ValueError, "data['prompts'] must hold at least one prompt"),
    (("prompts", 0), "add", TypeError, "data['prompts'][0] must be a dictionary with prompt, kind, key, samples"),
    (("prompts", 0, "kind"), "all", ValueError, "data['prompts'][0]['kind'] must not be 'all'"),
    (("prompts", 1, "key"), 85, TypeError, "data['prompts'][1]['key'] must be a string, got 85"),
    (("prompts", 1, "samples", 3), GONE, ValueError, "data['prompts'][1]['samples'] must have 4 lists, one a step"),
    (("prompts", 1, "samples", 2), [], ValueError, "data['prompts'][1]['samples'][2] must hold at least one answer"),
    ((*ANSWER, "reward"), GONE, ValueError, "[2][0] must have tokens, probs, reward; it lacks reward"),
    ((*ANSWER, "reward"), math.nan, ValueError, "[2][0]['reward'] must be a finite number, got nan"),
    ((*ANSWER, "reward"), True, TypeError, "[2][0]['reward'] must be a number, got True"),
    ((*ANSWER, "tokens"), [], ValueError, "[2][0]['tokens'] must hold at least one token"),
    ((*ANSWER, "tokens", 0), 8, TypeError, "[2][0]['tokens'][0] must be a string, got 8"),
    ((*ANSWER, "probs", 0), GONE, ValueError, "[2][0]['probs'] must have one entry a token,"),
    ((*ANSWER, "probs", 0), 1.5, ValueError, "[2][0]['probs'][0] must be a finite number from 0 to 1, got 1.5"),
    ((*ANSWER, "note"), 3, TypeError, "[2][0]['note'] must be a string, got 3"),
]


@pytest.mark.parametrize("path, value, error, message", WRONG, ids=[message for *_, message in WRONG])
def test_a_wrong_recording_is_refused_by_the_name_of_the_field(path, value, error, message):
    data = place = recording()
    for name in path[:-1]:
        place = place[name]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(error, match=re.escape(message)):
        live.Samples(data)


def test_other_wrong_values_are_named():
    for values, error, message in [
        ({"data": [1]}, TypeError, r"data must be a dictionary with steps, accuracy, prompts, got \[1\]"),
        ({"step": 3}, ValueError, "step must be one of those recorded, 0, 2, 5, 10; got 3"),
        ({"step": -1}, ValueError, "step must be finite and at least 0, got -1"),
        ({"kind": "reverse"}, ValueError, "kind must be all or one of add, sort; got 'reverse'"),
        ({"prompt": 1}, TypeError, "Samples has no 'prompt'; it has data, kind, step"),
    ]:
        with pytest.raises(error, match=message):
            live.Samples(**{"data": recording()} | values)


def test_the_figure_keeps_a_recording_of_its_own_and_follows_a_new_one():
    data = recording()
    figure = live.Samples(data, step=5, kind="sort")
    before = copy.deepcopy(data)
    data["prompts"][0]["samples"][0][0]["probs"][0] = 2
    data["steps"].append(9)
    assert figure.data == before
    figure.set_state({"step": 10})  # as the page would
    assert figure.step == 10
    figure.data = recording(steps=(1, 8, 12), prompts=1)
    assert (figure.step, figure.kind) == (8, "all")
    assert live.Samples(recording(steps=(4, 6))).step == 4
    assert live.Samples(recording()).kinds == ["add", "sort"]
    note = {"note": ""}  # is none
    one = {"tokens": ["8", "⏎"], "probs": [1, 1.0], "reward": 1.0}
    prompt = {"prompt": "p", "kind": "", "key": "", "samples": [[one | note]]}
    kept = live.Samples({"steps": [0], "accuracy": [1.0], "prompts": [prompt]}).data
    assert json.dumps(kept["prompts"][0]["samples"]) == '[[{"tokens": ["8", "\\u23ce"], "probs": [1, 1], "reward": 1}]]'


def test_its_stored_output_is_small():
    """Twelve prompts, four answers each, eight steps: beside the module less than 60 kB, as a notebook stores them."""
    data = recording(prompts=12, samples=4, steps=range(0, 80, 10))
    outputs, _ = live.Samples(data)._repr_mimebundle_()
    page, module = json.dumps(outputs["text/html"]), json.dumps(live.Samples._esm)
    assert len(page) - len(module) < 60_000
    assert outputs["text/plain"] == "Samples(<12 prompts at steps 0, 10, 20, 30, 40, 50, 60, 70>, kind='all', step=0)"
