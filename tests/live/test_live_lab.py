"""The Monte Carlo lab with a kernel: driven from Python, as its widgets would be."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from ostrl import exact
from ostrl.live.lab import MonteCarloLab, monte_carlo
from ostrl.live.monte_carlo import BASELINES


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def agrees(lab):
    """Its exact numbers are the enumerated ones, and its sample lies where it should (5.1 standard errors)."""
    e, numbers = lab.experiment, lab.numbers
    moments = exact.moments(e.method, e.policy, e.task, e.size) if 3**e.size < 100_000 else e.moments
    assert numbers["truth"] == pytest.approx(exact.gradient(e.policy, e.task)[e.logit].item(), abs=1e-12)
    assert numbers["mean"] == pytest.approx(moments.mean[e.logit].item(), abs=1e-12)
    assert numbers["sd"] == pytest.approx(moments.covariance[e.logit, e.logit].sqrt().item(), abs=1e-12)
    snr = (moments.mean.square().sum() / moments.covariance.trace()).item()
    assert numbers["snr"] == pytest.approx(snr, rel=1e-9)
    assert abs(numbers["sample_mean"] - numbers["mean"]) < 5.1 * numbers["sd"] / numbers["replicas"] ** 0.5
    assert numbers["replicas"] == lab.controls["samples"].value // e.size
    for name in ("size", "baseline", "constant", "logit"):
        assert lab.controls[name].value == getattr(e, name)
    assert [lab.controls[f"prob_{a}"].value for a in range(3)] == pytest.approx(e.probs)
    assert [lab.controls[f"reward_{a}"].value for a in range(3)] == e.rewards


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_every_baseline_agrees_with_enumeration(baseline, device):
    lab = monte_carlo(60_000, device, baseline=baseline, size=6, probs=[0.5, 0.2, 0.3], rewards=[-0.7, 1.0, 0.25])
    assert lab.device.type == device
    agrees(lab)
    assert lab.numbers["sample_sd"] == pytest.approx(lab.numbers["sd"], rel=0.05)


def test_a_million_answers():
    lab = monte_carlo(size=1000)
    assert lab.controls["samples"].value == 1_000_000
    assert lab.numbers["replicas"] == 1000
    agrees(lab)
    lab.controls["size"].value = 1
    assert lab.numbers["replicas"] == 1_000_000
    agrees(lab)


def test_controls_move_the_experiment():
    lab = monte_carlo(10_000)
    c = lab.controls
    picture = lab._view.value
    for name, value, wanted in [
        ("size", 8, {"size": 8}),
        ("baseline", "leave_one_out", {"baseline": "leave_one_out"}),
        ("logit", 0, {"logit": 0}),
        ("reward_2", 0.5, {"rewards": [0.0, 1.0, 0.5]}),
        ("prob_0", 0.2, {"probs": pytest.approx([0.2, 0.6, 0.2])}),
        ("prob_1", 1.0, {"probs": pytest.approx([0.001, 0.998, 0.001], abs=1e-5)}),
        ("prob_1", 0.4, {"probs": pytest.approx([0.3, 0.4, 0.3], abs=1e-5)}),
        ("samples", 100_000, {}),
        ("baseline", "constant", {"baseline": "constant"}),
        ("constant", -0.25, {"constant": -0.25}),
    ]:
        c[name].value = value
        for trait, expected in wanted.items():
            assert getattr(lab.experiment, trait) == expected, name
        agrees(lab)
        assert lab._view.value != picture
        picture = lab._view.value
    assert not c["constant"].disabled
    before = dict(lab.numbers)
    c["again"].click()
    assert lab.experiment.seed == 1
    assert lab.numbers["sample_mean"] != before["sample_mean"]
    assert lab.numbers["sd"] == before["sd"]
    agrees(lab)


def test_the_experiment_moves_the_controls():
    lab = monte_carlo(20_000)
    lab.experiment.size = 37  # not one of the slider's own
    lab.experiment.baseline = "optimal"
    lab.experiment.probs = [0.2, 0.2, 0.6]
    agrees(lab)
    assert lab.controls["constant"].disabled


def test_a_baseline_from_the_group_takes_two():
    lab = monte_carlo(20_000, size=1)
    lab.controls["baseline"].value = "group_mean"
    assert (lab.experiment.size, lab.experiment.baseline) == (2, "group_mean")
    agrees(lab)
    lab.controls["size"].value = 1
    assert lab.experiment.size == 2
    agrees(lab)
    lab.controls["baseline"].value = "none"
    lab.controls["size"].value = 1
    assert lab.experiment.size == 1
    agrees(lab)


def test_equal_rewards_have_no_signal_and_no_noise():
    lab = monte_carlo(20_000, rewards=[0.5, 0.5, 0.5], baseline="leave_one_out")
    assert [lab.numbers[name] for name in ("truth", "mean", "sd", "sample_mean", "sample_sd", "snr")] == [
        *[pytest.approx(0, abs=1e-15)] * 5,
        None,
    ]


def test_the_same_seed_draws_the_same():
    numbers = [monte_carlo(20_000, "cpu", seed=seed).numbers for seed in (4, 4, 5)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_the_stored_output_is_a_picture(monkeypatch):
    assert "application/vnd.jupyter.widget-view+json" in monte_carlo(20_000)._repr_mimebundle_()[0]
    monkeypatch.setenv("BOOK_BUILD", "1")
    data, metadata = monte_carlo(20_000, answers=["yes", "no", "<maybe>"])._repr_mimebundle_()
    assert (data, metadata) == monte_carlo(20_000, answers=["yes", "no", "<maybe>"])._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png"}
    assert data["text/plain"].startswith(
        "MonteCarloLab: Histogram of 1,250 estimates of no's slope from N = 16 answers"
    )
    assert monte_carlo(20_000).device.type == "cpu"
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    pixels = np.asarray(image)
    assert pixels[0, 0, 3] == 0  # transparent
    assert (np.abs(pixels[..., :3].astype(int) - [31, 127, 192]).sum(-1) < 90).mean() > 0.02  # bars in blue
    assert image.width > 2 * metadata["image/png"]["width"] * 0.95


def test_the_picture_has_words_for_those_who_cannot_see_it():
    view = monte_carlo(20_000, answers=["yes", "no", "<maybe>"], logit=2)._view.value
    assert (
        'alt="Histogram of 1,250 estimates of &lt;maybe&gt;&#x27;s slope from N = 16 answers each: truth -0.0300'
        in view
    )
    assert "<maybe>" not in view


@pytest.mark.parametrize(
    "values, error, message",
    [
        ({"samples": 10}, ValueError, "samples must be from 1,000 to 1,000,000, got 10"),
        ({"samples": 1e5}, TypeError, "samples must be an int, got 100000.0"),
        ({"replicas": 10}, TypeError, "the lab has no 'replicas'; it has samples, device, answers, baseline"),
        ({"size": 1, "baseline": "leave_one_out"}, ValueError, "size must be at least 2"),
        ({"probs": [0.5, 0.5, 0.5]}, ValueError, "probs must sum to 1"),
    ],
)
def test_wrong_values_are_named(values, error, message):
    with pytest.raises(error, match=message):
        MonteCarloLab(**values)
