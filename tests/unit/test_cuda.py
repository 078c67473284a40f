"""The same code on a GPU. Runs where there is one."""

import pytest
import torch
from problems import problem

import ostrl
from ostrl import diagnostics, exact

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def on_cuda():
    policy, task, (_, rewards, prompt_probs, demonstrations) = problem("graded", 2, 3, seed=0)
    tensors = (torch.from_numpy(x).cuda() for x in (rewards, prompt_probs, demonstrations))
    return (policy, task), (ostrl.CategoricalPolicy(policy.logits.detach().cuda()), ostrl.TableTask(*tensors))


@pytest.mark.parametrize("name", ostrl.METHODS)
def test_moments_agree_with_the_cpu(name):
    cpu, cuda = on_cuda()
    expected, got = (exact.moments(ostrl.METHODS[name], *pair, 3, 2) for pair in (cpu, cuda))
    torch.testing.assert_close(got.mean.cpu(), expected.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.covariance.cpu(), expected.covariance, rtol=0, atol=1e-12)


def test_estimates():
    _, (policy, task) = on_cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    estimates = diagnostics.estimate_gradient(ostrl.METHODS["rloo"], policy, task, 2, 3, 20_000, generator)
    assert diagnostics.z_test(estimates, exact.gradient(policy, task)).passed


def test_mixed_devices_are_refused():
    (policy, _), (_, task) = on_cuda()
    with pytest.raises(ValueError, match="expected one device"):
        exact.value(policy, task)
    with pytest.raises(ValueError, match="generator is on cpu"):
        task.sample_prompts(1, torch.Generator())
