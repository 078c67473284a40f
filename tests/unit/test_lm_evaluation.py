"""Measured accuracy, pass@k, entropy, length and KL, against a model whose every answer is listed."""

import itertools
import json
import math

import pytest
import tiny_lm
import torch

from ostrl import lm
from ostrl.lm.evaluation import evaluate, pass_at_k

PROMPTS = ["one digit:", "digits:"]
TOLERANCE = 4.9  # standard errors: for a normal estimate, the false-alarm rate is 1e-6 a comparison


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    place = tiny_lm.write(tmp_path_factory.mktemp("evaluated"), seed=3, spread=0.2)
    return lm.load(place, max_new_tokens=2, device="cpu")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    place = tiny_lm.write(tmp_path_factory.mktemp("reference"), seed=4, spread=0.2)
    return lm.load(place, max_new_tokens=2, device="cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def every_answer(vocabulary):
    """All answers of at most two tokens, of which token 0 is the end: tokens and mask, ``[1, G, 2]``."""
    rows = [(0, 0), *itertools.product(range(1, vocabulary), range(vocabulary))]
    actions = torch.tensor([rows])
    mask = torch.ones_like(actions, dtype=torch.bool)
    mask[0, 0, 1] = False
    return actions, mask


def listed(policy, task, prompt, reference=None):
    """The truth for a prompt, by summing over every answer."""
    actions, mask = every_answer(policy.vocab_size)
    with torch.no_grad():
        log_prob = policy.log_prob([prompt], actions, mask).double().sum(-1)[0]
        other = (reference or policy).log_prob([prompt], actions, mask).double().sum(-1)[0]
    prob = log_prob.exp()
    assert prob.sum().item() == pytest.approx(1, abs=1e-5)
    right = (task.reward([prompt], policy.decode(actions, mask))[0] >= 1).double()
    p = (prob * right).sum().item()
    return {
        "accuracy": p,
        "pass@1": p,
        "pass@3": 1 - (1 - p) ** 3,
        "entropy": -(prob * log_prob).sum().item(),
        "length": (prob * mask[0].sum(-1)).sum().item(),
        "kl": (prob * (log_prob - other)).sum().item(),
    }


def values(result):
    return {**vars(result), **{f"pass@{k}": value for k, value in result.pass_at.items()}}


def test_every_measure_is_that_of_the_listed_answers(policy, reference):
    task = tiny_lm.task()
    asked = PROMPTS * 400
    result = evaluate(
        policy, task, prompts=asked, samples=6, k=(3, 1), generator=generator(), reference=reference, kind=str.upper
    )
    truth = {prompt: listed(policy, task, prompt, reference) for prompt in PROMPTS}
    assert list(result.by_kind) == sorted(map(str.upper, PROMPTS))
    for prompt in PROMPTS:
        row = result.by_kind[prompt.upper()]
        assert row.prompts == 400
        for name, expected in truth[prompt].items():
            assert 0 < row.errors[name] < 0.2
            assert abs(values(row)[name] - expected) < TOLERANCE * row.errors[name], name
    for name in truth[PROMPTS[0]]:
        both = [values(row)[name] for row in result.by_kind.values()]
        assert values(result)[name] == pytest.approx(sum(both) / 2)
    assert 0.05 < result.accuracy < 0.95  # a policy that is always right or always wrong would test nothing
    assert result.kl > 0.1


def test_the_temperature_is_the_policys(policy):
    task = tiny_lm.task()
    cold = policy.at(temperature=0.7)
    truth = listed(cold, task, "digits:")
    assert abs(truth["entropy"] - listed(policy, task, "digits:")["entropy"]) > 0.3
    result = evaluate(cold, task, prompts=["digits:"] * 500, generator=generator())
    for name in ("accuracy", "entropy", "length"):
        assert abs(values(result)[name] - truth[name]) < TOLERANCE * result.errors[name]


def test_the_greedy_answer_is_graded_and_nothing_is_left_changed(policy):
    best = {}
    for prompt in PROMPTS:  # token by token: the first by its own probability, then the second given it
        with torch.no_grad():
            tokens = torch.arange(policy.vocab_size)[None, :, None]
            first = (
                policy.log_prob([prompt], tokens, torch.ones_like(tokens, dtype=torch.bool))[0, :, 0].argmax().item()
            )
            pairs = torch.tensor([[[first, token] for token in range(policy.vocab_size)]])
            second = policy.log_prob([prompt], pairs, torch.ones_like(pairs, dtype=torch.bool))[0, :, 1].argmax().item()
        best[prompt] = policy.decode(torch.tensor([[[first, second]]]), torch.tensor([[[True, first != 0]]]))[0][0]
    task = lm.TextTask(PROMPTS, lambda prompt, answer: float(answer == best[prompt]))
    result = evaluate(policy, task, prompts=PROMPTS, generator=generator())
    assert result.greedy == 1 and result.accuracy < 1
    assert policy.temperature == 1
    wrong = lm.TextTask(PROMPTS, lambda prompt, answer: float(answer != best[prompt]))
    assert evaluate(policy, wrong, prompts=PROMPTS, generator=generator()).greedy == 0


def test_what_a_truncated_sampler_does_is_measured_as_it_does_it(policy):
    cut = policy.at(top_k=1)
    result = evaluate(cut, tiny_lm.task(), prompts=PROMPTS, generator=generator())
    assert result.entropy == pytest.approx(0, abs=1e-6)
    assert result.accuracy == result.greedy


def test_standard_errors_are_over_prompts(policy):
    easy = lm.TextTask(PROMPTS, lambda prompt, answer: float(prompt == PROMPTS[0]))
    result = evaluate(policy, easy, prompts=400, samples=50, k=[1], generator=generator())
    share = result.accuracy
    assert 0.4 < share < 0.6
    # All 50 answers to a prompt are right, or none is: there are 400 independent numbers, not 20,000.
    assert result.errors["accuracy"] == pytest.approx(math.sqrt(share * (1 - share) / 399))
    assert math.isnan(evaluate(policy, easy, prompts=PROMPTS[:1], generator=generator()).errors["accuracy"])


def test_full_marks_are_asked_for(policy):
    half = lm.TextTask(PROMPTS, lambda prompt, answer: 0.5)
    assert evaluate(policy, half, generator=generator()).accuracy == 0
    assert evaluate(policy, half, generator=generator(), full_marks=0.5).accuracy == 1


def test_a_truncated_policy_does_not_diverge_from_itself(policy):
    cut = policy.at(top_k=2)
    measured = evaluate(cut, tiny_lm.task(), prompts=8, samples=4, generator=generator(), reference=cut)
    assert measured.kl == 0


def test_the_same_generator_gives_the_same_numbers(policy, reference):
    first, again, other = (
        evaluate(policy, tiny_lm.task(), generator=generator(seed), reference=reference) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert list(first.pass_at) == [1, 2, 4]
    assert first.pass_at[1] == pytest.approx(first.accuracy)


def test_it_prints_as_a_table_and_keeps_as_json(policy):
    result = evaluate(policy, tiny_lm.task(), prompts=["digits:"], generator=generator(), kind=str.upper)
    lines = repr(result).splitlines()
    assert lines[0].split() == ["prompts", "number", "accuracy", "greedy", "pass@2", "pass@4", "entropy", "length"]
    assert [line.split()[0] for line in lines[2:4]] == ["all", "DIGITS:"]
    assert "nan" not in repr(result) and "±" not in lines[2]
    assert "<table" in result._repr_html_()
    kept = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert kept["accuracy"] == result.accuracy and kept["errors"]["accuracy"] is None and kept["kl"] is None
    assert kept["by_kind"]["DIGITS:"]["pass_at"]["4"] == result.pass_at[4]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_mean_over_every_choice_of_k_answers(n):
    counts = torch.arange(n + 1).reshape(-1, 1)
    for k in range(1, n + 1):
        for c, estimate in enumerate(pass_at_k(counts, n, k)[:, 0].tolist()):
            answers = [True] * c + [False] * (n - c)
            chosen = [any(choice) for choice in itertools.combinations(answers, k)]
            assert estimate == pytest.approx(sum(chosen) / len(chosen), abs=1e-15)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n, k", [(4, 2), (6, 6), (9, 4)])
def test_pass_at_k_is_unbiased_and_the_plug_in_estimate_is_not(p, n, k):
    chances = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    expected = sum(w * e for w, e in zip(chances, pass_at_k(torch.arange(n + 1), n, k).tolist(), strict=True))
    assert expected == pytest.approx(1 - (1 - p) ** k, abs=1e-12)
    plug_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chances))
    assert plug_in < expected - 1e-6


def test_pass_at_k_holds_for_large_numbers():
    # For k = 1 it is c / n, whatever n; and with c = n - k + 1 no choice of k is all wrong.
    assert pass_at_k(torch.tensor([1, 9_999, 10_000]), 10_000, 1).tolist() == [1 / 10_000, 9_999 / 10_000, 1]
    assert pass_at_k(torch.tensor([5_001]), 10_000, 5_000).item() == 1
    assert pass_at_k(torch.tensor([1]), 10_000, 5_000).item() == 0.5


@pytest.mark.parametrize(
    "arguments, error, said",
    [
        ((torch.tensor([1]), 2, 3), ValueError, "k must be at most n, got k = 3 and n = 2"),
        ((torch.tensor([3]), 2, 1), ValueError, "correct must be counts in 0 … n = 2, got 3 to 3"),
        ((torch.tensor([-1]), 2, 1), ValueError, "got -1 to -1"),
        ((torch.tensor([1.0]), 2, 1), TypeError, "correct must be an integer tensor"),
        ((torch.tensor([1]), 2, 0), ValueError, "k must be at least 1"),
    ],
)
def test_wrong_counts(arguments, error, said):
    with pytest.raises(error, match=said):
        pass_at_k(*arguments)


@pytest.mark.parametrize(
    "changes, error, said",
    [
        ({"k": (1, 8)}, ValueError, "k must be at most samples = 4, got 8"),
        ({"samples": 0}, ValueError, "samples must be at least 1"),
        ({"prompts": 0}, ValueError, "prompts must be at least 1"),
        ({"prompts": []}, ValueError, "prompts must not be empty"),
        ({"prompts": "digits:"}, TypeError, "got a single string"),
        ({"generator": None}, TypeError, "generator must be a torch.Generator"),
    ],
)
def test_wrong_arguments(policy, changes, error, said):
    with pytest.raises(error, match=said):
        evaluate(policy, tiny_lm.task(), **{"generator": generator(), **changes})
