"""The claims of chapter 03, each against every batch that can be drawn, listed in NumPy.

Derivatives are taken by complex steps, ``Im f(x + ih) / h``: no autograd, exact to rounding. ``ostrl`` is compared
with the lists where it computes the same.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import TABLES, jacobian, network, own_logits, softmax

import ostrl

PROMPTS = np.array([0.3, 0.7])
RETURNS = np.array([[1.0, -0.5, 2.0], [0.0, 1.0, 0.25]])


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
def test_it_needs_returns_that_do_not_depend_on_the_parameters():
    theta = np.random.default_rng(0).normal(size=6)
    problem = Problem(own_logits, 6, returns=own_logits(theta))  # the teacher grades by π itself
    moving = jacobian(lambda x: (PROMPTS[:, None] * own_logits(x) ** 2).sum(), theta)
    assert close(problem.moments(1, 2)[0], problem.gradient)
    assert not close(problem.gradient, moving, 1e-3)


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


@pytest.mark.claim("thm-covariance-groups")
def test_it_needs_prompts_drawn_with_replacement():
    problem = Problem(own_logits, 6, prompts=np.array([0.5, 0.5]))
    between, within = between_and_within(problem)
    groups = [[(problem.pi[o, a], problem.r[o, a] * problem.s[o, a]) for a in range(3)] for o in range(2)]
    mean, square = np.zeros(6), 0.0
    for (p, x), (q, y) in itertools.product(*groups):  # one epoch: each prompt once, an answer each
        mean += p * q * (x + y) / 2
        square += p * q * (((x + y) / 2) ** 2).sum()
    assert close(mean, problem.gradient)
    assert close(square - mean @ mean, np.trace(within) / 2)
    assert np.trace(between) > 1e-3


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


@pytest.mark.claim("cor-gradient-norm")
def test_without_noise_gradients_have_their_length():
    """Two answers whose R·s agree: every sample gives the gradient, and 1/SNR is read as 0."""
    pi, r = np.array([0.7, 0.3]), np.array([-0.7, 0.3])
    products = r[:, None] * (np.eye(2) - pi)
    assert close(products, pi @ products)
    truth, square = pi @ products, pi @ (products**2).sum(1)
    assert close(square, truth @ truth) and square > 0.05


def coverage(pi, s, r, N, t):
    """Probability that ĝ_j ± t·se_j holds the truth, for each coordinate, over every batch of N answers."""
    truth = (pi * r) @ s
    held = np.zeros(s.shape[1])
    for a in itertools.product(range(len(pi)), repeat=N):
        x = r[list(a), None] * s[list(a)]
        se = x.std(0, ddof=1) / math.sqrt(N)
        held += pi[list(a)].prod() * (abs(x.mean(0) - truth) <= t * se)
    return held, truth


@pytest.mark.claim("prop-silent-interval")
@pytest.mark.parametrize("t", [1.96, 1e6])
@pytest.mark.parametrize("N", [2, 5, 7])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.4])
def test_a_batch_of_zeros_hides_its_error(p, N, t):
    pi = np.array([p / 3, 2 * p / 3, 1 - p])  # two right answers, one wrong
    held, truth = coverage(pi, np.eye(3) - pi, np.array([1.0, 1.0, 0.0]), N, t)
    assert (abs(truth) > 1e-3).all()
    assert (held <= 1 - (1 - p) ** N + 1e-12).all()


@pytest.mark.claim("prop-silent-interval")
def test_the_numbers_of_the_text():
    """p = 0.01, 8 answers: the 95 % interval of the only right answer covers in 7.7 % of batches."""
    pi = np.array([0.01, 0.99])
    held, _ = coverage(pi, np.eye(2) - pi, np.array([1.0, 0.0]), 8, 1.96)
    assert close(held, 0.0772, 1e-4)
    assert close(1 - 0.99**8, 0.0773, 1e-4)


def exact_coverage(p, N):
    """Coverage of the 95 % interval with one right answer, from the binomial distribution of the right ones."""
    right = np.arange(N + 1)
    log_choose = np.array([math.lgamma(N + 1) - math.lgamma(k + 1) - math.lgamma(N - k + 1) for k in right])
    mean = right / N
    held = abs(mean - p) <= 1.96 * np.sqrt(mean * (1 - mean) / (N - 1))
    return np.exp(log_choose + right * math.log(p) + (N - right) * math.log(1 - p))[held].sum()


@pytest.mark.claim("prop-silent-interval")
@pytest.mark.parametrize("p, N", [(0.3, 5), (0.1, 7)])
def test_with_one_right_answer_the_coordinates_hold_or_miss_together(p, N):
    pi = np.array([p, 0.6 * (1 - p), 0.4 * (1 - p)])
    held, _ = coverage(pi, np.eye(3) - pi, np.array([1.0, 0.0, 0.0]), N, 1.96)
    assert close(held, exact_coverage(p, N))


@pytest.mark.claim("prop-silent-interval")
def test_a_handful_is_not_enough_and_twenty_are():
    """The text's rule: 5 right answers expected, about 87 %; 20 right and 20 wrong, within a few percent of 95."""
    assert all(0.86 < exact_coverage(5 / N, N) < 0.90 for N in (50, 100, 500, 1000, 5000))
    for N in (40, 41, 60, 100, 200, 500, 1000, 2000):
        assert all(0.915 < exact_coverage(p, N) < 0.965 for p in np.linspace(20 / N, 0.5, 25))


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


@pytest.mark.claim("prop-snr-success-rate")
def test_answers_for_a_wanted_snr_with_many_prompts():
    problem = Problem(network, 20, returns=np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    joint = PROMPTS[:, None] * problem.pi * problem.r
    p = joint.sum()
    m = np.einsum("oa,oaj->j", joint / p, problem.s)
    v = ((joint / p)[..., None] * (problem.s - m) ** 2).sum()
    needed = np.trace(problem.moments(1, 1)[1]) / (problem.gradient @ problem.gradient)
    assert close(needed, 1 / p - 1 + v / (p * (m @ m)), 1e-10 * needed)


@pytest.mark.claim("prop-silent-group")
def test_how_often_small_and_inverse_groups_speak():
    """The text: about G p while that is small, about 63 % at G = 1/p."""
    assert abs((1 - 0.001**8 - 0.999**8) / 0.008 - 1) < 0.01
    assert all(abs(1 - p ** round(1 / p) - (1 - p) ** round(1 / p) - (1 - math.exp(-1))) < 0.005 for p in (0.01, 0.001))


@pytest.mark.claim("prop-silent-group")
@pytest.mark.parametrize("right", [[], [0, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("G", [2, 3, 5])
def test_silent_groups(G, right):
    pi = np.array([0.15, 0.1, 0.5, 0.25])
    r = np.isin(np.arange(4), right).astype(float)
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
    if p > 0:
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

    def noise(G, between=between, within=within):
        return (between + within / G) / (budget / (prompt + answer * G))

    best = math.sqrt(prompt * within / (answer * between))
    least = (math.sqrt(prompt * between) + math.sqrt(answer * within)) ** 2 / budget
    assert close(noise(best), least, 1e-12 * least)
    assert (noise(best * np.exp(np.linspace(-5, 5, 1001))) >= least * (1 - 1e-12)).all()
    assert max(noise(best / 2), noise(best * 2)) <= 1.125 * least * (1 + 1e-12)
    whole = min(range(1, 2000), key=noise)
    assert whole == next(G for G in itertools.count(1) if best**2 <= G * (G + 1))
    assert noise(whole) < noise(whole + 1) * (1 - 1e-13)  # no tie among random numbers
    without = [noise(G, between=0.0) for G in range(1, 50)]
    assert all(x > y for x, y in itertools.pairwise(without))
    constant = [noise(G, within=0.0) for G in range(1, 50)]
    assert all(x < y for x, y in itertools.pairwise(constant))


@pytest.mark.claim("prop-group-size")
def test_at_a_fixed_number_of_answers_one_answer_a_prompt_is_best():
    problem = Problem(network, 20)
    between, within = (np.trace(x) for x in between_and_within(problem))
    traces = [np.trace(problem.moments(4 // G, G)[1]) for G in (1, 2, 4)]
    assert close(traces, [(G * between + within) / 4 for G in (1, 2, 4)])
    assert traces[0] < traces[1] < traces[2]


@pytest.mark.claim("prop-group-size")
@pytest.mark.parametrize("G", [1, 2, 5])
def test_two_group_sizes_tie_where_the_square_is_their_product(G):
    noise = [(1 + G * (G + 1) / g) * (1 + g) for g in range(1, 20)]  # G*² = G (G + 1)
    assert close(noise[G - 1], noise[G])
    assert all(x > noise[G] + 1e-3 for g, x in enumerate(noise, 1) if g not in (G, G + 1))


@pytest.mark.claim("prop-group-size")
def test_without_variance_between_prompts_only_the_number_of_answers_counts():
    problem = Problem(network, 20, prompts=np.array([1.0, 0.0]))
    assert close(*(np.trace(problem.moments(4 // G, G)[1]) for G in (1, 4)))


@pytest.mark.claim("prop-group-size")
def test_the_variance_of_group_means_holds_a_part_of_the_variance_within():
    """The estimates of the text, over every batch of two prompts with two answers."""
    problem = Problem(own_logits, 6)
    between, within = (np.trace(x) for x in between_and_within(problem))
    means = inner = 0.0
    for prob, x in problem.every_batch(2, 2):
        means += prob * x.mean(1).var(0, ddof=1).sum()
        inner += prob * x.var(1, ddof=1).sum(-1).mean()
    assert close(means, between + within / 2)
    assert close(inner, within)


@pytest.mark.claim("prop-stale-answers")
@pytest.mark.parametrize("N, excess", [(1, 0.116), (2, 0.063), (8, 0.017)])
def test_it_needs_parameters_that_do_not_depend_on_the_answers(N, excess):
    """A step of 1/2 with N answers, then the same answers again: the running example, over every sample."""
    pi = np.array([0.6, 0.3, 0.1])
    reused, gradient = np.zeros(3), np.zeros(3)
    for a in itertools.product(range(3), repeat=N):
        prob, r = pi[list(a)].prod(), np.array([float(x == 1) for x in a])
        now = softmax(np.log(pi) + 0.5 * (r[:, None] * (np.eye(3) - pi)[list(a)]).mean(0))
        rho = (now / pi)[list(a)]
        reused += prob * ((rho * r)[:, None] * (np.eye(3) - now)[list(a)]).mean(0)
        gradient += prob * now[1] * (np.eye(3)[1] - now)
    assert abs(reused[1] / gradient[1] - 1 - excess) < 5e-4


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


@pytest.mark.claim("prop-stale-answers")
def test_no_variance_only_for_the_same_policy():
    pi = np.array([0.4, 0.5, 0.1])
    for q in ([0.4, 0.5, 0.1], [0.5, 0.4, 0.1], [0.41, 0.5, 0.09], [0.1, 0.15, 0.75]):
        assert close((pi**2 / q).sum(), 1) == close(pi, q)


@pytest.mark.claim("prop-stale-answers")
@pytest.mark.parametrize("now, then", [(0.68, 0.3), (0.3, 0.68), (0.5, 0.1)])
def test_with_one_right_answer_the_noise_is_a_ratio_of_odds(now, then):
    pi, q = np.array([0.4 * (1 - now), now, 0.6 * (1 - now)]), np.array([0.7 * (1 - then), then, 0.3 * (1 - then)])
    s = np.eye(3)[1] - pi
    fresh, stale = (x * (s @ s) - now**2 * (s @ s) for x in (now, now**2 / then))
    assert close(stale / fresh, now / (1 - now) / (then / (1 - then)))
    assert (stale < fresh) == (then > now)
    assert close(np.trace(covariance_of_one(pi, q)), stale)


def covariance_of_one(pi, q):
    """Of ρ R s for one answer from q, answer 1 being right; by listing the three answers."""
    x = (pi / q * np.eye(3)[1])[:, None] * (np.eye(3) - pi)
    return np.einsum("a,aj,ak->jk", q, x - q @ x, x - q @ x)


@pytest.mark.claim("prop-stale-answers")
def test_an_old_policy_that_was_right_more_often_can_be_worse():
    """With two right answers the ratio of odds is no rule."""
    pi, q, r = np.array([0.4, 0.4, 0.2]), np.array([0.89, 0.01, 0.1]), np.array([1.0, 1.0, 0.0])
    s = np.eye(3) - pi
    signal = ((pi * r) @ s) @ ((pi * r) @ s)
    fresh, stale = ((x * r) @ (s**2).sum(1) - signal for x in (pi, pi**2 / q))
    assert q @ r > pi @ r and stale / fresh > (pi**2 / q).sum() > 16


@pytest.mark.claim("prop-reuse")
def test_ties_and_prices_that_fall_forever():
    d = [1.0, 1.2, 1.5]
    price = [(0.2 + K) / sum(1 / x for x in d[:K]) for K in (1, 2, 3)]  # c_s = (d_1 - 1) c_l
    assert close(price[0], price[1]) and price[2] > price[1] + 0.01
    forever = [(0.5 + K) / K for K in range(1, 100)]  # answers that never age
    assert all(x > y for x, y in itertools.pairwise(forever))


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
