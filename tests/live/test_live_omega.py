"""The ω explorer on a page: its weights against sums over all groups, its objectives against their integrals."""

import functools
import math
import os
import re
import statistics

import numpy as np
import pytest
import torch

from ostrl import METHODS, exact, live, weighting
from ostrl.live.omega import METHODS as NAMES

STATES = [(0.05, 8), (0.5, 2), (0.001, 3), (0.999, 5), (0.3, 12), (0.05, 64), (0.72, 33), (0.001, 64)]


@functools.cache
def pulls(name, size):
    """What the right and the wrong answers of a group weigh together, over Z, for each number of right ones."""
    right = (torch.arange(size) < torch.arange(size + 1)[:, None]).double()
    weights = {
        "reinforce": lambda: weighting.reward(right) / size,
        "grpo": lambda: weighting.group_normalized(right) / size,
        "rest_per_prompt": lambda: weighting.threshold(right, 1.0) / right.sum(1, keepdim=True).clamp_min(1),
        "raft": lambda: weighting.top_k(right, 1),
    }[name]()
    return (weights * right).sum(1).numpy(), (weights * (1 - right)).sum(1).numpy()


def omega(name, p, size):
    """ω(p): the sum over all numbers of right answers in a group."""
    p = np.asarray(p, dtype=float)
    if name == "sft":
        return 1 / p
    plus, minus = pulls(name, size)
    k = np.arange(size + 1)
    chance = (
        np.array([math.comb(size, int(n)) for n in k], float) * p[..., None] ** k * (1 - p[..., None]) ** (size - k)
    )
    return chance @ plus / p - chance @ minus / (1 - p)


def agrees(shown, p, size):
    assert shown.number("success_rate") == pytest.approx(p, abs=1e-15)
    assert shown.number("group_size") == size
    nodes, weights = np.polynomial.legendre.leggauss(40)
    grid = p + (1 - p) * (nodes + 1) / 2
    for name in NAMES:
        expected = float(omega(name, p, size))
        assert shown.number(f"omega_{name}") == pytest.approx(expected, rel=1e-9)
        assert shown.number(f"ratio_{name}") == pytest.approx(expected / float(omega(name, 0.5, size)), rel=1e-9)
        if p >= 0.05:  # below, 1/p is too steep for this many nodes
            integral = (1 - p) / 2 * weights @ omega(name, grid, size)
            assert shown.number(f"phi_{name}") == pytest.approx(-integral, rel=1e-9)


def test_the_numbers_are_sums_over_all_groups(show):
    figures = [live.Omega(success_rate=p, group_size=size) for p, size in STATES]
    for shown, (p, size) in zip(show(*figures), STATES, strict=True):
        agrees(shown, p, size)


def test_they_are_those_of_the_package_too(show):
    states = [(0.05, 2), (0.3, 6), (0.9, 8)]
    for shown, (p, size) in zip(
        show(*[live.Omega(success_rate=p, group_size=n) for p, n in states]), states, strict=True
    ):
        for name in NAMES:
            expected = exact.omega(METHODS[name], torch.tensor([p], dtype=torch.float64), size).item()
            assert shown.number(f"omega_{name}") == pytest.approx(expected, rel=1e-9)


def test_the_slope_of_each_objective_is_its_weight(show):
    """Also where p is small: φ(p + h) - φ(p - h), over 2 h."""
    p, h = 0.01, 1e-5
    for size in (2, 8, 64):
        low, middle, high = show(*[live.Omega(success_rate=p + k * h, group_size=size) for k in (-1, 0, 1)])
        for name in NAMES:
            slope = (high.number(f"phi_{name}") - low.number(f"phi_{name}")) / (2 * h)
            assert slope == pytest.approx(middle.number(f"omega_{name}"), rel=1e-5)


def test_its_first_state_says_what_a_rare_success_weighs(show):
    shown = show(live.Omega())
    agrees(shown, 0.05, 8)
    said = shown.text("finding").replace("\xa0", " ")
    assert said.startswith(
        "A prompt solved with p = 0.05 has, next to one solved half the time, 10.0 times the weight in SFT"
    )
    assert f"{shown.number('ratio_rest_per_prompt'):.2f} times in filtering" in said
    assert said.endswith("1.00 times in RL.")


def test_sliders_choices_and_toggles(show):
    shown = show(live.Omega())
    rate = shown.root.get_by_label("p, how often the model is right")
    rate.focus()
    rate.press("ArrowRight")
    agrees(shown, 0.055, 8)
    assert rate.get_attribute("aria-valuetext") == "0.055"
    size = shown.root.get_by_label("G, answers a prompt")
    size.press("Home")
    agrees(shown, 0.055, 2)
    size.press("ArrowRight")
    agrees(shown, 0.055, 3)
    size.press("End")
    agrees(shown, 0.055, 64)
    rate.press("Home")
    agrees(shown, 0.001, 64)
    rate.press("End")
    agrees(shown, 0.999, 64)
    shown.choose("axes", "logarithmic")
    rate.press("Home")
    agrees(shown, 0.001, 64)
    rate.press("ArrowRight")
    agrees(shown, 0.00112, 64)
    curves = shown.root.locator("svg[role=img] path[stroke-linejoin=round]")
    assert curves.count() == len(NAMES)
    shown.root.get_by_role("checkbox", name="GRPO").uncheck()
    assert curves.count() == len(NAMES) - 1
    assert "GRPO" not in shown.text("finding")
    for box in shown.root.get_by_role("checkbox").all():
        box.uncheck()
    assert curves.count() == 0
    assert shown.text("finding") == "Choose a method."
    shown.root.get_by_role("checkbox", name="RL", exact=True).check()
    assert curves.count() == 1


@pytest.mark.parametrize("axes", ["linear", "log"])
def test_the_marker_can_be_dragged(show, axes):
    shown = show(live.Omega(success_rate=0.5, axes=axes))
    picture = shown.root.locator("svg[role=img]")
    box = picture.bounding_box()
    marker = float(re.match(r"M(\S+)", picture.locator("path[stroke-opacity='0.75']").get_attribute("d"))[1])
    unit = box["width"] / float(picture.get_attribute("viewBox").split()[2])
    x, y = box["x"] + marker * unit, box["y"] + box["height"] / 2
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x - 60, y, steps=5)
    left = shown.number("success_rate")
    shown.page.mouse.move(x - 5000, y, steps=5)
    end = shown.number("success_rate")
    shown.page.mouse.up()
    shown.page.mouse.move(x, y)
    assert shown.number("success_rate") == end == 0.001
    width = box["width"] - 56 * unit  # of the axis
    assert left == pytest.approx(0.5 - 60 / width if axes == "linear" else 0.5 * 10 ** (-3 * 60 / width), abs=0.004)
    agrees(shown, 0.001, 8)


@pytest.mark.parametrize("axes, quantity", [("linear", "omega"), ("log", "omega"), ("linear", "phi"), ("log", "phi")])
def test_the_curves_lie_where_the_numbers_say(show, axes, quantity):
    shown = show(live.Omega(axes=axes, quantity=quantity, group_size=6))
    picture = shown.root.locator("svg[role=img]")

    def labels(anchor, end):
        nodes = [
            node for node in picture.locator(f"text[text-anchor={anchor}]").all() if node.text_content()[-1].isdigit()
        ]
        at = [float(node.get_attribute(end)) for node in nodes]
        return np.array(at), np.array([float(node.text_content().replace("−", "-")) for node in nodes])

    x, p = labels("middle", "x")
    y, v = labels("end", "y")
    log_p, log_v = axes == "log", axes == "log" and quantity == "omega"
    to_p = np.polyfit(x, np.log(p) if log_p else p, 1)
    to_v = np.polyfit(y - 4.5, np.log(v) if log_v else v, 1)
    shown_curves = picture.locator("path[stroke-linejoin=round]").all()
    assert len(shown_curves) == len(NAMES)
    for curve, name in zip(shown_curves, reversed(NAMES), strict=True):
        points = np.array(re.findall(r"[ML](\S+) (\S+?)(?=L|$)", curve.get_attribute("d")), dtype=float)[:-1]
        points = points[points[:, 0] < points[:, 0].max() - 2][::6]  # not at p = 1
        rate, value = np.polyval(to_p, points[:, 0]), np.polyval(to_v, points[:, 1])
        rate = np.clip(np.exp(rate) if log_p else rate, 1e-3, 1 - 1e-3)
        if quantity == "omega":
            expected = omega(name, rate, 6)
        else:
            nodes, weights = np.polynomial.legendre.leggauss(24)
            q = np.log(rate)[:, None] * (1 - nodes) / 2  # over log p, where 1/p is smooth
            expected = (np.log(rate) / 2) * ((omega(name, np.exp(q), 6) * np.exp(q)) @ weights)
        # what rounding to a tenth of a pixel can do: for 1 / p, the steepest of them, and its integral
        steepest = 2 / rate**2 if quantity == "omega" and not log_v else 2 / rate
        slack = 0.15 * abs(to_v[0]) + 0.15 * abs(to_p[0]) * (rate if log_p else 1) * steepest
        error = np.abs((np.log(expected) if log_v else expected) - value)
        assert len(points) > 5
        assert (error < slack).all(), (name, error.max())


def test_wrong_values_are_named():
    for values, error, message in [
        ({"group_size": 1}, ValueError, "group_size must be finite and from 2 to 64, got 1"),
        ({"success_rate": 0.0}, ValueError, "success_rate must be finite and from 0.001 to 0.999"),
        (
            {"shown": ["rloo"]},
            ValueError,
            "shown must be some of reinforce, grpo, rest_per_prompt, raft, sft; got 'rloo'",
        ),
        ({"shown": "grpo"}, TypeError, "shown must be a list of names, got 'grpo'"),
        ({"quantity": "phi2"}, ValueError, "quantity must be one of omega, phi"),
    ]:
        with pytest.raises(error, match=message):
            live.Omega(**values)
    assert live.Omega(shown=["sft", "grpo"]).shown == ["grpo", "sft"]


REDRAW = """(root) => {
    const slider = root.querySelector('input[type=range]'), times = [];
    for (let k = 0; k < 40; k++) {
        const start = performance.now();
        slider.value = 0.1 + k / 60;
        slider.dispatchEvent(new Event('input', { bubbles: true }));
        root.getBoundingClientRect();
        times.push(performance.now() - start);
    }
    return times;
}"""


@pytest.mark.parametrize("quantity", ["omega", "phi"])
def test_a_change_is_drawn_within_a_frame(show, quantity):
    shown = show(live.Omega(group_size=64, quantity=quantity))
    median = statistics.median(shown.root.evaluate(REDRAW))
    assert shown.number("success_rate") > 0.7
    assert median < (50 if os.environ.get("CI") else 16), f"{median:.1f} ms"


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_and_fits(axe, show, width, dark):
    figures = [live.Omega(), live.Omega(quantity="phi", axes="log")]
    assert axe(*figures, width=width, dark=dark) == []
    page = show(*figures, width=width, dark=dark)[0].page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
