"""The three answers: what the figure says of each of its combinations, against exact enumeration by ostrl."""

import itertools
import re

import pytest
import torch

from ostrl import METHODS, Method, exact, labeling, live, surrogate, weighting
from ostrl.live.three_answers import LABELS, NORMALIZERS, ROWS, WEIGHTS

LABELERS = {
    "on_policy": labeling.on_policy,
    "demonstrations": labeling.demonstrations,
    "mixture": labeling.mixture,
    "frozen": labeling.demonstrations,  # by the starting model
}
WEIGH = {
    "one": lambda rewards, values: torch.ones_like(rewards),
    "reward": lambda rewards, values: weighting.reward(rewards),
    "constant_baseline": lambda rewards, values: weighting.constant_baseline(rewards, values["baseline"]),
    "mean_baseline": lambda rewards, values: weighting.mean_baseline(rewards),
    "leave_one_out": lambda rewards, values: weighting.leave_one_out(rewards),
    "group_normalized": lambda rewards, values: weighting.group_normalized(rewards),
    "threshold": lambda rewards, values: weighting.threshold(rewards, values["tau"]),
    "top_k": lambda rewards, values: weighting.top_k(rewards, 1),
    "exponential": lambda rewards, values: weighting.exponential(rewards, values["beta"]),
}
STATE = {
    "probs": [0.5, 0.2, 0.3],
    "start": [0.15, 0.25, 0.6],
    "demonstrators": [0.1, 0.65, 0.25],
    "baseline": 0.35,
    "tau": 0.4,
    "beta": 0.45,
}


def enumerated(figure):
    """The mean estimate at a figure's state, by ``exact.moments``."""
    values = figure.values
    method = Method(
        "chosen",
        LABELERS[figure.labels],
        lambda batch: WEIGH[figure.weight](batch.rewards, values),
        getattr(surrogate, figure.normalizer),
    )
    writer = live.ThreeAnswers(**values | {"demonstrators": figure.start}) if figure.labels == "frozen" else figure
    return exact.moments(method, figure.policy, writer.task, figure.group_size, covariance=False).mean


def agrees(shown, figure):
    """Every number on show is what ostrl says of the figure's state."""
    mean, gradient = enumerated(figure), exact.gradient(figure.policy, figure.task)
    assert shown.number("mean_gradient") == pytest.approx(mean.tolist(), abs=1e-9)
    assert shown.number("gradient") == pytest.approx(gradient.tolist(), abs=1e-12)
    assert shown.number("value") == pytest.approx(exact.value(figure.policy, figure.task).item(), abs=1e-12)
    ratio = (mean.norm() / gradient.norm()).item()
    assert shown.number("norm_ratio") == pytest.approx(ratio, abs=1e-9)
    if ratio > 1e-9:
        cosine = (mean @ gradient / mean.norm() / gradient.norm()).item()
        assert shown.number("cosine") == pytest.approx(cosine, abs=1e-9)
    else:
        assert shown.number("cosine") is None


EVERY = """([weights, normalizers]) => {
    const root = document.querySelector('.ostrl-live'), seen = [];
    const choose = (name, value) => {
        const select = root.querySelector(`select[data-name=${name}]`);
        select.value = value;
        select.dispatchEvent(new Event('change', { bubbles: true }));
    };
    for (const weight of weights) for (const normalizer of normalizers) {
        choose('weight', weight);
        choose('normalizer', normalizer);
        const shown = [...root.querySelectorAll('[data-value]')];
        const numbers = shown.map(node => [node.dataset.name, JSON.parse(node.dataset.value)]);
        seen.push({ ...Object.fromEntries(numbers), title: root.querySelector('[data-name=method]').textContent });
    }
    return seen;
}"""


class Seen(dict):
    """Numbers that were read off a figure, all at once."""

    number = dict.__getitem__


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("group_size, rewards", [(3, [0.0, 0.37, 1.0]), (5, [0.3, 1.0, 1.0])])
def test_every_combination_of_answers_is_exact(show, labels, group_size, rewards):
    figure = live.ThreeAnswers(**STATE, labels=labels, group_size=group_size, rewards=rewards)
    combinations = itertools.product(WEIGHTS, NORMALIZERS)
    for (weight, normalizer), seen in zip(
        combinations, show(figure).page.evaluate(EVERY, [WEIGHTS, NORMALIZERS]), strict=True
    ):
        assert (seen["labels"], seen["weight"], seen["normalizer"]) == (labels, weight, normalizer)
        agrees(Seen(seen), live.ThreeAnswers(**figure.values | {"weight": weight, "normalizer": normalizer}))
        row = next((name for name, answers in ROWS.items() if answers == (labels, weight, normalizer)), None)
        if (labels, weight, normalizer) == ("on_policy", "constant_baseline", "samples"):
            row = "reinforce"  # with a baseline
        assert seen["method"] == row
        assert (seen["title"] == "A method without a name") == (row is None)


def test_a_row_of_the_table_is_that_method(show):
    state = STATE | {"tau": 1.0, "beta": 1.0, "rewards": [0.0, 1.0, 0.4], "group_size": 4}
    figures = [live.ThreeAnswers(name, **state) for name in ROWS]
    for name, figure, shown in zip(ROWS, figures, show(*figures), strict=True):
        assert shown.number("method") == name
        mean = exact.moments(METHODS[name], figure.policy, figure.task, 4, covariance=False).mean
        assert shown.number("mean_gradient") == pytest.approx(mean.tolist(), abs=1e-12)
        agrees(shown, figure)


@pytest.mark.parametrize("size", [2, 7, 8])
def test_groups_of_other_sizes(show, size):
    figure = live.ThreeAnswers("grpo", **STATE, rewards=[0.0, 0.37, 1.0])
    shown = show(figure)
    slider = shown.root.locator("input[type=range]").first
    slider.focus()
    for _ in range(abs(size - 4)):
        slider.press("ArrowRight" if size > 4 else "ArrowLeft")
    assert shown.number("group_size") == size
    shown.choose("labels", "mixture")
    agrees(shown, live.ThreeAnswers(**figure.values | {"group_size": size, "labels": "mixture"}))


def test_presets_and_parameters(show):
    figure = live.ThreeAnswers(**STATE, rewards=[0.0, 0.37, 1.0])
    shown = show(figure)
    presets = {"RL": "reinforce", "SFT": "sft", "Self-training": "self_training", "ReST": "rest", "GRPO": "grpo"}
    for words, name in (presets | {"RLOO": "rloo"}).items():
        button = shown.root.get_by_role("button", name=words, exact=True)
        button.click()
        assert shown.number("method") == name
        assert button.get_attribute("aria-pressed") == "true"
        assert shown.root.locator("[aria-pressed=true]").count() == 1
    for weight, parameter, words in [
        ("constant_baseline", "baseline", "Baseline, b"),
        ("threshold", "tau", "Threshold, τ"),
        ("exponential", "beta", "Temperature, β"),
    ]:
        shown.choose("weight", weight)
        slider = shown.root.get_by_label(words)
        slider.press("ArrowLeft")
        value = shown.number(parameter)
        assert value == pytest.approx(STATE[parameter] - 0.05)
        agrees(shown, live.ThreeAnswers(**figure.values | {"weight": weight, parameter: value}))
    assert shown.root.locator("input[type=range]:visible").count() == 2


def test_policy_and_demonstrators_can_be_dragged_typed_and_moved_by_keys(show):
    figure = live.ThreeAnswers("self_training", rewards=[0.0, 1.0, 0.5])
    shown = show(figure)

    def now(**changes):
        state = {name: shown.number(name) for name in ("probs", "rewards", "demonstrators")}
        agrees(shown, live.ThreeAnswers(**figure.values | state | changes))
        return state

    shown.drag("Policy", 30, -60)
    assert now()["probs"] != figure.probs
    shown.drag("Demonstrators", -40, -90)
    assert now()["demonstrators"] != figure.demonstrators
    shown.handle("Demonstrators").press("Home")
    assert now()["demonstrators"] == figure.demonstrators
    shown.handle("Policy").press("Shift+ArrowUp")
    shown.type("demonstrators.0", "0.4")
    assert now()["demonstrators"] == pytest.approx([0.4, 0.6 * 7 / 9, 0.6 * 2 / 9], abs=1e-6)
    shown.type("demonstrators.1", "1")  # they may write one answer only
    assert now()["demonstrators"] == [0, 1, 0]
    shown.type("rewards.2", "-1.75")
    assert now()["rewards"] == [0.0, 1.0, -1.75]
    shown.type("probs.1", "0.5")
    assert now()["probs"][1] == 0.5


def test_the_starting_model_is_frozen_until_the_reader_says_otherwise(show):
    figure = live.ThreeAnswers(labels="frozen", weight="threshold", normalizer="kept", rewards=[0.0, 1.0, 1.0])
    shown = show(figure)
    shown.drag("Policy", 50, -80)
    probs = shown.number("probs")
    agrees(shown, live.ThreeAnswers(**figure.values | {"probs": probs}))
    shown.root.get_by_role("button", name="Freeze the model here").click()
    agrees(shown, live.ThreeAnswers(**figure.values | {"probs": probs, "start": probs}))


def test_the_arrows_show_how_the_probabilities_move(show):
    figures = [live.ThreeAnswers(**STATE, rewards=[0.0, 0.37, 1.0]), live.ThreeAnswers("sft", **STATE)]
    for figure, shown in zip(figures, show(*figures), strict=True):
        corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]], dtype=torch.float64)
        p = torch.tensor(figure.probs, dtype=torch.float64)
        lengths = []
        for arrow, number in {"gradient_arrow": "gradient", "mean_arrow": "mean_gradient"}.items():
            path = shown.root.locator(f"[data-name={arrow}] path").nth(1).get_attribute("d")
            x, y, to_x, to_y = map(float, re.fullmatch(r"M(\S+) (\S+)L(\S+) (\S+)", path).groups())
            drawn = torch.tensor([to_x - x, y - to_y], dtype=torch.float64)
            softmax = torch.diag(p) - torch.outer(p, p)  # dπ = (diag π - π πᵀ) dz
            moves = corners.T @ softmax @ torch.tensor(shown.number(number), dtype=torch.float64)
            assert torch.nn.functional.cosine_similarity(drawn, moves, 0) > 0.999
            lengths.append((moves.norm().item(), drawn.norm().item()))
        assert sorted(lengths) == sorted(lengths, key=lambda pair: pair[1])  # one scale: the longer is longer


LEADS = [  # where the flow ends, by a calculation on paper
    ({"method": "sft"}, [0.1, 0.7, 0.2], "what the demonstrators write"),
    ({"method": "self_training"}, [0.1, 0.7, 0.2], "what the demonstrators write"),
    ({"method": "rloo"}, [0, 1, 0], "Canberra"),
    ({"method": "rest", "rewards": [1.0, 0.0, 0.0]}, [1, 0, 0], "Sydney"),
    ({"labels": "demonstrations", "weight": "reward", "rewards": [1.0, 1.0, 0.0]}, [1 / 8, 7 / 8, 0], "Sydney 13 %"),
    (  # of a group of two, the best: Canberra unless both are not
        {"labels": "frozen", "weight": "top_k", "normalizer": "prompts", "group_size": 2, "rewards": [0.0, 1.0, 0.5]},
        [0.36, 1 - 0.49, 0.49 - 0.36],
        "Sydney 36 %, Canberra 51 %, Melbourne 13 %",
    ),
]


def test_where_it_leads(show):
    figures = show(*[live.ThreeAnswers(**values) for values, *_ in LEADS])
    for (values, goal, words), shown in zip(LEADS, figures, strict=True):
        assert shown.number("finding") == pytest.approx(goal, abs=1e-3), values
        assert words in shown.text("finding").replace("\xa0", " ")
        shown.handle("Policy").press("End")
        assert shown.number("probs") == pytest.approx([min(max(x, 0.002), 0.996) for x in goal], abs=2e-3)


def test_following_the_flow_ends_where_the_line_ends(show):
    shown = show(live.ThreeAnswers("sft"))
    shown.root.get_by_role("button", name="Follow the flow").click()
    shown.root.get_by_role("button", name="Stop").wait_for()
    shown.root.get_by_role("button", name="Follow the flow").wait_for()
    assert shown.number("probs") == pytest.approx([0.1, 0.7, 0.2], abs=1e-3)
    shown.type("rewards.0", "3")
    shown.root.get_by_role("button", name="Start again").click()
    assert shown.number("probs") == [0.6, 0.3, 0.1]
    assert shown.number("rewards") == [0, 1, 0]


def test_what_it_says_in_words(show):
    shown = show(live.ThreeAnswers("rloo"))
    assert shown.text("finding").startswith("Exactly ∇J. ")
    assert (shown.text("cosine"), shown.text("norm_ratio")) == ("1.000", "1.00")
    shown.choose("weight", "mean_baseline")
    assert shown.text("finding").startswith("The direction of ∇J, 0.75 times as long.")  # 1 - 1/G
    shown.choose("weight", "one")
    assert shown.text("finding") == "The mean estimate is zero: on average, nothing is learned."
    assert (shown.text("cosine"), shown.number("cosine")) == ("–", None)
    shown.choose("labels", "demonstrations")
    shown.type("demonstrators.0", "1")
    assert shown.text("finding").startswith("Downhill: against ∇J.")
    assert "Sydney" in shown.text("finding")


def test_the_enumeration_it_is_compared_with_tells_answers_apart():
    """A check of this file: no two weights have the same mean here, so a mix-up would be seen."""
    figure = live.ThreeAnswers(**STATE, group_size=3, rewards=[0.0, 0.37, 1.0], labels="mixture")
    means = [enumerated(live.ThreeAnswers(**figure.values | {"weight": weight})) for weight in WEIGHTS]
    assert all((a - b).norm() > 1e-3 for a, b in itertools.combinations(means, 2))
