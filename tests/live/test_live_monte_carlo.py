"""The Monte Carlo lab on a page: its exact numbers against enumeration, its random numbers against their definition."""

import bisect
import itertools
import math
import os
import statistics

import pytest
import torch

from ostrl import exact, live
from ostrl.live.monte_carlo import BASELINES, Experiment
from ostrl.weighting import leave_one_out, mean_baseline

FROM_GROUP = ("leave_one_out", "group_mean")
GENERAL = {"probs": [0.5, 0.2, 0.3], "rewards": [-0.7, 1.0, 0.25], "constant": 0.4}


def enumerated(figure, size):
    """Exact mean and variances of the estimate, over every group of answers."""
    moments = exact.moments(figure.method, figure.policy, figure.task, size)
    return moments.mean, moments.covariance


def agrees(shown, figure):
    """What is on show is what ostrl computes; ``figure`` has the same values."""
    k, moments, truth = figure.logit, figure.moments, exact.gradient(figure.policy, figure.task)
    deviation = moments.covariance.diagonal().sqrt()
    scale = max(map(abs, figure.rewards)) + 1.0
    assert shown.number("probs") == pytest.approx(figure.probs, abs=1e-12)
    assert shown.number("rewards") == figure.rewards
    assert shown.number("size") == figure.size
    assert shown.number("gradient") == pytest.approx(truth.tolist(), abs=1e-12 * scale)
    assert shown.number("truth") == pytest.approx(truth[k].item(), abs=1e-12 * scale)
    assert shown.number("mean") == pytest.approx(moments.mean[k].item(), abs=1e-12 * scale)
    assert shown.number("sd") == pytest.approx(deviation[k].item(), rel=1e-9, abs=1e-12 * scale)
    snr = moments.mean.square().sum() / moments.covariance.trace()
    assert shown.number("snr") == pytest.approx(snr.item(), rel=1e-9)


# ---------------------------------------------------------------------------------------------- the closed forms


@pytest.mark.parametrize(
    "baseline, size", [(b, n) for b in BASELINES for n in range(1, 7) if n > 1 or b not in FROM_GROUP]
)
def test_the_closed_form_is_the_sum_over_all_groups(baseline, size):
    for values in (GENERAL, {}, {"rewards": [100.0, 101.0, 100.0]}):
        experiment = Experiment(baseline=baseline, size=size, **values)
        mean, covariance = enumerated(experiment, size)
        scale = covariance.abs().max().item() + 1.0
        assert torch.allclose(experiment.moments.mean, mean, rtol=0, atol=1e-12 * scale)
        assert torch.allclose(experiment.moments.covariance, covariance, rtol=0, atol=1e-12 * scale)


def test_a_group_of_one_has_no_baseline_of_its_own():
    for baseline in FROM_GROUP:
        with pytest.raises(ValueError, match=f"size must be at least 2 for baseline '{baseline}', got 1"):
            live.MonteCarlo(size=1, baseline=baseline)
        figure = live.MonteCarlo(baseline=baseline)
        with pytest.raises(ValueError, match="size must be at least 2"):
            figure.size = 1


# ---------------------------------------------------------------------------------------------- on the page


STATES = [
    {},
    *({"baseline": baseline, "size": 5, "logit": k, **GENERAL} for k, baseline in enumerate(BASELINES[:3])),
    *({"baseline": baseline, "size": 4, "logit": k, **GENERAL} for k, baseline in enumerate(BASELINES[3:])),
    {"baseline": "leave_one_out", "size": 2},
    {"baseline": "none", "size": 1, "rewards": [100.0, 101.0, 100.0]},
    {"baseline": "mean", "size": 1000, "rewards": [100.0, 101.0, 100.0]},
    {"baseline": "group_mean", "size": 437, "probs": [0.004, 0.986, 0.01], "logit": 0},
    {"baseline": "leave_one_out", "size": 1000, "replicas": 20_000, **GENERAL},
    {"baseline": "optimal", "size": 64, "replicas": 777, "seed": 2**32 - 1, **GENERAL},
]


def test_exact_numbers_are_those_of_ostrl_in_every_state(show):
    figures = [live.MonteCarlo(**state) for state in STATES]
    for shown, figure in zip(show(*figures), figures, strict=True):
        agrees(shown, figure)
        if 3**figure.size < 1000:
            mean, covariance = enumerated(figure, figure.size)
            k = figure.logit
            assert shown.number("mean") == pytest.approx(mean[k].item(), abs=1e-12)
            assert shown.number("sd") == pytest.approx(covariance[k, k].sqrt().item(), rel=1e-10)


def xoshiro128(seed):
    """Uniform numbers of 53 bits from xoshiro128**, seeded by splitmix32, in Python's own integers."""
    mask, state, counter = 0xFFFFFFFF, [], seed
    for _ in range(4):
        counter = (counter + 0x9E3779B9) & mask
        x = ((counter ^ (counter >> 16)) * 0x21F0AAAD) & mask
        x = ((x ^ (x >> 15)) * 0x735A2D97) & mask
        state.append(x ^ (x >> 15))

    def rotate(x, k):
        return ((x << k) | (x >> (32 - k))) & mask

    def draw():
        s0, s1, s2, s3 = state
        result = (rotate((s1 * 5) & mask, 7) * 9) & mask
        t = (s1 << 9) & mask
        s2, s3 = s2 ^ s0, s3 ^ s1
        s1, s0 = s1 ^ s2, s0 ^ s3
        state[:] = [s0, s1, s2 ^ t, rotate(s3, 11)]
        return result

    while True:
        high, low = draw() >> 5, draw() >> 6
        yield (high * 2**26 + low) / 2**53


def by_hand(figure):
    """The same experiment in plain Python: every count in order, one uniform number for each estimate."""
    n, k, p = figure.size, figure.logit, figure.probs
    outcomes, cumulative, total = [], [], 0.0
    for i in range(n + 1):
        for j in range(n - i + 1):
            m = n - i - j
            total += math.comb(n, i) * math.comb(n - i, j) * p[0] ** i * p[1] ** j * p[2] ** m
            group = [a for a, count in enumerate((i, j, m)) for _ in range(count)]
            rewards = torch.tensor([[figure.rewards[a] for a in group]], dtype=torch.float64)
            scores = torch.tensor([float(a == k) - p[k] for a in group], dtype=torch.float64)
            weigh = {"leave_one_out": leave_one_out, "group_mean": mean_baseline}.get(figure.baseline)
            b = {"none": 0.0, "constant": figure.constant, "mean": exact.value(figure.policy, figure.task).item(),
                 "optimal": exact.optimal_baseline(figure.policy, figure.task).item()}.get(figure.baseline)  # fmt: skip
            weights = weigh(rewards) if weigh else rewards - b
            outcomes.append((weights[0] * scores).mean().item())
            cumulative.append(total)
    uniform = itertools.islice(xoshiro128(figure.seed), figure.replicas)
    return [outcomes[bisect.bisect_right(cumulative, u * total)] for u in uniform], outcomes, cumulative


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_estimates_are_those_that_the_seed_says(show, baseline):
    figures = [
        live.MonteCarlo(baseline=baseline, size=size, seed=seed, replicas=replicas, logit=logit, **GENERAL)
        for size, seed, replicas, logit in [(2, 0, 50, 0), (6, 7, 2000, 1), (9, 2**32 - 1, 300, 2)]
    ]
    for shown, figure in zip(show(*figures), figures, strict=True):
        sample, outcomes, cumulative = by_hand(figure)
        assert shown.number("sample_mean") == pytest.approx(statistics.fmean(sample), abs=1e-12)
        assert shown.number("sample_sd") == pytest.approx(statistics.stdev(sample), abs=1e-12)
        chance = [b - a for a, b in itertools.pairwise([0.0, *cumulative])]
        truth = shown.number("truth")
        silent = sum(c for x, c in zip(outcomes, chance, strict=True) if abs(x) < 1e-12)
        wrong = sum(c for x, c in zip(outcomes, chance, strict=True) if abs(x) >= 1e-12 and x * truth < 0)
        assert shown.number("silent") == pytest.approx(silent, abs=1e-12)
        assert shown.number("wrong") == pytest.approx(wrong, abs=1e-12)
        bars = shown.number("histogram")
        assert sum(bar["count"] for bar in bars) == len(sample)
        for bar in bars:  # a bar of its own for a value, or an interval
            margin = 1e-9 + (0.0 if bar["left"] < bar["right"] else 1e-9)
            inside = [bar["left"] - margin <= x < bar["right"] + margin for x in outcomes]
            expected = figure.replicas * sum(c for c, yes in zip(chance, inside, strict=True) if yes)
            drawn = sum(bar["left"] - margin <= x < bar["right"] + margin for x in sample)
            assert bar["count"] == drawn
            assert bar["expected"] == pytest.approx(expected, abs=1e-6)


def test_large_samples_agree_with_the_exact_numbers(show):
    """Fixed seeds; a correct sampler would fail for about one choice of them in 100,000."""
    states = [
        {"size": 1000, "baseline": "none"},
        {"size": 1000, "baseline": "leave_one_out", **GENERAL},
        {"size": 50, "baseline": "group_mean", "logit": 0, **GENERAL},
        {"size": 300, "baseline": "optimal", "probs": [0.98, 0.005, 0.015]},
        {"size": 3, "baseline": "constant", **GENERAL},
    ]
    for shown in show(*[live.MonteCarlo(replicas=20_000, seed=5, **state) for state in states]):
        mean, sd, n = shown.number("mean"), shown.number("sd"), 20_000
        assert abs(shown.number("sample_mean") - mean) < 5 * sd / n**0.5
        bars = shown.number("histogram")
        assert sum(bar["count"] for bar in bars) == n
        assert 0.98 * n < sum(bar["expected"] for bar in bars) <= n + 1e-6
        large = [bar for bar in bars if bar["expected"] >= 10]
        square = sum((bar["count"] - bar["expected"]) ** 2 / bar["expected"] for bar in large)
        assert len(large) > 5
        assert square < len(large) + 5 * (2 * len(large)) ** 0.5  # chi-squared, about normal
        # the spread of a sample's SD, from the fourth moment of what was drawn
        middle = [((bar["left"] + bar["right"]) / 2 - mean, bar["count"] / n) for bar in bars]
        fourth = sum(c * x**4 for x, c in middle)
        assert abs(shown.number("sample_sd") ** 2 - sd**2) < 6 * ((fourth - sd**4) / n) ** 0.5


def test_the_controls_do_what_they_say(show):
    shown = show(live.MonteCarlo())
    state = {}

    def now(**changes):
        state.update(changes)
        agrees(shown, live.MonteCarlo(**state))

    now()
    slider = shown.root.get_by_label("N, answers behind one estimate")
    slider.focus()
    slider.press("ArrowRight")
    now(size=20)
    assert slider.get_attribute("aria-valuetext") == "20"
    slider.press("Home")
    now(size=1)
    assert not shown.root.get_by_label("b", exact=True).is_visible()
    shown.choose("baseline", "leave_one_out")  # which takes two
    now(size=2, baseline="leave_one_out")
    slider.press("Home")
    now()
    slider.press("End")
    now(size=1000)
    shown.choose("baseline", "group_mean")
    now(baseline="group_mean")
    assert "Too short on average, by the factor 1 − 1/N = 0.999" in shown.text("finding").replace("\xa0", " ")
    shown.choose("baseline", "constant")
    now(baseline="constant")
    assert shown.text("finding").startswith("Right on average with b = 0.50")
    number = shown.root.get_by_label("b", exact=True)
    number.press("ArrowRight")
    assert shown.number("constant") > 0.5
    now(constant=shown.number("constant"))
    shown.choose("baseline", "optimal")
    now(baseline="optimal")
    best = exact.optimal_baseline(live.MonteCarlo().policy, live.MonteCarlo().task)
    assert shown.number("baseline_value") == pytest.approx(best.item(), abs=1e-12)
    shown.choose("logit", "Melbourne")
    now(logit=2)
    shown.type("rewards.2", "0.5")
    now(rewards=[0.0, 1.0, 0.5])
    shown.type("probs.0", "0.2")
    now(probs=[0.2, 0.6, 0.2])
    shown.choose("replicas", "20,000")
    assert sum(bar["count"] for bar in shown.number("histogram")) == 20_000
    now()


def test_the_policy_can_be_dragged_and_moved_by_keys(show):
    shown = show(live.MonteCarlo(size=8, baseline="leave_one_out"))
    shown.drag("Policy", 40, -60)
    probs = shown.number("probs")
    assert probs[2] > 0.15
    agrees(shown, live.MonteCarlo(size=8, baseline="leave_one_out", probs=probs))
    handle = shown.handle("Policy")
    handle.press("ArrowRight")
    assert shown.number("probs")[1] > probs[1]
    agrees(shown, live.MonteCarlo(size=8, baseline="leave_one_out", probs=shown.number("probs")))
    handle.press("Home")
    agrees(shown, live.MonteCarlo(size=8, baseline="leave_one_out"))


def test_drawing_again_changes_the_sample_and_nothing_else(show):
    shown, twin = show(live.MonteCarlo(), live.MonteCarlo(seed=1))
    first = shown.number("histogram")
    assert shown.number("sample_mean") != twin.number("sample_mean")
    shown.root.get_by_role("button", name="Draw again").click()
    assert shown.number("histogram") == twin.number("histogram") != first
    agrees(shown, live.MonteCarlo())


def test_the_axis_holds_still_until_it_is_asked_to_zoom(show):
    shown = show(live.MonteCarlo(size=8))

    def axis():
        texts = shown.root.locator("svg[data-name=histogram] text").all_text_contents()
        return [text for text in texts if text[-1].isdigit()]

    before = axis()
    shown.choose("baseline", "leave_one_out")
    shown.root.get_by_label("N, answers behind one estimate").press("End")
    assert axis() == before
    shown.root.get_by_label("zoom in on the estimates").check()
    assert axis() != before
    assert all(0.15 < float(text) < 0.27 for text in axis())


def test_equal_rewards_give_estimates_that_are_exactly_zero(show):
    baselines = ("mean", "leave_one_out", "group_mean")
    for shown in show(*[live.MonteCarlo(rewards=[0.1, 0.1, 0.1], baseline=b, size=30) for b in baselines]):
        assert [shown.number(name) for name in ("truth", "mean", "sd", "sample_mean", "sample_sd")] == [0] * 5
        assert shown.number("silent") == pytest.approx(1, abs=1e-12)
        assert shown.number("snr") is None
        assert [(bar["left"], bar["count"]) for bar in shown.number("histogram")] == [(0, 2000)]


REDRAW = """(root) => {
    const slider = root.querySelector('input[type=range]'), times = [];
    for (let k = 0; k < 40; k++) {
        const start = performance.now();
        slider.value = 22 + k % 11;
        slider.dispatchEvent(new Event('input', { bubbles: true }));
        root.getBoundingClientRect();
        times.push(performance.now() - start);
    }
    return times;
}"""


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
def test_a_change_is_drawn_within_a_frame(show, baseline):
    shown = show(live.MonteCarlo(size=256, baseline=baseline, probs=[0.35, 0.33, 0.32], rewards=[0.3, 1.0, 0.11]))
    median = statistics.median(shown.root.evaluate(REDRAW))
    assert shown.number("size") > 256
    assert median < (50 if os.environ.get("CI") else 16), f"{median:.1f} ms"


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_and_fits(axe, show, width, dark):
    figures = [live.MonteCarlo(), live.MonteCarlo(baseline="constant", logit=0, answers=["a" * 14, "b", "c" * 12])]
    assert axe(*figures, width=width, dark=dark) == []
    page = show(*figures, width=width, dark=dark)[0].page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
