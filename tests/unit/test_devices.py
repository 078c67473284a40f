"""The same code on every device there is: always the CPU, and a GPU where one is."""

import pytest
import torch
from problems import problem

import ostrl
from ostrl import diagnostics, exact

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def on(device):
    policy, _, (_, rewards, prompt_probs, demonstrations) = problem("graded", 2, 3, seed=0)
    tensors = (torch.from_numpy(x).to(device) for x in (rewards, prompt_probs, demonstrations))
    return ostrl.CategoricalPolicy(policy.logits.detach().to(device)), ostrl.TableTask(*tensors)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ostrl.METHODS)
def test_everything_stays_on_its_device_and_agrees_with_the_cpu(name, device):
    got, expected = (exact.moments(ostrl.METHODS[name], *on(where), 3, 2) for where in (device, "cpu"))
    assert got.mean.device.type == got.covariance.device.type == device
    torch.testing.assert_close(got.mean.cpu(), expected.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.covariance.cpu(), expected.covariance, rtol=0, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_estimates(device):
    policy, task = on(device)
    generator = torch.Generator(device).manual_seed(0)
    estimates = diagnostics.estimate_gradient(ostrl.METHODS["rloo"], policy, task, 2, 3, 20_000, generator)
    assert estimates.device.type == device
    assert diagnostics.z_test(estimates, exact.gradient(policy, task)).passed


if "cuda" in DEVICES:  # two devices are needed to mix them

    def test_mixed_devices_are_refused():
        (policy, _), (_, task) = on("cpu"), on("cuda")
        with pytest.raises(ValueError, match="expected one device"):
            exact.value(policy, task)
        with pytest.raises(ValueError, match="generator is on cpu"):
            task.sample_prompts(1, torch.Generator())
