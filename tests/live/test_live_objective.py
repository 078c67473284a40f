"""The objective over the triangle, dragged, typed at and moved by keys; its numbers against ostrl.exact."""

import math
import os
import re
import statistics

import numpy as np
import pytest
import torch

from ostrl import exact, live

SINE = math.sqrt(0.75)


def agrees(figure, rewards=None):
    """The policy on show, after all other numbers have been found to be what ostrl says for it."""
    probs = figure.number("probs")
    truth = live.Objective(probs=probs, rewards=rewards or [0.0, 1.0, 0.0])
    value, gradient = exact.value(truth.policy, truth.task), exact.gradient(truth.policy, truth.task)
    assert figure.number("value") == pytest.approx(value.item(), abs=1e-12)
    assert figure.number("gradient") == pytest.approx(gradient.tolist(), abs=1e-12)
    assert figure.number("gradient_norm") == pytest.approx(gradient.norm().item(), abs=1e-12)
    assert figure.text("value") == f"{value:.3f}".replace("-", "−")
    return probs


def test_its_first_state(show):
    figure = show(live.Objective())
    assert agrees(figure) == [0.6, 0.3, 0.1]
    assert figure.text("finding") == "Uphill leads to Canberra."
    handle = figure.handle("Policy")
    assert handle.get_attribute("aria-valuetext").replace("\xa0", " ") == "Sydney 60 %, Canberra 30 %, Melbourne 10 %"


def test_the_policy_can_be_dragged(show):
    figure = show(live.Objective())
    scale = figure.root.locator("svg").evaluate("svg => svg.getScreenCTM().a") * 380  # pixels a side of the triangle
    figure.drag("Policy", 0.1 * scale, -0.2 * SINE * scale)
    # up by 0.2 takes 0.1 from each of the corners below; to the right by 0.1 moves 0.1 from the left to the right
    assert agrees(figure) == pytest.approx([0.4, 0.3, 0.3], abs=2e-3)
    figure.drag("Policy", 3000, 3000)  # out of the triangle: the nearest policy that a softmax can have
    assert agrees(figure) == pytest.approx([0.002, 0.996, 0.002], abs=1e-9)


def test_a_finger_drags_too(show):
    figure = show(live.Objective(), width=390, has_touch=True)
    session = figure.page.context.new_cdp_session(figure.page)
    box = figure.handle("Policy").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert min(box["width"], box["height"]) >= 24
    scrolled = figure.page.evaluate("scrollY")
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for k in range(1, 6):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - 12 * k}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert agrees(figure)[2] > 0.2
    assert figure.page.evaluate("scrollY") == scrolled


def test_the_policy_can_be_moved_by_keys(show):
    figure = show(live.Objective())
    handle = figure.handle("Policy")
    handle.focus()
    for key, expected in [
        ("ArrowRight", [0.58, 0.32, 0.1]),
        ("Shift+ArrowRight", [0.578, 0.322, 0.1]),
        ("ArrowLeft", [0.598, 0.302, 0.1]),
        ("ArrowUp", [0.598 - 0.01 / SINE, 0.302 - 0.01 / SINE, 0.1 + 0.02 / SINE]),
        ("ArrowDown", [0.598, 0.302, 0.1]),
        ("End", [0.002, 0.996, 0.002]),
        ("Home", [0.6, 0.3, 0.1]),
    ]:
        handle.press(key)
        assert agrees(figure) == pytest.approx(expected, abs=3e-6), key
    assert handle.evaluate("node => node === document.activeElement")


def test_rewards_and_probabilities_can_be_typed(show):
    figure = show(live.Objective())
    figure.type("rewards.0", "-2.5")
    figure.type("rewards.2", "0.125")
    figure.type("probs.0", "0.2")
    assert agrees(figure, [-2.5, 1.0, 0.125]) == pytest.approx([0.2, 0.6, 0.2])  # the others keep their proportions
    field = figure.root.locator('input[data-name="rewards.0"]')
    field.fill("")  # not a number: marked, and not passed on
    assert field.get_attribute("aria-invalid") == "true"
    agrees(figure, [-2.5, 1.0, 0.125])
    field.blur()
    assert (field.input_value(), field.get_attribute("aria-invalid")) == ("-2.5", None)
    field = figure.root.locator('input[data-name="probs.0"]')
    field.fill("2")  # out of range: so, and said when the hand rests
    assert figure.number("probs") == pytest.approx([0.2, 0.6, 0.2])
    said = "A number from 0.002 to 0.996, please."
    figure.page.wait_for_function("said => document.activeElement.validationMessage === said", arg=said)
    field.fill("0.5")
    assert field.evaluate("field => [field.validity.customError, field.ariaInvalid]") == [False, "false"]
    assert figure.number("probs") == pytest.approx([0.5, 0.375, 0.125])
    figure.root.get_by_role("button", name="Start again").click()
    assert agrees(figure) == [0.6, 0.3, 0.1]  # the rewards, too


def test_equal_rewards_teach_nothing(show):
    figure = show(live.Objective(rewards=[100, 100, 100]))
    agrees(figure, [100.0] * 3)
    assert figure.number("gradient") == [0, 0, 0]
    assert figure.text("finding").startswith("The gradient is zero here")


@pytest.mark.parametrize("rewards, probs", [([0, 1, 0], [0.6, 0.3, 0.1]), ([0.9, 1, 0], [0.55, 0.05, 0.4])])
def test_the_dotted_line_is_gradient_flow(show, rewards, probs):
    figure = show(live.Objective(rewards=rewards, probs=probs))
    path = figure.root.locator("path[stroke-dasharray]").first.get_attribute("d")
    points = np.array(re.findall(r"[ML](\S+) (\S+?)(?=[ML]|$)", path), dtype=float)
    top = (370 - points[:, 1]) / (380 * SINE)
    right = (points[:, 0] - 40) / 380 - top / 2
    line = np.stack([1 - right - top, right, top], 1)
    r, z, dt = np.array(rewards, dtype=float), np.log(probs), 0.02

    def slope(z):
        p = np.exp(z) / np.exp(z).sum()
        return p * (r - p @ r)

    for step in range(1, 4001):  # Runge and Kutta's fourth order, in time
        a = slope(z)
        b = slope(z + dt / 2 * a)
        c = slope(z + dt / 2 * b)
        z = z + dt / 6 * (a + 2 * b + 2 * c + slope(z + dt * c))
        if step % 250 == 0:
            p = np.exp(z) / np.exp(z).sum()
            start, way = line[:-1], np.diff(line, axis=0)
            share = np.clip(((p - start) * way).sum(1) / (way**2).sum(1).clip(1e-12), 0, 1)
            assert np.linalg.norm(start + share[:, None] * way - p, axis=1).min() < 2e-3
    assert figure.number("finding") == pytest.approx([0, 1, 0], abs=1e-3)


def test_following_the_gradient_ends_where_the_line_ends(show):
    moving, still = show(live.Objective()), show(live.Objective(), reduced_motion="reduce")
    for figure in (moving, still):
        figure.root.get_by_role("button", name="Follow the gradient").click()
        figure.page.wait_for_function("document.querySelector('[data-name=value]').dataset.value > 0.995")
        figure.root.get_by_role("button", name="Follow the gradient").wait_for()  # it said "Stop" on the way
        assert agrees(figure) == pytest.approx([0.002, 0.996, 0.002], abs=1e-9)
        figure.root.get_by_role("button", name="Start again").click()
        assert agrees(figure) == [0.6, 0.3, 0.1]


REDRAW = """(root) => {
    const handle = root.querySelector('[aria-label=Policy]'), box = handle.getBoundingClientRect(), times = [];
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    handle.setPointerCapture = () => {};
    const at = (type, dx, dy) => handle.dispatchEvent(
        new PointerEvent(type, { clientX: x + dx, clientY: y + dy, pointerId: 1, bubbles: true }));
    at('pointerdown', 0, 0);
    for (let k = 0; k < 60; k++) {
        const start = performance.now();
        at('pointermove', 40 * Math.sin(k / 5), -60 + 40 * Math.cos(k / 7));
        root.getBoundingClientRect();                      // style and layout count, too
        times.push(performance.now() - start);
    }
    at('pointerup', 0, 0);
    return times;
}"""


def test_a_step_of_a_drag_is_drawn_within_a_frame(show):
    figures = [
        live.Objective(),
        live.Objective(rewards=[0, 1, 1]),
        live.ThreeAnswers(),
        live.ThreeAnswers(labels="mixture", weight="group_normalized", group_size=8, rewards=[0, 0.5, 1]),
    ]
    for figure, shown in zip(figures, show(*figures), strict=True):
        median = statistics.median(shown.root.evaluate(REDRAW))
        assert shown.number("probs") != figure.probs
        assert median < (50 if os.environ.get("CI") else 16), f"{median:.1f} ms"


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_and_fits(axe, width, dark):
    figures = [live.Objective(), live.ThreeAnswers(method="self_training"), live.ThreeAnswers(labels="frozen")]
    assert axe(*figures, width=width, dark=dark) == []


def test_two_figures_on_a_page_keep_apart(show):
    first, second = show(live.Objective(), live.Objective(probs=[0.2, 0.2, 0.6]))
    first.handle("Policy").press("ArrowUp")
    assert agrees(second) == [0.2, 0.2, 0.6]
    ids = first.page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_the_drawing_agrees_with_ostrls_own_triangle(show):
    from ostrl.plotting import simplex_xy

    probs = [0.2, 0.3, 0.5]
    figure = show(live.Objective(probs=probs))
    x, y = map(float, re.findall(r"[\d.]+", figure.handle("Policy").get_attribute("transform")))
    assert [(x - 40) / 380, (370 - y) / 380] == pytest.approx(simplex_xy(torch.tensor(probs)).tolist(), abs=1e-4)


def test_a_number_out_of_range_becomes_the_nearest_that_is_in_range(show):
    figure = show(live.Objective())
    figure.type("rewards.1", "3e7")
    figure.page.keyboard.press("Tab")
    assert figure.number("value") == pytest.approx(0.3e6)
    assert figure.root.locator('input[data-name="rewards.1"]').input_value() == "1000000"
    figure.type("probs.0", "0.99999")
    figure.page.keyboard.press("Tab")
    assert 0.99 < figure.number("probs")[0] <= 0.996  # the others keep a little, too
