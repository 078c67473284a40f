"""The integrator against flows whose solution is known, and the field that is drawn."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ostrl import exact, plotting
from ostrl.flows import integrate


def test_exponentials():
    rates = torch.tensor([[-1.0, 0.5], [2.0, 0.0]], dtype=torch.float64)
    times = [0.0, 0.1, 1.0, 3.0]
    states = integrate(lambda z: rates * z, torch.ones(2, 2, dtype=torch.float64), times)
    want = torch.stack([(rates * t).exp() for t in times])
    torch.testing.assert_close(states, want, rtol=1e-9, atol=1e-9)


def test_supervised_fine_tuning_ends_at_the_demonstrators():
    shown = torch.tensor([0.1, 0.4, 0.5], dtype=torch.float64)
    z = integrate(lambda z: shown - torch.softmax(z, -1), torch.zeros(3, dtype=torch.float64), [500.0])[-1]
    torch.testing.assert_close(torch.softmax(z, -1), shown, rtol=0, atol=1e-10)


def test_a_smaller_tolerance_is_a_smaller_error():
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def circle(z):
        return torch.stack([-z[1], z[0]])

    errors = [float((integrate(circle, start, [20.0], tol)[-1].norm() - 1).abs()) for tol in (1e-6, 1e-9, 1e-12)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_wrong_arguments():
    z = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="increasing"):
        integrate(lambda z: z, z, [1.0, 0.5])
    with pytest.raises(ValueError, match="increasing and not negative"):
        integrate(lambda z: z, z, [-1.0])
    with pytest.raises(ValueError, match=r"velocity\(start\) must have shape \[3\]"):
        integrate(lambda z: z.sum(), z, [1.0])
    with pytest.raises(ValueError, match="the state must be finite"):
        integrate(lambda z: torch.exp(z * z + 50), z + 1, [1e3])


def test_a_field_points_where_the_velocity_points():
    matplotlib.use("agg")
    figure, ax = plt.subplots()
    plotting.draw_field(ax, lambda p: torch.tensor([-1.0, 1.0, 0.0], dtype=torch.float64) * p[:, :1], steps=6)
    (arrows,) = (child for child in ax.get_children() if isinstance(child, matplotlib.quiver.Quiver))
    assert np.all(arrows.U > 0) and np.allclose(arrows.V, 0)  # from answer 0 to answer 1: to the right
    assert len(arrows.U) == len(plotting.simplex_grid(6))
    plt.close(figure)


def test_omega_and_ledger_are_drawn():
    matplotlib.use("agg")
    figure, ax = plt.subplots()
    plotting.draw_omega(ax, "grpo", 4)
    p, curve = ax.lines[0].get_data()
    want = exact.omega(plotting.as_method("grpo"), torch.from_numpy(np.asarray(p)), 4)
    assert np.allclose(curve, want)
    plt.close(figure)
    ledger = exact.ledger(["rloo", "sft"], exact.panel()[:2])
    figure = plt.figure()
    plotting.draw_ledger(figure, ledger)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["rloo", "sft"]
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert np.allclose(sorted(dots[1].get_xdata()), sorted(ledger["sft"].values("cosine")))
    plt.close(figure)
