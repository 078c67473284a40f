"""The claims of chapter 03, each against every batch that can be drawn, listed in NumPy.

Derivatives are taken by complex steps, ``Im f(x + ih) / h``: no autograd, exact to rounding. ``ostrl`` is compared
with the lists where it computes the same.
"""

import itertools
import math

import numpy as np
import pytest
import torch

import ostrl

H = 1e-30
FEATURES = np.random.default_rng(7).normal(size=(2, 2))


def softmax(z):
    e = np.exp(z)
    return e / e.sum(-1, keepdims=True)


def own_logits(theta):
    """Two prompts with three answers and logits of their own."""
    return softmax(theta.reshape(2, 3))


def network(theta):
    """Two prompts whose three logits come from one small network."""
    w, v = theta[:8].reshape(2, 4), theta[8:].reshape(4, 3)
    return softmax(np.tanh(FEATURES @ w) @ v)


TABLES = [pytest.param(own_logits, 6, id="own logits"), pytest.param(network, 20, id="network")]
PROMPTS = np.array([0.3, 0.7])
RETURNS = np.array([[1.0, -0.5, 2.0], [0.0, 1.0, 0.25]])


def jacobian(f, theta):
    """∂f/∂θ, the parameter's index last."""
    steps = theta[:, None] + 1j * H * np.eye(len(theta))
    return np.stack([f(steps[:, k]).imag / H for k in range(len(theta))], axis=-1)


class Problem:
    """A policy at some θ: its table, its scores, and the gradient of J taken from J itself."""

    def __init__(self, table, size, seed=0, returns=RETURNS, prompts=PROMPTS):
        theta = np.random.default_rng(seed).normal(size=size)
        self.pi, self.P, self.r = table(theta), prompts, returns
        self.s = jacobian(lambda x: np.log(table(x)), theta)
        self.gradient = jacobian(lambda x: (prompts[:, None] * table(x) * returns).sum(), theta)
        self.second = np.einsum("o,oa,oa,oap,oaq->pq", prompts, self.pi, returns**2, self.s, self.s)

    def every_batch(self, B, G):
        """Each draw of B prompts with G answers: its probability, and every R·s in it, [B, G, P]."""
        answers = range(self.pi.shape[1])
        groups = [
            (self.P[o] * np.prod(self.pi[o, list(a)]), self.r[o, list(a), None] * self.s[o, list(a)])
            for o in range(len(self.P))
            for a in itertools.product(answers, repeat=G)
        ]
        for batch in itertools.product(groups, repeat=B):
            yield math.prod(p for p, _ in batch), np.stack([x for _, x in batch])

    def moments(self, B, G):
        """Mean and covariance of the estimate, over every batch."""
        probs, estimates = zip(*((p, x.mean((0, 1))) for p, x in self.every_batch(B, G)), strict=True)
        probs, estimates = np.array(probs), np.array(estimates)
        assert np.isclose(probs.sum(), 1, atol=1e-12)
        mean = probs @ estimates
        return mean, (probs * (estimates - mean).T) @ (estimates - mean)


def close(a, b, tol=1e-12):
    return np.allclose(a, b, rtol=0, atol=tol)


SIZES = [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)]


@pytest.mark.claim("thm-reinforce-unbiased")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("B, G", SIZES)
def test_the_mean_over_every_batch_is_the_gradient(table, size, B, G):
    problem = Problem(table, size)
    assert close(problem.moments(B, G)[0], problem.gradient)


@pytest.mark.claim("thm-reinforce-unbiased")
def test_it_needs_answers_from_the_policy_that_is_differentiated():
    problem = Problem(own_logits, 6)
    problem.pi = problem.pi[:, ::-1]  # somebody else's answers, scored with the policy
    assert not close(problem.moments(1, 2)[0], problem.gradient, 1e-3)


@pytest.mark.claim("thm-reinforce-unbiased")
@pytest.mark.parametrize("B, G", [(1, 3), (2, 2)])
def test_the_package_computes_the_same_moments(B, G):
    problem = Problem(own_logits, 6)
    policy = ostrl.CategoricalPolicy(torch.tensor(problem.pi).log())
    task = ostrl.TableTask(torch.tensor(RETURNS), prompt_probs=torch.tensor(PROMPTS))
    got = ostrl.exact.moments(ostrl.METHODS["reinforce"], policy, task, group_size=G, num_prompts=B)
    mean, covariance = problem.moments(B, G)
    assert close(got.mean.numpy(), mean)
    assert close(got.covariance.numpy(), covariance)


@pytest.mark.claim("thm-covariance-pairs")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("N", [1, 2, 3, 4])
def test_covariance_of_independent_pairs(table, size, N):
    problem = Problem(table, size)
    expected = (problem.second - np.outer(problem.gradient, problem.gradient)) / N
    assert close(problem.moments(N, 1)[1], expected)


def between_and_within(problem):
    x = problem.r[..., None] * problem.s
    g = (problem.pi[..., None] * x).sum(1)
    centered = g - problem.P @ g
    between = np.einsum("o,op,oq->pq", problem.P, centered, centered)
    own = x - g[:, None]
    return between, np.einsum("o,oa,oap,oaq->pq", problem.P, problem.pi, own, own)


@pytest.mark.claim("thm-covariance-groups")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("B, G", SIZES)
def test_covariance_of_groups(table, size, B, G):
    problem = Problem(table, size)
    between, within = between_and_within(problem)
    assert close(problem.moments(B, G)[1], (between + within / G) / B)


@pytest.mark.claim("cor-root-n")
@pytest.mark.parametrize("N", [1, 2, 4])
def test_the_error_falls_as_one_over_the_root_of_n(N):
    problem = Problem(network, 20)
    square = sum(p * ((x.mean((0, 1)) - problem.gradient) ** 2).sum() for p, x in problem.every_batch(N, 1))
    one = np.einsum("o,oa,oa,oa->", PROMPTS, problem.pi, RETURNS**2, (problem.s**2).sum(-1))
    assert close(math.sqrt(square), math.sqrt(one - problem.gradient @ problem.gradient) / math.sqrt(N))


@pytest.mark.claim("cor-gradient-norm")
@pytest.mark.parametrize("method", ["reinforce", "rloo"])
def test_noise_makes_gradients_look_long(method):
    problem = Problem(own_logits, 6)
    policy = ostrl.CategoricalPolicy(torch.tensor(problem.pi).log())
    task = ostrl.TableTask(torch.tensor(RETURNS), prompt_probs=torch.tensor(PROMPTS))
    square, trace, truth = 0.0, 0.0, problem.gradient @ problem.gradient
    for prompt, actions in itertools.product(range(2), itertools.product(range(3), repeat=3)):
        a = list(actions)
        prob = PROMPTS[prompt] * problem.pi[prompt, a].prod()
        rewards = RETURNS[prompt, a]
        weights = rewards if method == "reinforce" else rewards - (rewards.sum() - rewards) / 2
        estimate = (weights[:, None] * problem.s[prompt, a]).mean(0)
        square += prob * (estimate @ estimate)
        trace += prob * ((estimate - problem.gradient) ** 2).sum()
    moments = ostrl.exact.moments(ostrl.METHODS[method], policy, task, group_size=3)
    snr = float(ostrl.diagnostics.snr(moments.mean, moments.covariance))
    assert close(square, truth + trace)
    assert close(square, truth * (1 + 1 / snr))


def coverage(pi, s, r, N, z):
    """Probability that ĝ_j ± z·se_j holds the truth, for each coordinate, over every batch of N answers."""
    truth = (pi * r) @ s
    held = np.zeros(s.shape[1])
    for a in itertools.product(range(len(pi)), repeat=N):
        x = r[list(a), None] * s[list(a)]
        se = x.std(0, ddof=1) / math.sqrt(N)
        held += pi[list(a)].prod() * (abs(x.mean(0) - truth) <= z * se)
    return held, truth


@pytest.mark.claim("prop-silent-interval")
@pytest.mark.parametrize("z", [1.96, 1e6])
@pytest.mark.parametrize("N", [2, 5, 7])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.4])
def test_a_batch_of_zeros_hides_its_error(p, N, z):
    pi = np.array([p / 3, 2 * p / 3, 1 - p])  # two right answers, one wrong
    held, truth = coverage(pi, np.eye(3) - pi, np.array([1.0, 1.0, 0.0]), N, z)
    assert (abs(truth) > 1e-3).all()
    assert (held <= 1 - (1 - p) ** N + 1e-12).all()


@pytest.mark.claim("prop-silent-interval")
def test_the_numbers_of_the_text():
    """p = 0.01, 8 answers: the 95 % interval of the only right answer covers in 7.7 % of batches."""
    pi = np.array([0.01, 0.99])
    held, _ = coverage(pi, np.eye(2) - pi, np.array([1.0, 0.0]), 8, 1.96)
    assert close(held, 0.0772, 1e-4)
    assert close(1 - 0.99**8, 0.0773, 1e-4)


def one_over_snr(pi, s, r):
    """tr Cov / ‖E g‖² of a single answer."""
    g = (pi * r) @ s
    return ((pi * r**2) @ (s**2).sum(1) - g @ g) / (g @ g)


@pytest.mark.claim("prop-snr-success-rate")
@pytest.mark.parametrize("seed", range(8))
def test_answers_for_a_wanted_snr(seed):
    rng = np.random.default_rng(seed)
    theta, weights = rng.normal(size=4), rng.normal(size=(4, 5))

    def table(x):
        return softmax(np.tanh(x) @ weights)

    pi, s = table(theta), jacobian(lambda x: np.log(table(x)), theta)
    for right in ([0], [1, 2], [0, 3, 4]):
        r = np.isin(np.arange(5), right).astype(float)
        p, share = pi @ r, pi * r / (pi @ r)
        m = share @ s
        v = share @ ((s - m) ** 2).sum(1)
        needed = one_over_snr(pi, s, r)
        assert close(needed, 1 / p - 1 + v / (p * (m @ m)), 1e-9 * needed)
        assert needed >= 1 / p - 1 - 1e-9
        assert (needed <= 1 / p - 1 + 1e-9) == (len(right) == 1)  # different answers have different scores here


@pytest.mark.claim("prop-snr-success-rate")
def test_several_right_answers_with_one_score_need_no_more():
    features = np.array([[1.0, 0.5], [1.0, 0.5], [-0.3, 1.0], [0.2, -1.0]])  # the first two move together
    theta = np.array([0.3, -0.7])
    pi = softmax(features @ theta)
    s = features - pi @ features
    r = np.array([1.0, 1.0, 0.0, 0.0])
    assert close(one_over_snr(pi, s, r), 1 / (pi @ r) - 1)
    impossible = np.append(pi, 0.0)  # a right answer of probability zero, with another score, changes nothing
    assert close(one_over_snr(impossible, np.vstack([s, [5.0, 5.0]]), np.append(r, 1.0)), 1 / (pi @ r) - 1)


@pytest.mark.claim("prop-snr-success-rate")
def test_snr_grows_in_proportion_to_the_answers():
    problem = Problem(own_logits, 6, returns=np.array([[0.0, 1.0, 1.0]] * 2), prompts=np.array([1.0, 0.0]))
    one, four = (problem.gradient @ problem.gradient / np.trace(problem.moments(1, N)[1]) for N in (1, 4))
    assert close(four, 4 * one, 1e-10)


@pytest.mark.claim("prop-silent-group")
@pytest.mark.parametrize("G", [2, 3, 5])
def test_silent_groups(G):
    pi = np.array([0.15, 0.1, 0.5, 0.25])
    r = np.array([1.0, 1.0, 0.0, 0.0])
    s = np.eye(4) - pi
    p, gradient = pi @ r, (pi * r) @ s
    silent, all_right, given_right, all_wrong = 0.0, 0.0, np.zeros(4), 0.0
    for a in itertools.product(range(4), repeat=G):
        prob, rewards = pi[list(a)].prod(), r[list(a)]
        equal = len(set(rewards)) == 1
        silent += prob * equal
        for centered in ("leave_one_out", "mean_baseline", "group_normalized"):
            weights = getattr(ostrl.weighting, centered)(torch.tensor(rewards)[None])
            assert bool((weights == 0).all()) == equal
        estimate = (rewards[:, None] * s[list(a)]).mean(0)
        if rewards.all():
            all_right += prob
            given_right += prob * estimate
        if not rewards.any():
            all_wrong += prob
            assert not estimate.any()
    assert close(silent, p**G + (1 - p) ** G)
    assert close(all_wrong, (1 - p) ** G)
    assert close(given_right / all_right, gradient / p)


@pytest.mark.claim("cor-speaking-prompts")
def test_prompts_that_speak():
    rates, G = [0.95, 0.5, 0.02], 3
    expected = 0.0
    for outcome in itertools.product(itertools.product((0, 1), repeat=G), repeat=len(rates)):
        prob = math.prod(p if x else 1 - p for p, group in zip(rates, outcome, strict=True) for x in group)
        expected += prob * sum(len(set(group)) == 2 for group in outcome)
    assert close(expected, sum(1 - p**G - (1 - p) ** G for p in rates))


@pytest.mark.claim("prop-group-size")
@pytest.mark.parametrize("seed", range(20))
def test_the_best_group_size(seed):
    between, within, prompt, answer, budget = np.exp(np.random.default_rng(seed).normal(size=5) * 1.5)

    def noise(G, between=between):
        return (between + within / G) / (budget / (prompt + answer * G))

    best = math.sqrt(prompt * within / (answer * between))
    least = (math.sqrt(prompt * between) + math.sqrt(answer * within)) ** 2 / budget
    assert close(noise(best), least, 1e-12 * least)
    assert (noise(best * np.exp(np.linspace(-5, 5, 1001))) >= least * (1 - 1e-12)).all()
    whole = min(range(1, 2000), key=noise)
    assert whole == next(G for G in itertools.count(1) if best**2 <= G * (G + 1))
    without = [noise(G, between=0.0) for G in range(1, 50)]
    assert all(x > y for x, y in itertools.pairwise(without))


@pytest.mark.claim("prop-group-size")
def test_at_a_fixed_number_of_answers_one_answer_a_prompt_is_best():
    problem = Problem(network, 20)
    between, within = (np.trace(x) for x in between_and_within(problem))
    traces = [np.trace(problem.moments(4 // G, G)[1]) for G in (1, 2, 4)]
    assert close(traces, [(G * between + within) / 4 for G in (1, 2, 4)])
    assert traces[0] < traces[1] < traces[2]


@pytest.mark.claim("prop-stale-answers")
@pytest.mark.parametrize("N", [1, 3])
def test_stale_answers(N):
    problem = Problem(network, 20)
    q = Problem(network, 20, seed=1).pi
    rho = problem.pi / q
    square = np.einsum("o,oa,oa,oa->", PROMPTS, problem.pi, rho, RETURNS**2 * (problem.s**2).sum(-1))
    stale = Problem(network, 20)
    stale.pi, stale.r = q, rho * RETURNS  # answers from q, their returns weighed
    mean, covariance = stale.moments(N, 1)
    assert close(mean, problem.gradient)
    assert close(np.trace(covariance), (square - problem.gradient @ problem.gradient) / N)
    factor = (PROMPTS[:, None] * q * rho**2).sum()
    assert close(factor, (PROMPTS[:, None] * problem.pi * rho).sum())
    assert close(factor, 1 + (PROMPTS[:, None] * q * (rho - 1) ** 2).sum())
    assert factor > 1.01


@pytest.mark.claim("prop-stale-answers")
def test_the_factor_is_exact_without_correlation():
    pi, q = np.array([0.3, 0.2, 0.5]), np.array([0.2, 0.3, 0.5])
    rho, factor = pi / q, (pi**2 / q).sum()
    flat = np.array([2.0, 2.0, 2.0])  # R²‖s‖² equal for all answers: uncorrelated with anything
    assert close((q * rho**2) @ flat, factor * (pi @ flat))
    pull = pi * (rho - factor)
    crooked = np.array([2.0, 1.0, -(2.0 * pull[0] + pull[1]) / pull[2]])  # not flat, and made uncorrelated under π
    assert crooked[2] > 0
    assert close((pi * (rho - pi @ rho)) @ crooked, 0)
    assert close((q * rho**2) @ crooked, factor * (pi @ crooked))


@pytest.mark.claim("prop-reuse")
@pytest.mark.parametrize("seed", range(20))
def test_when_to_sample_afresh(seed):
    rng = np.random.default_rng(seed)
    d = np.concatenate([[1.0], 1 + np.cumsum(rng.exponential(size=60) * rng.integers(0, 2, size=60) * 0.2)])
    c_s, c_l = rng.exponential() * rng.choice([0.05, 1, 10]), rng.exponential() + 0.1
    price = [(c_s + K * c_l) / (1 / d[:K]).sum() for K in range(1, 60)]  # price[K - 1]
    lower = [bool(price[K] < price[K - 1] * (1 - 1e-13)) for K in range(1, 59)]
    assert lower == [bool(c_l * d[K] < price[K - 1] * (1 - 1e-13)) for K in range(1, 59)]
    assert lower == sorted(lower, reverse=True)  # once it stops falling it never falls again
    once = min(price) >= price[0] * (1 - 1e-12)
    assert once == (c_s <= (d[1] - 1) * c_l * (1 + 1e-12))
