"""Tasks in words: prompts, a teacher who grades strings, demonstrators who write them."""

import collections
import math

import pytest
import tiny_models as tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import generator

import ostrl
from ostrl.lm import TextTask

PROMPTS = ["2+2=", "3+3=", "1+1="]


def right(prompt, answer):
    return float(answer == str(sum(map(int, prompt[:-1].split("+")))))


def shown(prompt):
    return {"4": 0.7, "5": 0.2, "": 0.1}


def test_prompts_are_drawn_uniformly_with_replacement():
    """The seed's chi-squared statistic on 2 degrees of freedom; such a one is above 18.4 once in 10,000 seeds."""
    task = TextTask(PROMPTS, right)
    drawn = task.sample_prompts(3000, generator(3))
    counts = collections.Counter(drawn)
    assert set(counts) == set(PROMPTS) == set(task.prompts)
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 18.4
    assert drawn == task.sample_prompts(3000, generator(3))
    assert drawn != task.sample_prompts(3000, generator(4))


def test_demonstrators_write_with_their_probabilities():
    """As above, for each of two prompts."""
    task = TextTask(PROMPTS, right, shown)
    for group in task.demonstrate(PROMPTS[:2], 3000, generator(5)):
        counts = collections.Counter(group)
        assert set(counts) == set(shown(""))
        assert sum((counts[answer] - 3000 * p) ** 2 / (3000 * p) for answer, p in shown("").items()) < 18.4


def test_demonstrators_answer_the_prompt():
    task = TextTask(PROMPTS, right, lambda prompt: {prompt[0]: 1.0})
    assert task.demonstrate(["3+3=", "2+2=", "3+3="], 2, generator()) == [["3"] * 2, ["2"] * 2, ["3"] * 2]
    assert task.demonstrations("2+2=") == {"2": 1.0}


@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=4))
def test_every_answer_is_graded_with_its_prompt(answers):
    prompts = [PROMPTS[i % 3] for i in range(len(answers))]
    got = TextTask(PROMPTS, right).reward(prompts, [[str(answer) for answer in group] for group in answers])
    assert got.dtype == torch.float32 and got.device.type == "cpu"
    sums = {"2+2=": 4, "3+3=": 6, "1+1=": 2}
    assert got.tolist() == [[float(a == sums[p]) for a in group] for p, group in zip(prompts, answers, strict=True)]


def test_grades_of_every_size():
    task = TextTask(PROMPTS, lambda prompt, answer: len(answer) - 0.5)
    assert task.reward(["2+2="], [["", "abc"]]).tolist() == [[-0.5, 2.5]]


def test_nobody_knows_how_likely_a_person_was_to_write_that():
    log_prob = TextTask(PROMPTS, right, shown).demonstration_log_prob(PROMPTS, torch.zeros(3, 2, 4, dtype=torch.long))
    assert log_prob.shape == (3, 2, 4) and log_prob.isnan().all()


def test_prompts_are_a_list_of_its_own():
    prompts = list(PROMPTS)
    task = TextTask(prompts, right)
    prompts.clear()
    assert task.prompts == PROMPTS
    assert TextTask(tuple(PROMPTS), right).prompts == PROMPTS


def graded(result):
    return TextTask(PROMPTS, lambda prompt, answer: result).reward(["2+2="], [["4"]])


def written(result):
    return TextTask(PROMPTS, right, lambda prompt: result).demonstrate(["2+2="], 1, generator())


TASK = TextTask(PROMPTS, right, shown)
TABLE = ostrl.CategoricalPolicy(torch.zeros(2, 3))
ERRORS = {
    "prompt alone": (lambda: TextTask("2+2=", right), TypeError, "prompts must be a list of strings, got '2"),
    "prompts of numbers": (
        lambda: TextTask([1, 2], right),
        TypeError,
        r"prompts must be a list of strings, got \[1, 2\]",
    ),
    "prompts number": (lambda: TextTask(5, right), TypeError, "prompts must be a list of strings, got 5"),
    "no prompts": (lambda: TextTask([], right), ValueError, "prompts must hold at least one prompt, got none"),
    "grade": (lambda: TextTask(PROMPTS, 1.0), TypeError, "grade must be a function, got float"),
    "grade none": (lambda: TextTask(PROMPTS, None), TypeError, "grade must be a function, got NoneType"),
    "demonstrations": (
        lambda: TextTask(PROMPTS, right, {"4": 1}),
        TypeError,
        "demonstrations must be a function, got dict",
    ),
    "grade word": (lambda: graded("good"), TypeError, "what grade returns must be a number, got str 'good'"),
    "grade nothing": (lambda: graded(None), TypeError, "what grade returns must be a number, got NoneType"),
    "grade NaN": (lambda: graded(math.nan), ValueError, "what grade returns must be finite, got nan"),
    "grade inf": (lambda: graded(math.inf), ValueError, "what grade returns must be finite, got inf"),
    "answers missing": (
        lambda: TASK.reward(PROMPTS, [["4"]]),
        ValueError,
        r"one group of G to each of 3 prompts, got groups of \[1\]",
    ),
    "ragged": (lambda: TASK.reward(PROMPTS[:2], [["4"], ["4", "5"]]), ValueError, r"one group of G .*\[1, 2\]"),
    "nobody": (
        lambda: TextTask(PROMPTS, right).demonstrate(PROMPTS, 1, generator()),
        ValueError,
        "no demonstrators: pass demonstrations=",
    ),
    "probabilities": (
        lambda: written({"4": 0.5}),
        ValueError,
        r"demonstrations\('2\+2='\) must map .* sum to 1, got {'4': 0.5}",
    ),
    "negative": (lambda: written({"4": 1.5, "5": -0.5}), ValueError, "probabilities that sum to 1"),
    "NaN": (lambda: written({"4": math.nan}), ValueError, r"a probability of demonstrations\('2\+2='\) must be finite"),
    "words": (lambda: written({"4": "often"}), TypeError, "a probability of .* must be a number, got str 'often'"),
    "nothing written": (lambda: written({}), ValueError, "probabilities that sum to 1, got {}"),
    "no mapping": (lambda: written(["4"]), TypeError, r"must map strings to probabilities, got \['4'\]"),
    "numbers written": (lambda: written({4: 1.0}), TypeError, "must map strings to probabilities, got {4: 1.0}"),
    "group": (lambda: TASK.demonstrate(PROMPTS, 0, generator()), ValueError, "group_size must be at least 1, got 0"),
    "generator": (
        lambda: TASK.demonstrate(PROMPTS, 1, 0),
        TypeError,
        "generator must be of class Generator, got int 0",
    ),
    "prompts drawn": (lambda: TASK.sample_prompts(0, generator()), ValueError, "batch_size must be at least 1, got 0"),
    "no generator": (
        lambda: TASK.sample_prompts(1, None),
        TypeError,
        "generator must be of class Generator, got NoneType",
    ),
    "a table": (lambda: TASK.check_policy(TABLE), TypeError, "policy must write text, .*got CategoricalPolicy"),
    "trained table": (
        lambda: ostrl.train_steps(
            ostrl.METHODS["rloo"],
            TABLE,
            TASK,
            torch.optim.SGD(TABLE.parameters(), 1.0),
            batch_size=1,
            group_size=2,
            generator=generator(),
        ),
        TypeError,
        "policy must write text",
    ),
    "a table's task": (
        lambda: ostrl.TableTask(torch.zeros(2, 3)).check_policy(tiny.load("llama")),
        (TypeError, ValueError, AttributeError),
        "policy",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_arguments_are_named(case):
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        call()
