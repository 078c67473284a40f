"""The claims of chapter 05, each against every batch that can be drawn, listed in NumPy.

Losses are written out as NumPy functions and differentiated by complex steps, ``Im f(x + ih) / h``: no autograd,
exact to rounding. What a loss holds constant is computed at the real θ, what has a graph at the complex one. Where a
claim is about PyTorch or JAX, their losses are compared with the lists.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import FEATURES, H, network, own_logits, softmax

import ostrl
from ostrl.batch import SELF, Batch

PROMPTS = np.array([0.3, 0.7])
RETURNS = np.array([[1.0, -0.5, 2.0], [0.0, 1.0, 0.25]])
LENGTHS = np.array([[1.0, 3.0, 2.0], [2.0, 1.0, 4.0]])


def slope(f, theta):
    """∇f by complex steps; ``f(moving, held)`` sees the complex θ and the real one."""
    steps = theta[:, None] + 1j * H * np.eye(len(theta))
    return np.stack([np.imag(f(steps[:, k], theta)) / H for k in range(len(theta))], axis=-1)


def close(a, b, tol=1e-12):
    return np.allclose(a, b, rtol=0, atol=tol)


def loo(R):
    """Leave-one-out weights of groups ``[B, G]``, with loops."""
    others = [[np.delete(row, g).mean() for g in range(len(row))] for row in R]
    return R - np.array(others)


class World:
    """A policy at some θ, and the sums over everything that can happen."""

    def __init__(self, table, size, seed=0, returns=RETURNS):
        self.table, self.P, self.r = table, PROMPTS, returns
        self.theta = np.random.default_rng(seed).normal(size=size)
        self.pi = table(self.theta)
        self.mean_return = (self.pi * returns).sum(1)
        self.entropy = -(self.pi * np.log(self.pi)).sum(1)
        self.score = slope(lambda x, _: np.log(table(x)), self.theta)
        self.grad_J_o = slope(lambda x, _: (table(x) * returns).sum(1), self.theta)
        self.grad_J = self.P @ self.grad_J_o
        self.grad_H_o = slope(lambda x, _: -(table(x) * np.log(table(x))).sum(1), self.theta)
        self.covariance = (self.pi * returns * np.log(self.pi)).sum(1) + self.mean_return * self.entropy

    def batches(self, B, G, writer=None):
        """Probability, prompts ``[B, 1]`` and answers ``[B, G]`` of every batch."""
        q = self.pi if writer is None else writer
        for o in itertools.product(range(2), repeat=B):
            for a in itertools.product(itertools.product(range(3), repeat=G), repeat=B):
                prompts, answers = np.array(o)[:, None], np.array(a)
                yield self.P[prompts].prod() * q[prompts, answers].prod(), prompts, answers

    def enumerate(self, loss, B=1, G=2, writer=None):
        """Means over every batch of the loss and of minus its slope; ``loss(lp, held, o, a)`` gets two tables."""
        value, step = 0.0, np.zeros_like(self.theta)
        for chance, o, a in self.batches(B, G, writer):

            def at(x, fixed, o=o, a=a):
                return loss(np.log(self.table(x)), np.log(self.table(fixed)), o, a)

            value += chance * at(self.theta, self.theta)
            step -= chance * slope(at, self.theta)
        return value, step


WORLDS = [pytest.param(World(own_logits, 6), id="own logits"), pytest.param(World(network, 20), id="network")]
worlds = pytest.mark.parametrize("world", WORLDS)


def log_prob_form(weigh):
    """The loss with weights ``weigh(R, o)``, in the log-prob form."""
    return lambda lp, held, o, a: -(weigh(RETURNS[o, a], o) * lp[o, a]).mean()


# --- the slope ---------------------------------------------------------------------------------------------------


@pytest.mark.claim("thm-surrogate-gradient")
@worlds
def test_the_slope_is_the_weighted_mean_of_scores_whatever_the_weights(world):
    rng = np.random.default_rng(1)
    for Z in (1.0, 3.7):
        o, a = np.array([[0], [1]]), rng.integers(0, 3, (2, 4))
        w = rng.normal(size=(2, 4))
        got = -slope(lambda x, _, o=o, a=a, w=w, Z=Z: -(w * np.log(world.table(x))[o, a]).sum() / Z, world.theta)
        assert close(got, (w[..., None] * world.score[o, a]).sum((0, 1)) / Z)


@pytest.mark.claim("thm-surrogate-gradient")
def test_the_librarys_loss_has_that_slope():
    world = World(own_logits, 6)
    z = torch.tensor(world.theta.reshape(2, 3), requires_grad=True)
    o, a = torch.tensor([[0], [1]]), torch.tensor([[0, 1, 1], [2, 0, 1]])
    w = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ostrl.surrogate_loss(torch.log_softmax(z, 1)[o, a], w, 2.5).backward()
    by_hand = (w.numpy()[..., None] * world.score[o, a]).sum((0, 1)) / 2.5
    assert close(-z.grad.numpy().ravel(), by_hand)


@pytest.mark.claim("thm-surrogate-gradient")
@worlds
@pytest.mark.parametrize(
    "weigh, unbiased",
    [
        (lambda R, o: R, True),
        (lambda R, o: R - 7.0, True),
        (lambda R, o: R - np.array([3.0, -1.0])[o], True),
        (lambda R, o: loo(R), True),
        (lambda R, o: R - R.mean(1, keepdims=True), False),  # the own return in the baseline: not independent
    ],
)
def test_the_expected_step_is_the_policy_gradient(world, weigh, unbiased):
    for B, G in ((1, 2), (1, 3), (2, 2)):
        if world.theta.size == 20 and (B, G) == (2, 2):
            continue
        _, step = world.enumerate(log_prob_form(weigh), B, G)
        assert close(step, world.grad_J) == unbiased


@pytest.mark.claim("prop-slope-of-mean")
@worlds
def test_slope_of_the_expected_loss(world):
    w = RETURNS - 0.4
    through_sampling = -slope(
        lambda x, _: -(world.P[:, None] * world.table(x) * w * np.log(world.table(x))).sum(), world.theta
    )
    formula = np.einsum("o,oa,oa,oap->p", world.P, world.pi, w * (1 + np.log(world.pi)), world.score)
    assert close(through_sampling, formula)
    _, mean_slope = world.enumerate(log_prob_form(lambda R, o: R - 0.4), 1, 1)
    assert close(mean_slope, world.grad_J)
    assert not close(formula, mean_slope, 1e-3)


# --- the value ---------------------------------------------------------------------------------------------------


def ratio_loss(weights, Z):
    """The ratio form."""
    return lambda lp, held, o, a: -(weights(RETURNS[o, a]) * np.exp(lp[o, a] - held[o, a])).sum() / Z


@pytest.mark.claim("prop-ratio-form-value")
@pytest.mark.parametrize("name", ["leave_one_out", "mean_baseline", "group_normalized"])
def test_centered_ratio_losses_are_zero_on_every_batch_with_the_slope_of_the_other_form(name):
    world = World(own_logits, 6)

    def weights(R):
        return getattr(ostrl.weighting, name)(torch.tensor(R)).numpy()

    steps = np.zeros(6)
    for _, o, a in world.batches(1, 3):
        loss, plain = ratio_loss(weights, 3.0), log_prob_form(lambda R, o: weights(R))
        table = np.log(world.pi)
        assert abs(loss(table, table, o, a)) < 1e-14
        there = [
            slope(lambda x, h, f=f, o=o, a=a: f(np.log(own_logits(x)), np.log(own_logits(h)), o, a), world.theta)
            for f in (loss, plain)
        ]
        assert close(*there)
        steps += np.abs(there[0])
    assert steps.max() > 0.1


@pytest.mark.claim("prop-ratio-form-value")
def test_the_value_is_minus_the_sum_of_coefficients_for_every_weight_and_normalizer():
    rng = np.random.default_rng(3)
    for _ in range(20):
        lp = torch.tensor(-rng.exponential(size=(2, 4)), requires_grad=True)
        w, Z = torch.tensor(rng.normal(size=(2, 4))), torch.tensor(rng.uniform(1, 3, size=(2, 4)))
        value = -(w * (lp - lp.detach()).exp() / Z).sum()
        assert abs(value.item() + (w / Z).sum().item()) < 1e-12
        plain = -(w * (lp - lp.detach()).exp()).mean()
        assert abs(plain.item() + w.mean().item()) < 1e-12  # (b) with w = R


@pytest.mark.claim("prop-ratio-form-value")
def test_ratios_of_tokens_under_both_means():
    rng = np.random.default_rng(4)
    for _ in range(20):
        T = torch.tensor(rng.integers(1, 6, size=5))
        mask = torch.arange(6) < T[:, None]
        lp = torch.tensor(-rng.exponential(size=(5, 6)), requires_grad=True)
        w = torch.tensor(rng.normal(size=5))
        ratio = (lp - lp.detach()).exp()
        own = -(((ratio * w[:, None] * mask).sum(1)) / T).mean()
        assert abs(own.item() + w.mean().item()) < 1e-12
        everything = -(ratio * w[:, None] * mask).sum() / mask.sum()
        assert abs(everything.item() + (w * T).sum().item() / T.sum().item()) < 1e-12
        w = w - w.mean()
        centered = -(ratio * w[:, None] * mask).sum() / mask.sum()
        covariance = np.cov(w.numpy(), T.numpy(), bias=True)[0, 1]
        assert abs(centered.item() + covariance / T.double().mean().item()) < 1e-12


@pytest.mark.claim("thm-expected-loss")
@worlds
def test_the_expected_loss_is_minus_a_covariance(world):
    minus_covariance = -world.P @ world.covariance
    for B, G in ((1, 2), (1, 3), (2, 2)):
        if world.theta.size == 20 and B == 2:
            continue

        def mean_loss(weigh, B=B, G=G):
            return world.enumerate(log_prob_form(weigh), B, G)[0]

        assert close(mean_loss(lambda R, o: loo(R)), minus_covariance)
        assert close(mean_loss(lambda R, o: R - R.mean(1, keepdims=True)), (1 - 1 / G) * minus_covariance)
        b = np.array([0.3, -1.1])
        extra = world.P @ ((world.mean_return - b) * world.entropy)
        assert close(mean_loss(lambda R, o, b=b: R - b[o]), minus_covariance + extra)
    assert abs(minus_covariance) > 1e-3


@pytest.mark.claim("thm-expected-loss")
def test_for_a_single_right_answer_the_sign_changes_at_exp_of_minus_the_entropy():
    signs = set()
    for seed in range(200):
        pi = np.random.default_rng(seed).dirichlet(np.ones(4))
        H_pi, p = -(pi * np.log(pi)).sum(), pi[0]
        covariance = p * math.log(p) + p * H_pi
        assert (-covariance > 0) == (p < math.exp(-H_pi))
        signs.add(-covariance > 0)
    assert signs == {True, False}


def largest_loss(pi, r, weigh, G=3):
    """Over every group of one prompt, the largest absolute value of the log-prob form."""
    groups = (list(a) for a in itertools.product(range(len(pi)), repeat=G) if pi[list(a)].prod() > 0)
    return max(abs((weigh(r[None, a]) * np.log(pi[a])).mean()) for a in groups)


@pytest.mark.claim("prop-log-prob-form-zero")
@pytest.mark.parametrize("weigh", [loo, lambda R: R - R.mean(1, keepdims=True)])
def test_the_log_prob_form_is_always_zero_only_for_uniform_policies_or_equal_returns(weigh):
    for G in (2, 3):
        uniform, skewed, tied = np.full(3, 1 / 3), np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
        graded, equal, binary = np.array([0.0, 1.0, 0.3]), np.ones(3), np.array([1.0, 0.0, 0.0])
        assert largest_loss(uniform, graded, weigh, G) < 1e-15
        assert largest_loss(skewed, equal, weigh, G) < 1e-15
        assert largest_loss(np.array([0.5, 0.5, 0.0]), graded, weigh, G) < 1e-15  # uniform where it is positive
        for pi in (skewed, tied):
            for r in (graded, binary):
                assert largest_loss(pi, r, weigh, G) > 1e-2
        # the loss of a + (G - 1) times b, as in the proof
        a = [0] + [2] * (G - 1)
        w = weigh(graded[None, a])
        assert close((w * np.log(skewed[a])).sum(), w[0, 0] * (math.log(0.5) - math.log(0.2)))


@pytest.mark.claim("prop-log-prob-form-zero")
@pytest.mark.parametrize("weigh", [loo, lambda R: R - R.mean(1, keepdims=True)])
def test_it_takes_equal_returns_or_probabilities_on_every_prompt(weigh):
    uniform, skewed = np.full(3, 1 / 3), np.array([0.5, 0.3, 0.2])
    graded, equal = np.array([0.0, 1.0, 0.3]), np.ones(3)

    def largest(pi, r):
        """Over every batch of two prompts with two answers each."""
        world = World(lambda theta: pi, 1, returns=r)
        return max(abs((weigh(r[o, a]) * np.log(pi[o, a])).mean()) for _, o, a in world.batches(2, 2))

    assert largest(np.stack([uniform, skewed]), np.stack([graded, equal])) < 1e-15  # each prompt by its own reason
    assert largest(np.stack([uniform, skewed]), np.stack([graded, graded])) > 1e-2
    assert largest(np.stack([skewed, uniform]), np.stack([graded, equal])) > 1e-2


@pytest.mark.claim("prop-loss-at-corners")
@pytest.mark.parametrize("answers", [2, 4, 9])
def test_the_loss_is_bounded_by_the_entropy_and_vanishes_only_with_it(answers):
    closest = 0.0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        pi = rng.dirichlet(np.full((2, answers), rng.choice([0.05, 1.0]))[0], size=2)
        pi = np.maximum(pi, 1e-200)
        entropy = PROMPTS @ -(pi * np.log(pi)).sum(1)
        for r in (rng.normal(size=(2, answers)), rng.uniform(0.5, 2, size=(2, answers))):
            plain = PROMPTS @ -(pi * r * np.log(pi)).sum(1)
            centered = PROMPTS @ -(pi * (r - (pi * r).sum(1, keepdims=True)) * np.log(pi)).sum(1)
            bound = 2 * np.abs(r).max() * entropy
            assert abs(plain) <= bound + 1e-15 and abs(centered) <= bound + 1e-15
            closest = max(closest, abs(plain) / bound, abs(centered) / bound)
            if r.min() > 0:
                assert plain >= r.min() * entropy - 1e-15
    assert closest > 0.25  # the bound is not an empty one


@pytest.mark.claim("prop-loss-at-corners")
@pytest.mark.parametrize("weigh", [lambda R: R, loo])
@pytest.mark.parametrize("corner", range(3))
def test_the_mean_loss_tends_to_zero_at_every_corner(weigh, corner):
    """Over every pair of answers, with both kinds of weights, at the right answer and at the wrong ones."""
    r, values = np.array([1.0, 2.0, 1.0]), []
    for certainty in (5.0, 10.0, 20.0, 40.0):
        pi = softmax(certainty * np.eye(3)[corner] + np.array([0.0, 0.3, -0.2]))
        values.append(
            sum(
                -pi[list(a)].prod() * (weigh(r[None, a]) * np.log(pi[list(a)])).mean()
                for a in itertools.product(range(3), repeat=2)
            )
        )
    sizes = np.abs(values)
    assert (np.diff(sizes) < 0).all() and sizes[0] > 1e-3 and sizes[-1] < 1e-14


@pytest.mark.claim("prop-loss-at-corners")
def test_finitely_many_answers_are_needed():
    """1 - ε on the right answer, ε shared by e^{1/ε} others: certain in the end, and the loss with w = R stays."""
    for eps in (0.1, 0.01, 0.001):
        each = math.log(eps) - 1 / eps  # log π of a wrong answer
        loss = -(1 - eps) * 2 * math.log1p(-eps) - eps * 1 * each
        assert loss > 1


# --- two forms ---------------------------------------------------------------------------------------------------


@pytest.mark.claim("thm-ratio-form-improvement")
@worlds
@pytest.mark.parametrize("B, G", [(1, 2), (1, 3)])
def test_the_ratio_form_estimates_the_improvement(world, B, G):
    old = world.table(np.random.default_rng(9).normal(size=world.theta.size))
    old_J = (old * RETURNS).sum(1)

    def by_ratio(lp, held, o, a):
        return -(loo(RETURNS[o, a]) * np.exp(lp[o, a]) / old[o, a]).mean()

    value, step = world.enumerate(by_ratio, B, G, writer=old)
    assert close(value, world.P @ (old_J - world.mean_return))
    assert close(step, world.grad_J)

    value, step = world.enumerate(log_prob_form(lambda R, o: loo(R)), B, G, writer=old)
    log_pi = np.log(world.pi)
    covariance = (old * RETURNS * log_pi).sum(1) - old_J * (old * log_pi).sum(1)
    assert close(value, -world.P @ covariance)
    assert close(step, np.einsum("o,oa,oa,oap->p", world.P, old, RETURNS - old_J[:, None], world.score))
    assert not close(step, world.grad_J, 1e-3)


@pytest.mark.claim("thm-ratio-form-improvement")
def test_at_the_old_policy_both_forms_have_the_same_gradient_on_every_batch():
    world = World(own_logits, 6)
    forms = (ratio_loss(loo, 3.0), log_prob_form(lambda R, o: loo(R)))
    for _, o, a in world.batches(1, 3):
        slopes = [
            slope(lambda x, h, f=f, o=o, a=a: f(np.log(own_logits(x)), np.log(own_logits(h)), o, a), world.theta)
            for f in forms
        ]
        assert close(*slopes)


def strings(logits):
    """Answers of three tokens 0 or 1, [8], and the logs of their tokens' probabilities, [8, 3]: a tree of 7 nodes."""
    answers = list(itertools.product(range(2), repeat=3))
    table = np.log(softmax(logits.reshape(7, 2)))
    return answers, np.array([[table[0, x], table[1 + x, y], table[3 + 2 * x + y, w]] for x, y, w in answers])


@pytest.mark.claim("prop-token-ratios")
@pytest.mark.parametrize("G", [2, 3])
def test_token_ratios_estimate_the_sum_of_single_improvements(G):
    rng = np.random.default_rng(21)
    theta, r = rng.normal(size=14), rng.normal(size=8)
    old = strings(rng.normal(size=14))[1]
    old_p = np.exp(old.sum(1))

    def losses(tokens, a):
        ratio = np.exp(tokens - old)[list(a)]
        w = loo(r[None, a])[0]
        return np.array([-(w * ratio.sum(1)).mean(), -(w * ratio.prod(1)).mean()])

    tokens = strings(theta)[1]
    value = sum(old_p[list(a)].prod() * losses(tokens, a) for a in itertools.product(range(8), repeat=G))
    new_J = np.exp(tokens.sum(1)) @ r
    single = 0.0
    for t in range(3):
        mixed = old.copy()
        mixed[:, t] = tokens[:, t]
        assert close(np.exp(mixed.sum(1)).sum(), 1)
        single += np.exp(mixed.sum(1)) @ r - old_p @ r
    assert close(value[0], -single) and close(value[1], old_p @ r - new_J)
    assert not close(value[0], value[1], 1e-2)


@pytest.mark.claim("prop-token-ratios")
def test_at_the_old_policy_token_ratios_have_the_value_and_the_slope_of_whole_ones():
    rng = np.random.default_rng(22)
    theta, moved, r = rng.normal(size=14), rng.normal(size=14), rng.normal(size=8)
    old = strings(theta)[1]

    def slopes(at, a):
        w = loo(r[None, a])[0]
        forms = (lambda d: d.sum(1), lambda d: np.exp(np.log(d).sum(1)))
        return [slope(lambda x, _, f=f: -(w * f(np.exp(strings(x)[1] - old)[list(a)])).mean(), at) for f in forms], -(
            w * 3
        ).mean()

    differ = []
    for a in itertools.product(range(8), repeat=2):
        (token, whole), value = slopes(theta, a)
        assert close(token, whole) and abs(value) < 1e-12
        differ.append(np.subtract(*slopes(moved, a)[0]))
    assert np.abs(differ).max() > 0.1  # anywhere else they are two different things


@pytest.mark.claim("prop-token-ratios")
def test_the_return_can_rise_while_the_loss_with_token_ratios_is_positive():
    r = np.array([0.0, 1.0, 1.0, 0.0])
    old, new = np.array([[0.4, 0.6], [0.6, 0.4]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    answers = list(itertools.product(range(2), repeat=2))
    p = {q is new: np.array([q[0, x] * q[1, y] for x, y in answers]) for q in (old, new)}
    total = 0.0
    for i, j in itertools.product(range(4), repeat=2):
        w = loo(r[None, [i, j]])[0]
        ratio = [sum(new[t, answers[k][t]] / old[t, answers[k][t]] for t in range(2)) for k in (i, j)]
        total -= p[False][i] * p[False][j] * (w * ratio).mean()
    assert close((p[True] - p[False]) @ r, 0.3) and close(total, 0.2)


@pytest.mark.claim("prop-log-prob-form-unbounded")
def test_the_ratio_form_has_a_floor():
    rng = np.random.default_rng(11)
    for _ in range(30):
        old, a, w = softmax(rng.normal(size=(2, 3))), rng.integers(0, 3, (2, 4)), rng.normal(size=(2, 4))
        o = np.array([[0], [1]])
        floor = -(np.maximum(w, 0) / old[o, a]).sum() / 8
        for _ in range(50):
            new = softmax(5 * rng.normal(size=(2, 3)))
            assert -(w * new[o, a] / old[o, a]).sum() / 8 >= floor


@pytest.mark.claim("prop-log-prob-form-unbounded")
def test_the_log_prob_form_has_none_and_is_linear_for_centered_weights():
    rng = np.random.default_rng(12)
    o, a = np.array([[0], [1]]), np.array([[0, 1, 1, 2], [2, 2, 0, 2]])

    def loss(w, z):
        return -(w * np.log(softmax(z))[o, a]).sum() / 8

    w = rng.normal(size=(2, 4))
    w[0, 0] = -0.5  # answer 0 occurs once under prompt 0: its weights add up to a negative number
    z = rng.normal(size=(2, 3))
    falling = [loss(w, z - t * np.eye(6)[0].reshape(2, 3)) for t in (10.0, 100.0, 600.0)]
    assert falling[0] > falling[1] > falling[2] and falling[2] < falling[0] - 30
    positive = np.abs(w)
    assert all(loss(positive, 50 * rng.normal(size=(2, 3))) >= 0 for _ in range(50))  # no negative sum, a floor

    w = w - w.mean(1, keepdims=True)
    for _ in range(10):
        z = 3 * rng.normal(size=(2, 3))
        assert close(loss(w, z), -(w * z[o, a]).sum() / 8)
        there = slope(lambda x, _: loss(w, x.reshape(2, 3)), z.ravel())
        start = slope(lambda x, _: loss(w, x.reshape(2, 3)), np.zeros(6))
        assert close(there, start)


# --- taken apart -------------------------------------------------------------------------------------------------


@pytest.mark.claim("prop-own-weights")
def test_the_slopes_at_the_log_probabilities_are_the_whole_gradient():
    generator = torch.Generator().manual_seed(0)
    features = torch.tensor(FEATURES)
    W = torch.randn(2, 4, generator=generator, dtype=torch.float64).requires_grad_()
    V = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    o, a = torch.tensor([[0], [1]]), torch.tensor([[0, 1, 1], [2, 0, 1]])
    R = torch.tensor(RETURNS)[o, a]

    def table():
        return torch.log_softmax(torch.tanh(features @ W) @ V, 1)

    losses = [
        lambda lp: -(R * lp).mean(),
        lambda lp: (lp.exp() * R).square().sum().log() - torch.minimum(lp, 2 * lp.exp()).sum(),
        lambda lp: -(torch.softmax(lp, 1) * R).sum() + lp[0, 0] * lp[1, 2],
    ]
    for loss in losses:
        direct = torch.autograd.grad(loss(table()[o, a]), (W, V))
        leaf = table()[o, a].detach().requires_grad_()
        coefficient = -torch.autograd.grad(loss(leaf), leaf)[0]
        rebuilt = torch.autograd.grad(-(coefficient * table()[o, a]).sum(), (W, V))
        assert all(close(x, y) for x, y in zip(direct, rebuilt, strict=True))

    # what reaches the parameters by another road is not seen
    full = torch.autograd.grad(-(R * table()[o, a]).mean() + (table().exp() * table()).sum(), (W, V))
    part = torch.autograd.grad(-(R * table()[o, a]).mean(), (W, V))
    assert not close(full[1], part[1], 1e-3)


@pytest.mark.claim("prop-own-weights")
def test_own_turns_a_trainers_loss_into_the_method_that_it_is():
    world = World(own_logits, 6)
    policy = ostrl.CategoricalPolicy(torch.tensor(world.theta.reshape(2, 3)))
    task = ostrl.TableTask(torch.tensor(RETURNS), torch.tensor(PROMPTS))

    def trainer(log_prob, behavior_log_prob, rewards):
        advantage = rewards - (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
        ratio = (log_prob - behavior_log_prob).exp()
        return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()

    mine = ostrl.exact.moments(ostrl.own(trainer), policy, task, group_size=2)
    _, step = world.enumerate(log_prob_form(lambda R, o: loo(R)), 1, 2)
    assert close(mine.mean, step)
    rloo = ostrl.exact.moments(ostrl.METHODS["rloo"], policy, task, group_size=2)
    assert close(mine.covariance, rloo.covariance)


# --- wrong lines -------------------------------------------------------------------------------------------------


@pytest.mark.claim("prop-undetached-ratio")
@worlds
def test_a_ratio_with_a_graph_in_the_weight(world):
    def leaking(lp, held, o, a):
        return -((RETURNS[o, a] - 0.4) * np.exp(lp[o, a] - held[o, a]) * lp[o, a]).mean()

    _, step = world.enumerate(leaking, 1, 2)
    through_sampling = slope(
        lambda x, _: (world.P[:, None] * world.table(x) * (RETURNS - 0.4) * np.log(world.table(x))).sum(), world.theta
    )
    assert close(step, through_sampling) and not close(step, world.grad_J, 1e-3)
    for a in range(3):  # on one answer: the score times w (1 + log π)
        at = slope(lambda x, h: world.table(x) / world.table(h) * np.log(world.table(x)), world.theta)
        assert close(at[0, a], (1 + np.log(world.pi[0, a])) * world.score[0, a])


@pytest.mark.claim("prop-undetached-ratio")
@pytest.mark.parametrize("share, reversed_", [(0.999, True), (1.001, False)])
def test_the_push_turns_around_at_one_over_e(share, reversed_):
    p = share / math.e
    z = torch.tensor([p, (1 - p) / 2, (1 - p) / 2], dtype=torch.float64).log().requires_grad_()
    lp = torch.log_softmax(z, 0)[0]
    (leaking,) = torch.autograd.grad(-((lp - lp.detach()).exp() * lp), z, retain_graph=True)
    (held,) = torch.autograd.grad(-lp, z)
    assert (float(leaking @ held) < 0) == reversed_ and leaking.abs().max() > 1e-5


@pytest.mark.claim("prop-undetached-ratio")
@pytest.mark.parametrize("answers", [2, 3, 5])
def test_for_a_uniform_policy_the_leak_multiplies_the_gradient_by_one_minus_log_a(answers):
    z = torch.zeros(answers, dtype=torch.float64)
    r = torch.linspace(0, 1, answers, dtype=torch.float64) ** 2
    truth = (r - r.mean()) / answers
    step = torch.zeros(answers, dtype=torch.float64)
    for a in range(answers):
        x = z.clone().requires_grad_()
        lp = torch.log_softmax(x, 0)[a]
        step -= torch.autograd.grad(-(r[a] * (lp - lp.detach()).exp() * lp), x)[0] / answers
    assert close(step, (1 - math.log(answers)) * truth)
    assert (step @ truth < 0) == (answers >= 3)


@pytest.mark.claim("prop-undetached-ratio")
def test_an_old_log_prob_with_a_graph_gives_no_gradient_at_all():
    r = torch.tensor(RETURNS[0])
    for a in map(list, itertools.product(range(3), repeat=3)):
        z = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
        lp = torch.log_softmax(z, 0)[a]
        w = r[a] - r[a].mean()
        broken = -(w * (lp - lp).exp()).mean()
        right = -(w * (lp - lp.detach()).exp()).mean()
        assert torch.equal(broken, right)  # the value cannot tell
        assert torch.autograd.grad(broken, z, retain_graph=True)[0].abs().max() == 0
        if w.abs().max() > 0:
            assert torch.autograd.grad(right, z)[0].abs().max() > 1e-3


@pytest.mark.claim("prop-undetached-baseline")
@worlds
def test_a_baseline_with_a_graph_adds_entropy_times_its_slope(world):
    def exact_mean(lp, held, o, a):
        return -((RETURNS[o, a] - (np.exp(lp) * RETURNS).sum(1)[o]) * lp[o, a]).mean()

    for B, G in ((1, 1), (1, 2)):
        _, step = world.enumerate(exact_mean, B, G)
        assert close(step, np.einsum("o,op->p", world.P * (1 + world.entropy), world.grad_J_o))
    assert not close(step, world.grad_J, 1e-3)


@pytest.mark.claim("prop-undetached-baseline")
def test_a_learned_baseline_with_a_graph_is_raised_for_ever():
    def table(theta):  # the last two parameters are the baselines of the two prompts
        return own_logits(theta)

    world = World(table, 8, seed=2)

    def step_of(loss):
        total = np.zeros(8)
        for chance, o, a in world.batches(1, 2):
            total -= chance * slope(lambda x, h, o=o, a=a: loss(x, h, o, a), world.theta)
        return total

    def leaking(x, held, o, a):
        return -((RETURNS[o, a] - x[6:][o]) * np.log(table(x))[o, a]).mean()

    step = step_of(leaking)
    grad_b = np.eye(8)[6:]
    assert close(step, world.grad_J + np.einsum("o,op->p", world.P * world.entropy, grad_b))
    assert (step[6:] > 0).all()
    held = step_of(lambda x, h, o, a: -((RETURNS[o, a] - h[6:][o]) * np.log(table(x))[o, a]).mean())
    assert close(held, world.grad_J)


@pytest.mark.claim("prop-entropy-bonus")
@worlds
def test_four_losses_with_an_entropy_bonus(world):
    beta, b = 0.7, 0.2
    grad_H = world.P @ world.grad_H_o

    def exact_entropy(lp, o):
        return -(np.exp(lp) * lp).sum(1)[o].mean()

    def plain(lp, o, a):
        return -((RETURNS[o, a] - b) * lp[o, a]).mean()

    losses = {
        "a": (lambda lp, held, o, a: -((RETURNS[o, a] - b - beta * held[o, a]) * lp[o, a]).mean(), 1),
        "b": (lambda lp, held, o, a: -((RETURNS[o, a] - b - beta * lp[o, a]) * lp[o, a]).mean(), 2),
        "c": (lambda lp, held, o, a: plain(lp, o, a) - beta * -lp[o, a].mean(), 0),
        "d": (lambda lp, held, o, a: plain(lp, o, a) - beta * exact_entropy(lp, o), 1),
        "d, detached": (lambda lp, held, o, a: plain(lp, o, a) - beta * exact_entropy(held, o), 0),
    }
    for loss, bonuses in losses.values():
        _, step = world.enumerate(loss, 1, 2)
        assert close(step, world.grad_J + bonuses * beta * grad_H)
    assert np.abs(grad_H).max() > 1e-2


@pytest.mark.claim("prop-outer-product")
@pytest.mark.parametrize("B, G", [(1, 2), (1, 3), (2, 1), (2, 2)])
def test_the_accidental_outer_product(B, G):
    world = World(own_logits, 6)
    b = np.array([0.3, -0.2])

    def outer(weigh):
        def loss(lp, held, o, a):
            return -(weigh(RETURNS[o, a], o).reshape(-1, 1) * lp[o, a].reshape(1, -1)).mean()

        return loss

    _, step = world.enumerate(outer(lambda R, o: R - b[o]), B, G)
    assert close(step, world.grad_J / (B * G))
    if G > 1:
        for _, o, a in world.batches(B, G):
            w, s = RETURNS[o, a], world.score[o, a].reshape(-1, 6)
            got = -slope(lambda x, _, o=o, a=a: outer(lambda R, o: R)(np.log(own_logits(x)), None, o, a), world.theta)
            assert close(got, w.mean() * s.mean(0))
            w = torch.tensor(loo(RETURNS[o, a])).flatten()
            lp = torch.zeros(B * G, dtype=torch.float64, requires_grad=True)
            assert torch.autograd.grad((w[:, None] * lp).mean(), lp)[0].abs().max() < 1e-15


@pytest.mark.claim("prop-mean-over-length")
@worlds
def test_the_mean_over_tokens_climbs_return_per_token(world):
    b = np.array([0.3, -0.2])

    def climb(payoff):
        return slope(lambda x, _: (world.P[:, None] * world.table(x) * payoff).sum(), world.theta)

    _, step = world.enumerate(lambda lp, held, o, a: -((RETURNS[o, a] - b[o]) * lp[o, a] / LENGTHS[o, a]).mean(), 1, 2)
    assert close(step, climb((RETURNS - b[:, None]) / LENGTHS))
    _, step = world.enumerate(lambda lp, held, o, a: -(loo(RETURNS[o, a]) * lp[o, a] / LENGTHS[o, a]).mean(), 1, 3)
    assert close(step, climb((RETURNS - world.mean_return[:, None]) / LENGTHS))
    assert not close(step, world.grad_J, 1e-3)


@pytest.mark.claim("prop-mean-over-length")
def test_it_can_turn_the_gradient_around():
    pi, r, T = np.array([0.6, 0.3, 0.1]), np.array([0.5, 1.0, 0.0]), np.array([1.0, 3.0, 2.0])
    step, truth = pi * (r / T - pi @ (r / T)), pi * (r - pi @ r)
    assert close(step, [0.06, -0.02, -0.04]) and close(truth, [-0.06, 0.12, -0.06]) and step @ truth < 0


@pytest.mark.claim("prop-accumulation")
def test_with_the_z_of_the_batch_every_cut_gives_its_gradient_and_local_ones_do_not():
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        count = int(torch.randint(2, 9, (1,), generator=generator))
        z = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()
        a = torch.randint(0, 3, (count,), generator=generator)
        w, T = (
            torch.randn(count, generator=generator, dtype=torch.float64),
            torch.randint(1, 5, (count,), generator=generator),
        )
        part = torch.randint(0, 3, (count,), generator=generator)
        cells = [part == m for m in range(3) if bool((part == m).any())]
        lp = torch.log_softmax(z, 0)[a]
        Z = T.sum()
        (whole,) = torch.autograd.grad(-(w * lp).sum() / Z, z, retain_graph=True)
        pieces = [torch.autograd.grad(-(w[c] * lp[c]).sum() / Z, z, retain_graph=True)[0] for c in cells]
        assert close(sum(pieces), whole)
        leaf = lp.detach().requires_grad_()
        means = sum(-(w[c] * leaf[c]).sum() / T[c].sum() for c in cells) / len(cells)
        coefficient = -torch.autograd.grad(means, leaf)[0]
        local = torch.stack([torch.stack([T[c].sum() for c in cells if c[k]])[0] for k in range(count)])
        assert close(coefficient, w / (len(cells) * local))
        assert close(coefficient, w / Z) == bool((local * len(cells) == Z).all())


@pytest.mark.claim("prop-accumulation")
def test_a_mean_of_means_turns_the_pooled_filter_into_the_one_per_prompt():
    world = World(own_logits, 6, returns=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    policy = ostrl.CategoricalPolicy(torch.tensor(world.theta.reshape(2, 3)))
    task = ostrl.TableTask(torch.tensor(world.r), torch.tensor(PROMPTS))
    total, pooled, kept_counts = np.zeros(6), np.zeros(6), set()
    for chance, o, a in world.batches(2, 2):
        kept, s = world.r[o, a], world.score[o, a]
        total += chance * sum((kept[b, :, None] * s[b]).sum(0) / max(kept[b].sum(), 1) for b in range(2)) / 2
        pooled += chance * (kept[..., None] * s).sum((0, 1)) / max(kept.sum(), 1)
        # and batch by batch, the coefficients of the library's methods: what each label is multiplied by
        lp = torch.tensor(np.log(world.pi)[o, a])
        batch = Batch(
            prompts=torch.tensor(o[:, 0]),
            actions=torch.tensor(a),
            rewards=torch.tensor(kept),
            source=torch.full(a.shape, SELF),
            log_prob=lp,
            behavior_log_prob=lp,
        )
        means = np.stack([kept[b] / max(kept[b].sum(), 1) for b in range(2)]) / 2
        for name, expected in (("rest_per_prompt", means), ("rest", kept / max(kept.sum(), 1))):
            method = ostrl.METHODS[name]
            weights = method.weights(batch)
            assert close((weights / method.normalize(batch, weights)).numpy(), expected)
        kept_counts.add(tuple(kept.sum(1)))
    assert {(0.0, 0.0), (0.0, 2.0), (1.0, 2.0)} <= kept_counts  # none kept among them
    for name, mean in (("rest_per_prompt", total), ("rest", pooled)):
        assert close(ostrl.exact.moments(ostrl.METHODS[name], policy, task, 2, 2).mean, mean)
    assert not close(total, pooled, 1e-3)


@pytest.mark.claim("prop-mask-before-exp")
@pytest.mark.parametrize("dtype, bad", [(torch.float64, math.inf), (torch.float64, 1e4), (torch.float32, 200.0)])
def test_masking_after_exp_leaves_a_nan_in_the_gradient(dtype, bad):
    mask = torch.tensor([True, False, True])
    expected = torch.tensor([0.3, 0.0, -1.0], dtype=dtype).exp() * mask

    def run(f):
        x = torch.tensor([0.3, bad, -1.0], dtype=dtype, requires_grad=True)
        value = f(x)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    value, after = run(lambda x: torch.where(mask, x.exp(), 0))
    assert torch.equal(value, expected) and after[1].isnan() and torch.equal(after[[0, 2]], expected[[0, 2]])
    value, before = run(lambda x: torch.where(mask, x, 0).exp() * mask)
    assert torch.equal(value, expected) and torch.equal(before, expected)
    assert run(lambda x: x.exp() * mask)[0].isnan().any()  # and multiplying by the mask does not even save the value


@pytest.mark.claim("prop-jax-agrees")
@pytest.mark.parametrize("name", list(ostrl.METHODS))
def test_jax_gives_the_same_gradient(name):
    import jax

    jax.config.update("jax_enable_x64", True)
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    shown = torch.softmax(torch.randn(4, 6, generator=generator, dtype=torch.float64), 1)
    rewards = torch.randint(0, 3, (4, 6), generator=generator).double() / 2
    policy, task = ostrl.CategoricalPolicy(logits), ostrl.TableTask(rewards, demonstrations=shown)
    method = ostrl.METHODS[name]
    batch = method.label.sample(policy, task, 5, 4, generator)
    weights = method.weights(batch)
    Z = torch.as_tensor(method.normalize(batch, weights), dtype=torch.float64)
    o, a, w, z = batch.prompts[:, None].numpy(), batch.actions.numpy(), weights.numpy(), Z.numpy()

    def log_prob_form(table):
        return -(w / z * jax.nn.log_softmax(table)[o, a]).sum()

    def ratio_form(table):
        lp = jax.nn.log_softmax(table)[o, a]
        return -(w / z * jax.numpy.exp(lp - jax.lax.stop_gradient(lp))).sum()

    ostrl.surrogate_loss(policy.log_prob(batch.prompts, batch.actions), weights, Z).backward()
    ours = policy.logits.grad.numpy()
    leaf = logits.clone().requires_grad_()
    lp = torch.log_softmax(leaf, 1)[o, a]
    (by_ratio,) = torch.autograd.grad(-(weights / Z * (lp - lp.detach()).exp()).sum(), leaf)
    for loss, torch_grad in ((log_prob_form, ours), (ratio_form, by_ratio.numpy())):
        theirs = np.asarray(jax.grad(loss)(logits.numpy()))
        assert theirs.dtype == np.float64
        assert np.abs(theirs - torch_grad).max() < 1e-15 * max(1, np.abs(w).sum())
    assert np.abs(ours).max() > 1e-3


# --- entropy -----------------------------------------------------------------------------------------------------


def covariance(pi, x, y):
    """Of each row, with probabilities ``pi``."""
    return (pi * x * y).sum(-1) - (pi * x).sum(-1) * (pi * y).sum(-1)


@pytest.mark.claim("thm-entropy-rate")
@worlds
def test_the_entropys_rate_is_a_covariance(world):
    v = np.random.default_rng(3).normal(size=world.theta.size)
    assert close(world.grad_H_o @ v, -covariance(world.pi, np.log(world.pi), world.score @ v))


@pytest.mark.claim("thm-entropy-rate")
def test_the_rates_of_both_flows():
    world = World(own_logits, 6)
    log_pi, centered = np.log(world.pi), RETURNS - world.mean_return[:, None]
    v = np.random.default_rng(4).normal(size=(2, 3))
    assert close(world.grad_H_o @ v.ravel(), -covariance(world.pi, log_pi, v))
    plain = world.grad_H_o @ world.grad_J
    assert close(plain, -world.P * covariance(world.pi, log_pi, world.pi * centered))
    fisher = np.einsum("o,oa,oap,oaq->pq", world.P, world.pi, world.score, world.score)
    natural = world.grad_H_o @ (np.linalg.pinv(fisher, rcond=1e-10) @ world.grad_J)
    assert close(natural, -covariance(world.pi, log_pi, RETURNS), 1e-11)
    assert not close(plain, natural, 1e-2)


@pytest.mark.claim("thm-entropy-rate")
@worlds
def test_one_step_changes_the_entropy_to_first_order_by_that(world):
    def entropy(theta):
        pi = world.table(theta)
        return -(pi * np.log(pi)).sum(1)

    for v in (world.grad_J, 0.3 * np.random.default_rng(8).normal(size=world.theta.size)):
        rate, errors = -covariance(world.pi, np.log(world.pi), world.score @ v), []
        for eta in (1e-3, 5e-4, 2.5e-4):
            errors.append(np.abs(entropy(world.theta + eta * v) - world.entropy - eta * rate).max())
        assert 3.8 < errors[0] / errors[1] < 4.2 and 3.8 < errors[1] / errors[2] < 4.2


@pytest.mark.claim("thm-entropy-rate")
def test_along_the_natural_flow_the_entropy_is_the_integral_of_its_rate():
    """The exact flow is e^{tr} on each answer; Simpson's rule over a long stretch of it, prompt by prompt."""
    z = np.random.default_rng(10).normal(size=(2, 3))
    times = np.linspace(0, 3, 2001)
    path = softmax(z + times[:, None, None] * RETURNS)
    rate = -covariance(path, np.log(path), RETURNS)
    weights = np.where(np.arange(2001) % 2 == 1, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    integral = weights @ rate * (times[1] / 3)
    ends = -(path[[0, -1]] * np.log(path[[0, -1]])).sum(-1)
    assert close(ends[1] - ends[0], integral, 1e-10) and np.abs(integral).min() > 1e-2


@pytest.mark.claim("cor-loss-is-entropy-rate")
def test_the_expected_loss_is_the_velocity_of_the_entropy():
    for seed in range(5):
        world = World(own_logits, 6, seed)
        fisher = np.einsum("o,oa,oap,oaq->pq", world.P, world.pi, world.score, world.score)
        velocity = world.P @ world.grad_H_o @ (np.linalg.pinv(fisher, rcond=1e-10) @ world.grad_J)
        for G in (2, 3):
            value, _ = world.enumerate(log_prob_form(lambda R, o: loo(R)), 1, G)
            assert close(value, velocity, 1e-11)


def entropy_of(p):
    p = p[p > 0]
    return -(p * np.log(p)).sum()


@pytest.mark.claim("prop-entropy-price")
def test_the_account_of_the_entropy_and_where_it_peaks():
    rng = np.random.default_rng(6)
    for _ in range(10):
        pi, r = rng.dirichlet(np.ones(5)), np.array([1.0, 1.0, 0.0, 0.0, 0.0])
        plus, minus = entropy_of(pi[:2] / pi[:2].sum()), entropy_of(pi[2:] / pi[2:].sum())
        star = math.exp(plus) / (math.exp(plus) + math.exp(minus))
        path = []
        for t in np.linspace(-12, 12, 1501):  # along the natural gradient, forward and backward in time
            there = softmax(np.log(pi) + t * r)
            p = there @ r
            account = entropy_of(np.array([p, 1 - p])) + p * plus + (1 - p) * minus
            assert close(entropy_of(there), account)
            path.append((account, p))
        assert abs(max(path)[1] - star) < 1e-2
        assert abs(entropy_of(softmax(np.log(pi) + 60 * r)) - plus) < 1e-12


@pytest.mark.claim("prop-entropy-price")
def test_the_natural_gradient_moves_all_right_logits_alike_and_the_gradient_spends_everything():
    z, r = np.log(np.array([0.6, 0.2, 0.16, 0.04])), np.array([0.0, 0.0, 1.0, 1.0])
    pi = softmax(z)
    F = np.diag(pi) - np.outer(pi, pi)
    velocity = np.linalg.pinv(F) @ (F @ r)
    assert close(velocity[2], velocity[3], 1e-11) and close(velocity[0], velocity[1], 1e-11)
    assert velocity[2] - velocity[0] > 0.1
    entropies, step = [], 0.05
    for _ in range(60_000):  # exact ascent; steps grow as the slopes shrink
        pi = softmax(z)
        velocity = pi * (r - pi @ r)
        step = min(0.05 / np.abs(velocity).max(), step * 1.01)
        z = z + step * velocity
        entropies.append(entropy_of(pi))
    right = pi[2:] / pi[2:].sum()
    assert entropies[-1] < 1e-3 and right[0] > 0.999
    assert entropy_of(softmax(np.log([0.6, 0.2, 0.16, 0.04]) + 60 * r)) > 0.5
