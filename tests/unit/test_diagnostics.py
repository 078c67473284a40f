import pytest
import torch
from problems import problem

import ostrl
from ostrl import diagnostics, exact


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ostrl.METHODS)
def test_estimates_have_the_exact_mean_and_covariance(name):
    # A z-test of the mean and of the second moments, fixed seed, false-alarm rate 1e-6 each.
    policy, task, _ = problem("graded", 2, 3, seed=0)
    truth = exact.moments(ostrl.METHODS[name], policy, task, 3, num_prompts=2)
    estimates = diagnostics.estimate_gradient(ostrl.METHODS[name], policy, task, 2, 3, 40_000, generator(1))
    assert diagnostics.z_test(estimates, truth.mean).passed
    centered = estimates - truth.mean
    products = (centered[:, :, None] * centered[:, None, :]).flatten(1)
    assert diagnostics.z_test(products, truth.covariance.flatten()).passed


def test_the_z_test_notices_a_wrong_mean():
    policy, task, _ = problem("graded", 2, 3, seed=0)
    estimates = diagnostics.estimate_gradient(ostrl.METHODS["dr_grpo"], policy, task, 2, 3, 40_000, generator(1))
    assert not diagnostics.z_test(estimates, exact.gradient(policy, task)).passed  # own sample in the baseline


def test_the_z_test_notices_a_constant_that_is_wrong():
    constant = torch.ones(50, 2, dtype=torch.float64)
    assert diagnostics.z_test(constant, constant[0]).passed
    assert not diagnostics.z_test(constant, 1.1 * constant[0]).passed


def test_an_estimate_is_what_one_surrogate_gradient_gives():
    policy, task, _ = problem("graded", 3, 4, seed=2)
    method = ostrl.METHODS["rest"]
    pile = method.label.sample(policy, task, 6, 4, generator(3))
    from ostrl.estimates import gradient_estimates

    got = gradient_estimates(method, policy, pile, 2)
    for i in range(3):
        rows = slice(2 * i, 2 * i + 2)
        batch = method.label.batch(policy, task, pile.prompts[rows], pile.actions[rows])
        weights = method.weigh(batch)
        loss = ostrl.surrogate_loss(
            policy.log_prob(batch.prompts, batch.actions), weights, method.normalize(batch, weights)
        )
        (grad,) = torch.autograd.grad(loss, policy.parameters())
        torch.testing.assert_close(got[i], -grad.flatten(), rtol=0, atol=1e-14)


def test_memory_stays_bounded_by_cutting_replicas(monkeypatch):
    policy, task, _ = problem("graded", 2, 3, seed=4)
    monkeypatch.setattr(diagnostics, "_CHUNK_ENTRIES", 1000)
    seen = []
    sample = ostrl.labeling.Labeler.sample

    def watched(self, policy, task, batch_size, group_size, generator):
        seen.append(batch_size * group_size)
        return sample(self, policy, task, batch_size, group_size, generator)

    monkeypatch.setattr(ostrl.labeling.Labeler, "sample", watched)
    estimates = diagnostics.estimate_gradient(ostrl.METHODS["rloo"], policy, task, 2, 3, 501, generator())
    assert estimates.shape == (501, 6)
    assert max(seen) <= 1000


def test_cosine_and_snr():
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])
    assert float(diagnostics.cosine(a, b)) == pytest.approx(2**-0.5)
    assert float(diagnostics.snr(torch.tensor([3.0, 4.0]), torch.diag(torch.tensor([2.0, 3.0])))) == 5.0
    with pytest.raises(ValueError, match="no direction"):
        diagnostics.cosine(a, torch.zeros(2))
