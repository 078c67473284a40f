"""The claims of chapter 04, each against every group that can be drawn, listed in NumPy.

Derivatives are taken by complex steps, ``Im f(x + ih) / h``: no autograd, exact to rounding. ``ostrl`` is compared
with the lists where it computes the same.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import TABLES, jacobian, own_logits, softmax

import ostrl
from ostrl import exact, weighting

GRADED = np.array([[1.0, -0.5, 2.0], [0.0, 1.0, 0.25]])
BINARY = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])


class Problem:
    """A policy at some θ: its table, its scores, and the gradient of J taken from J itself."""

    def __init__(self, table=own_logits, size=6, seed=0, returns=GRADED, prompts=(0.3, 0.7)):
        theta = np.random.default_rng(seed).normal(size=size)
        self.pi, self.P, self.r = table(theta), np.array(prompts), returns
        self.s = jacobian(lambda x: np.log(table(x)), theta)
        self.g = jacobian(lambda x: (table(x) * returns).sum(1), theta)  # ∇J_o
        self.gradient = self.P @ self.g
        self.J = (self.pi * returns).sum(1)
        self.length = (self.s**2).sum(-1)

    def groups(self, o, G):
        """Every group of answers to a prompt: probability, answers."""
        for a in itertools.product(range(self.pi.shape[1]), repeat=G):
            yield float(np.prod(self.pi[o, list(a)])), list(a)

    def estimates(self, o, G, weigh):
        """Probabilities of all groups, and (1/G) Σ w s in each."""
        probs, found = [], []
        for prob, a in self.groups(o, G):
            w = np.asarray(weigh(self.r[o, a]), dtype=float)
            probs.append(prob)
            found.append(w @ self.s[o, a] / G)
        return np.array(probs), np.array(found)

    def moments(self, o, G, weigh):
        return moments(*self.estimates(o, G, weigh))


def moments(probs, estimates):
    """Mean and covariance of outcomes with these probabilities."""
    assert math.isclose(probs.sum(), 1, abs_tol=1e-9)
    mean = probs @ estimates
    return mean, (probs * (estimates - mean).T) @ (estimates - mean)


def table(pi, r):
    """One prompt, softmax over its logits, as NumPy quantities: probabilities, scores, returns, gradient."""
    pi, r = np.array(pi), np.array(r)
    return pi, np.eye(len(pi)) - pi, r, pi * (r - pi @ r)


def all_groups(pi, s, r, G, weigh):
    probs, found = [], []
    for a in itertools.product(range(len(pi)), repeat=G):
        a = list(a)
        probs.append(float(np.prod(pi[a])))
        found.append(np.asarray(weigh(r[a]), dtype=float) @ s[a] / G)
    return moments(np.array(probs), np.array(found))


def close(a, b, tol=1e-12):
    return np.allclose(a, b, rtol=0, atol=tol)


def mean_of_others(R):
    return [sum(R[:i]) / (len(R) - 1) + sum(R[i + 1 :]) / (len(R) - 1) for i in range(len(R))]


def leave_one_out(R):
    return R - np.array(mean_of_others(list(R)))


def z_scores(R, eps=1e-4):
    gap = R - R[0]
    gap = gap - gap.mean()
    if not gap.any():
        return gap
    return gap / (math.sqrt((gap**2).sum() / (len(R) - 1)) + eps)


OTHERS = {
    "constant": lambda R: [17.0] * len(R),
    "mean of the others": lambda R: mean_of_others(list(R)),
    "best of the others": lambda R: [max(x for j, x in enumerate(R) if j != i) for i in range(len(R))],
    "the next one's square": lambda R: [R[(i + 1) % len(R)] ** 2 for i in range(len(R))],
}
OWN = {
    "best of all": lambda R: [max(R)] * len(R),
    "mean of all": lambda R: [R.mean()] * len(R),
    "own square": lambda R: list(R**2),
}


@pytest.mark.claim("thm-baseline")
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [2, 3, 4])
def test_a_baseline_that_does_not_see_the_answer_keeps_the_mean(name, policy, size, G):
    problem = Problem(policy, size)
    total = sum(
        problem.P[o] * problem.moments(o, G, lambda R: R - np.array(OTHERS[name](R)))[0] for o in range(len(problem.P))
    )
    assert close(total, problem.gradient)


@pytest.mark.claim("thm-baseline")
@pytest.mark.parametrize("name", OWN)
def test_one_that_does_moves_it_by_its_covariance_with_the_score(name):
    problem, G, o = Problem(), 3, 0
    mean = problem.moments(o, G, lambda R: R - np.array(OWN[name](R)))[0]
    covariance = np.zeros_like(mean)
    for prob, a in problem.groups(o, G):
        b = np.array(OWN[name](problem.r[o, a]))
        covariance += prob * (b[:, None] * problem.s[o, a]).mean(0)
    assert close(mean, problem.g[o] - covariance)
    assert not close(mean, problem.g[o], 1e-3)


@pytest.mark.claim("thm-baseline")
def test_dice_and_answers_to_other_prompts_are_baselines_too():
    problem = Problem()
    total = np.zeros(6)
    for o, other in itertools.product(range(2), repeat=2):
        for (p, a), (q, c) in itertools.product(problem.groups(o, 1), problem.groups(other, 2)):
            for die in (-3.0, 5.0):
                b = problem.r[other, c].max() + die * o
                chance = problem.P[o] * problem.P[other] * p * q / 2
                total += chance * (problem.r[o, a[0]] - b) * problem.s[o, a[0]]
    assert close(total, problem.gradient)


@pytest.mark.claim("prop-answer-baseline")
@pytest.mark.parametrize("policy, size", TABLES)
def test_a_baseline_that_reads_the_answer_is_another_teacher(policy, size):
    problem = Problem(policy, size)
    b = np.random.default_rng(5).normal(size=problem.r.shape)
    mean = np.einsum("o,oa,oa,oap->p", problem.P, problem.pi, problem.r - b, problem.s)
    assert close(mean, Problem(policy, size, returns=problem.r - b).gradient)
    assert not close(mean, problem.gradient, 1e-3)
    perfect = np.einsum("o,oa,oa,oap->p", problem.P, problem.pi, problem.r - problem.r, problem.s)
    assert close(perfect, 0)


@pytest.mark.claim("prop-off-policy-baseline")
@pytest.mark.parametrize("policy, size", TABLES)
def test_off_policy_a_baseline_moves_the_mean_unless_the_ratio_multiplies_it_too(policy, size):
    problem = Problem(policy, size)
    q = np.random.default_rng(3).dirichlet(np.ones(3), size=2)
    b = np.array([0.7, -1.3])
    for o in range(2):
        s, r, pi = problem.s[o], problem.r[o], problem.pi[o]
        mean = np.einsum("a,a,ap->p", q[o], r - b[o], s)
        average_score = sum(q[o, a] * s[a] for a in range(3))
        raw = sum(q[o, a] * r[a] * s[a] for a in range(3))
        assert close(mean, raw - b[o] * average_score)
        assert not close(mean, raw, 1e-2)
        assert np.abs(q[o] @ s).max() > 1e-2
        rho = pi / q[o]
        assert close(np.einsum("a,a,ap->p", q[o], rho * (r - b[o]), s), problem.g[o])
        on_the_return_alone = np.einsum("a,ap->p", q[o] * (rho * r - b[o]), s)
        assert close(on_the_return_alone, problem.g[o] - b[o] * average_score)
        assert not close(on_the_return_alone, problem.g[o], 1e-3)
        if policy is own_logits:
            assert close(average_score.reshape(2, 3)[o], q[o] - pi)
            assert close((problem.P[o] * average_score).reshape(2, 3)[1 - o], 0)


@pytest.mark.claim("prop-random-divisor")
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [1, 2, 4])
@pytest.mark.parametrize("b", [0.0, 0.4, 1.0, -2.0])
def test_with_a_random_divisor_the_baseline_matters(policy, size, G, b):
    problem = Problem(policy, size, returns=BINARY)
    for o in range(2):
        p = problem.J[o]
        mean = problem.moments(o, G, lambda R: G * (R - b) / max(R.sum(), 1))[0]
        binomial = [math.comb(G, k) * p**k * (1 - p) ** (G - k) for k in range(G + 1)]
        c = 1 - binomial[0]
        d = sum(binomial[k] * (G - k) / max(k, 1) for k in range(G + 1))
        assert close(mean, (c / p - b * (c / p - d / (1 - p))) * problem.g[o])
        bracket = c / p - d / (1 - p)
        assert bracket < -1e-3 if G > 1 else close(bracket, 0)


def noise(problem, o, b):
    x = (problem.r[o] - b)[:, None] * problem.s[o]
    return problem.pi[o] @ (x**2).sum(1) - (problem.pi[o] @ x) @ (problem.pi[o] @ x)


def best(problem, o):
    return problem.pi[o] @ (problem.r[o] * problem.length[o]) / (problem.pi[o] @ problem.length[o])


@pytest.mark.claim("thm-optimal-baseline")
@pytest.mark.parametrize("policy, size", TABLES)
def test_the_noise_is_a_parabola_in_the_baseline(policy, size):
    problem = Problem(policy, size)
    for o in range(2):
        b_star, lead = best(problem, o), problem.pi[o] @ problem.length[o]
        for b in np.linspace(-4, 4, 17):
            assert close(noise(problem, o, b), noise(problem, o, b_star) + lead * (b - b_star) ** 2, 1e-10)
        for N in (1, 2, 3):
            spread = problem.moments(o, N, lambda R: R - 0.37)[1]
            assert close(np.trace(spread), noise(problem, o, 0.37) / N)


@pytest.mark.claim("thm-optimal-baseline")
def test_where_no_score_has_length_any_baseline_is_best():
    """The second prompt's answers do not depend on θ: its noise is zero, and so is what its baseline costs."""
    problem = Problem(lambda z: np.stack([softmax(z), np.full(3, 1 / 3)]), 3)
    for b in (0.0, -2.0, 5.0):
        assert close(noise(problem, 1, b), 0)
    assert noise(problem, 0, 5.0) > noise(problem, 0, best(problem, 0)) + 1


@pytest.mark.claim("thm-optimal-baseline")
@pytest.mark.parametrize("policy, size", TABLES)
def test_with_many_prompts_every_prompt_has_its_own_best_baseline(policy, size):
    problem, G = Problem(policy, size), 2

    def total(b):
        probs, found = [], []
        for o in range(2):
            p, x = problem.estimates(o, G, lambda R, o=o: R - b[o])
            probs.append(problem.P[o] * p)
            found.append(x)
        return np.trace(moments(np.concatenate(probs), np.concatenate(found))[1])

    b_star = np.array([best(problem, o) for o in range(2)])
    least = total(b_star)
    for shift in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1], [0.3, -0.2]):
        lead = [problem.P[o] * (problem.pi[o] @ problem.length[o]) / G for o in range(2)]
        assert close(total(b_star + shift), least + np.square(shift) @ lead, 1e-10)
    if policy is own_logits:
        packaged = ostrl.CategoricalPolicy(torch.tensor(problem.pi).log())
        found = exact.optimal_baseline(packaged, ostrl.TableTask(torch.tensor(problem.r)))
        assert close(found.numpy(), b_star)


@pytest.mark.claim("cor-mean-hurts")
def test_the_distance_of_the_best_baseline_to_the_mean_and_when_the_mean_hurts():
    hurts = []
    for seed in range(40):
        pi = np.random.default_rng(seed).dirichlet(np.full(4, 0.5))
        r = np.random.default_rng(seed + 100).normal(0.5, 1, size=4)
        pi, s, r, g = table(pi, r)
        length, J = (s**2).sum(1), pi @ r
        b_star = pi @ (r * length) / (pi @ length)
        covariance = pi @ ((r - J) * (length - pi @ length))
        assert close(b_star - J, covariance / (pi @ length))

        def V(b, pi=pi, r=r, length=length, g=g):
            return pi @ ((r - b) ** 2 * length) - g @ g

        assert (V(J) > V(0)) == (J * (J - 2 * b_star) > 0)
        if J > 0:
            assert (V(J) > V(0)) == (b_star < J / 2)
        hurts.append(V(J) > V(0))
    assert 0 < sum(hurts) < 40


def two_answers(theta):
    """One prompt, two answers, three parameters."""
    z = np.stack([np.sin(theta[0]) * theta[1] + theta[2] ** 3 + theta[2], theta[0] * theta[2]])
    return softmax(z)


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.claim("cor-mean-hurts")
@pytest.mark.parametrize("p", [0.1, 2 / 3 - 1e-6, 2 / 3 + 1e-6, 0.9])
def test_two_answers(p):
    theta = np.array([0.7, -0.4, 0.0])  # ∂z/∂θ is not zero; the last is solved for, so that the success rate is p
    low, high = -30.0, 30.0
    for _ in range(200):
        theta[2] = (low + high) / 2
        z = np.sin(theta[0]) * theta[1] + theta[2] ** 3 + theta[2] - theta[0] * theta[2]
        low, high = (theta[2], high) if z < logit(p) else (low, theta[2])
    assert close(two_answers(theta)[0], p, 1e-12)
    pi, s = two_answers(theta), jacobian(lambda x: np.log(two_answers(x)), theta)
    gradient = jacobian(lambda x: two_answers(x)[:1], theta)[0]
    r, p = np.array([1.0, 0.0]), pi[0]

    def V(b):
        return np.trace(all_groups(pi, s, r - b, 1, lambda R: R)[1])

    for b in (0.0, p, 1.0, -0.7):
        assert close(V(b), (b - (1 - p)) ** 2 / (p * (1 - p)) * (gradient @ gradient), 1e-10)
    for a in range(2):
        assert close((r[a] - (1 - p)) * s[a], gradient)
    assert (V(p) > V(0)) == (p > 2 / 3)


@pytest.mark.claim("cor-mean-hurts")
@pytest.mark.parametrize("m", [1, 2, 4, 9, 50])
def test_one_right_and_many_wrong_answers(m):
    bound = (m + 3) / (3 * (m + 1))
    for p in (0.05, bound - 1e-6, bound + 1e-6, 0.97):
        pi, s, r, _ = table([p] + [(1 - p) / m] * m, [1.0] + [0.0] * m)
        at_mean = np.trace(all_groups(pi, s, r - p, 1, lambda R: R)[1])
        at_zero = np.trace(all_groups(pi, s, r, 1, lambda R: R)[1])
        assert (at_mean > at_zero) == (p > bound)


@pytest.mark.claim("cor-mean-hurts")
@pytest.mark.parametrize("right, wrong, b_star", [(2, 10, 3 / 14), (3, 10, 4 / 15)])
def test_for_strings_length_counts(right, wrong, b_star):
    """The first token decides; then so many tokens, all even choices of two, logits of their own for each position."""
    pi, s, r = [], [], []
    for first, more in enumerate((right, wrong)):
        before = 2 + (0 if first == 0 else 2 * right)
        for tokens in itertools.product(range(2), repeat=more):
            score = np.zeros(2 + 2 * right + 2 * wrong)
            score[:2] = np.eye(2)[first] - 0.5
            for k, token in enumerate(tokens):
                score[before + 2 * k : before + 2 * k + 2] = np.eye(2)[token] - 0.5
            pi.append(0.5 ** (1 + more))
            s.append(score)
            r.append(1.0 - first)
    pi, s, r = np.array(pi), np.array(s), np.array(r)
    length = (s**2).sum(1)
    assert close(pi.sum(), 1) and close(pi @ r, 0.5) and close(pi @ s, 0)
    assert close(pi @ (r * length) / (pi @ length), b_star)
    at_mean, at_zero = (np.trace(all_groups(pi, s, r - b, 1, lambda R: R)[1]) for b in (0.5, 0.0))
    assert (at_mean > at_zero) == (b_star < 0.25)


@pytest.mark.claim("cor-mean-hurts")
def test_the_opening_64_times_and_zero():
    pi, s, r, _ = table([0.9, 0.1], [1.0, 0.0])
    none, mean, best_one = (np.trace(all_groups(pi, s, r - b, 1, lambda R: R)[1]) for b in (0.0, 0.9, 0.1))
    assert close(mean / none, 64, 1e-9) and close(best_one, 0)


@pytest.mark.claim("prop-own-sample")
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [2, 3, 5])
def test_the_own_sample_takes_one_in_G(policy, size, G):
    problem = Problem(policy, size)
    R = np.random.default_rng(G).normal(size=G)
    assert close(R - R.mean(), (1 - 1 / G) * leave_one_out(R))
    packaged = weighting.mean_baseline(torch.tensor(R)[None])[0].numpy()
    assert close(packaged, R - R.mean())
    for o in range(2):
        _, own = problem.estimates(o, G, lambda R: R - R.mean())
        probs, others = problem.estimates(o, G, leave_one_out)
        assert close(own, (1 - 1 / G) * others)
        mean, spread = moments(probs, own)
        assert close(mean, (1 - 1 / G) * problem.g[o])
        unbiased, wider = moments(probs, others)
        assert close(mean @ mean / np.trace(spread), unbiased @ unbiased / np.trace(wider), 1e-9)


@pytest.mark.claim("prop-own-sample")
def test_with_different_group_sizes_it_weighs_prompts():
    problem, sizes = Problem(), (1, 4)
    mean = sum(problem.P[o] * problem.moments(o, sizes[o], lambda R: R - R.mean())[0] for o in range(2))
    assert close(mean, sum(problem.P[o] * (1 - 1 / sizes[o]) * problem.g[o] for o in range(2)))
    cosine = mean @ problem.gradient / np.linalg.norm(mean) / np.linalg.norm(problem.gradient)
    assert cosine < 0.99


@pytest.mark.claim("prop-own-sample")
@pytest.mark.parametrize("G, weight", [(2, 0.25), (4, 0.6875)])
def test_group_sizes_have_to_be_fixed_beforehand(G, weight):
    """Answers get lost, each with probability one half: leave-one-out weighs by the chance that two survive."""
    problem, o = Problem(), 0
    total = np.zeros(6)
    for kept in itertools.product((False, True), repeat=G):
        n = sum(kept)
        total += 0.5**G * (problem.moments(o, n, leave_one_out)[0] if n > 1 else 0)
    assert close(total, weight * problem.g[o])


@pytest.mark.claim("prop-own-sample")
def test_the_mean_of_the_whole_batch_takes_one_in_BG():
    problem, B, G = Problem(), 2, 2
    total = np.zeros(6)
    for prompts in itertools.product(range(2), repeat=B):
        for draws in itertools.product(*(list(problem.groups(o, G)) for o in prompts)):
            R = np.array([problem.r[o, a] for o, (_, a) in zip(prompts, draws, strict=True)])
            s = np.array([problem.s[o, a] for o, (_, a) in zip(prompts, draws, strict=True)])
            chance = np.prod(problem.P[list(prompts)]) * math.prod(p for p, _ in draws)
            total += chance * ((R - R.mean())[..., None] * s).mean((0, 1))
    assert close(total, (1 - 1 / (B * G)) * problem.gradient)


@pytest.mark.claim("prop-pairs")
@pytest.mark.parametrize("G", [2, 3, 6])
def test_three_faces_of_leave_one_out(G):
    rng = np.random.default_rng(G)
    R, s = rng.normal(size=G), rng.normal(size=(G, 4))
    first = leave_one_out(R) @ s / G
    second = np.cov(R, s.T)[0, 1:]
    pairs = [(R[i] - R[j]) * (s[i] - s[j]) / 2 for i, j in itertools.combinations(range(G), 2)]
    assert close(first, second) and close(first, np.mean(pairs, axis=0))
    assert close(weighting.leave_one_out(torch.tensor(R)[None])[0].numpy(), leave_one_out(R))


def loo_formula(pi, s, r, G):
    J = pi @ r
    g = (pi * r) @ s
    x = (r - J)[:, None] * s
    with_J = np.einsum("a,ap,aq->pq", pi, x, x) - np.outer(g, g)
    fisher = np.einsum("a,ap,aq->pq", pi, s, s)
    return with_J / G + (pi @ (r - J) ** 2 * fisher + np.outer(g, g)) / (G * (G - 1))


@pytest.mark.claim("thm-loo-covariance")
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [2, 3, 4, 5])
def test_covariance_of_leave_one_out(policy, size, G):
    problem = Problem(policy, size)
    for o in range(2):
        mean, spread = problem.moments(o, G, leave_one_out)
        assert close(mean, problem.g[o])
        assert close(spread, loo_formula(problem.pi[o], problem.s[o], problem.r[o], G))


@pytest.mark.claim("thm-loo-covariance")
@pytest.mark.parametrize("B, G", [(1, 2), (2, 2), (1, 4)])
def test_covariance_with_many_prompts_and_in_the_package(B, G):
    problem = Problem()
    between = np.einsum("o,op,oq->pq", problem.P, problem.g, problem.g) - np.outer(problem.gradient, problem.gradient)
    within = sum(problem.P[o] * loo_formula(problem.pi[o], problem.s[o], problem.r[o], G) for o in range(2))
    policy = ostrl.CategoricalPolicy(torch.tensor(problem.pi).log())
    task = ostrl.TableTask(torch.tensor(problem.r), torch.tensor(problem.P))
    found = exact.moments(ostrl.METHODS["rloo"], policy, task, G, num_prompts=B)
    assert close(found.mean.numpy(), problem.gradient)
    assert close(found.covariance.numpy(), (between + within) / B)


@pytest.mark.claim("thm-loo-covariance")
def test_when_leave_one_out_pays():
    outcomes = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        pi, s, r, g = table(rng.dirichlet(np.ones(3)), rng.normal(0.8, 1, size=3))
        length, J = (s**2).sum(1), pi @ r

        def V(b, pi=pi, r=r, length=length, g=g):
            return pi @ ((r - b) ** 2 * length) - g @ g

        for G in (2, 3, 5):
            ours = np.trace(all_groups(pi, s, r, G, leave_one_out)[1])
            plain = np.trace(all_groups(pi, s, r, G, lambda R: R)[1])
            pays = (G - 1) * (V(0) - V(J)) > pi @ (r - J) ** 2 * (pi @ length) + g @ g
            assert (ours < plain) == pays
            outcomes.add((G, bool(pays)))
    assert {(2, True), (2, False), (5, True), (5, False)} <= outcomes


@pytest.mark.claim("thm-loo-covariance")
def test_two_answers_are_too_few_in_the_running_example():
    pi, s, r, _ = table([0.6, 0.3, 0.1], [0.0, 1.0, 0.0])
    ours = {G: np.trace(all_groups(pi, s, r, G, leave_one_out)[1]) for G in (2, 3)}
    plain = {G: np.trace(all_groups(pi, s, r, G, lambda R: R)[1]) for G in (2, 3)}
    assert ours[2] > plain[2] and ours[3] < plain[3]


def baseline_after(problem, o, G, alpha, start, visits):
    """Every value that a learned baseline can have after some visits, with its probability."""
    states = {start: 1.0}
    for _ in range(visits):
        later = {}
        for (b, chance), (p, a) in itertools.product(states.items(), problem.groups(o, G)):
            value = round(b + alpha * (problem.r[o, a].mean() - b), 12)
            later[value] = later.get(value, 0.0) + chance * p
        states = later
    return states


@pytest.mark.claim("prop-learned-baseline")
@pytest.mark.parametrize("alpha", [0.25, 1.0])
@pytest.mark.parametrize("visits", [0, 1, 3])
def test_use_it_then_update_it(alpha, visits):
    problem, o, G, start = Problem(), 0, 2, -0.8
    J, sigma2 = problem.J[o], problem.pi[o] @ (problem.r[o] - problem.J[o]) ** 2
    states = baseline_after(problem, o, G, alpha, start, visits)
    used, late, second = np.zeros(6), np.zeros(6), 0.0
    for (b, chance), (p, a) in itertools.product(states.items(), problem.groups(o, G)):
        R, s = problem.r[o, a], problem.s[o, a]
        estimate = ((R - b)[:, None] * s).mean(0)
        used += chance * p * estimate
        second += chance * p * (estimate @ estimate)
        late += chance * p * ((R - (b + alpha * (R.mean() - b)))[:, None] * s).mean(0)
    assert close(used, problem.g[o], 1e-10)
    assert close(late, (1 - alpha / G) * problem.g[o], 1e-10)
    mean = sum(b * chance for b, chance in states.items())
    variance = sum((b - mean) ** 2 * chance for b, chance in states.items())
    assert close(mean - J, (1 - alpha) ** visits * (start - J), 1e-10)
    assert close(variance, alpha / (2 - alpha) * (1 - (1 - alpha) ** (2 * visits)) * sigma2 / G, 1e-10)
    lead = problem.pi[o] @ problem.length[o]
    assert close(second - used @ used, (noise(problem, o, mean) + lead * variance) / G, 1e-9)


def omega_formula(p, G, eps):
    total = 0.0
    for K in range(1, G):
        sigma = math.sqrt(K * (G - K) / (G * (G - 1)))
        log_chance = math.lgamma(G + 1) - math.lgamma(K + 1) - math.lgamma(G - K + 1)
        log_chance += K * math.log(p) + (G - K) * math.log1p(-p)
        total += math.exp(log_chance) * K * (G - K) / (G**2 * (sigma + eps))
    return total / (p * (1 - p))


@pytest.mark.claim("thm-grpo-omega")
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [2, 3, 4, 5])
@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.5])
def test_grpo_is_parallel_to_the_gradient_for_returns_0_and_1(policy, size, G, eps):
    problem = Problem(policy, size, returns=BINARY)
    for o in range(2):
        mean = problem.moments(o, G, lambda R: z_scores(R, eps))[0]
        assert close(mean, omega_formula(problem.J[o], G, eps) * problem.g[o])


@pytest.mark.claim("thm-grpo-omega")
@pytest.mark.parametrize("G", [2, 4, 16])
def test_the_package_knows_omega(G):
    rates = torch.tensor([0.02, 0.3, 0.9], dtype=torch.float64)
    found = exact.omega(ostrl.METHODS["grpo"], rates, G)
    assert close(found.numpy(), [omega_formula(float(p), G, 1e-4) for p in rates], 1e-10)


@pytest.mark.claim("prop-grpo-omega")
@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.3])
def test_omega_is_constant_for_two_and_three_answers_only(eps):
    grid = np.linspace(0.01, 0.99, 23)
    constants = {2: 1 / (math.sqrt(2) + 2 * eps), 3: 2 / (math.sqrt(3) + 3 * eps)}
    for G in range(2, 20):
        values = np.array([omega_formula(p, G, eps) for p in grid])
        assert close(values, values[::-1], 1e-10)
        if G in constants:
            assert close(values, constants[G], 1e-12)
        else:
            assert values.max() - values.min() > 1e-3


@pytest.mark.claim("prop-grpo-omega")
@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.3])
@pytest.mark.parametrize("G", [2, 3, 8, 30])
def test_omega_at_both_ends(G, eps):
    end = (G - 1) / (math.sqrt(G) + eps * G)
    assert close(omega_formula(1e-9, G, eps), end, 1e-6)
    assert close(omega_formula(1 - 1e-9, G, eps), end, 1e-6)


@pytest.mark.claim("prop-grpo-omega")
@pytest.mark.parametrize("eps", [0.0, 0.3])
@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_omega_for_large_groups(p, eps):
    limit = 1 / (math.sqrt(p * (1 - p)) + eps)
    errors = [abs(omega_formula(p, G, eps) - limit) for G in (100, 400, 1600, 6400)]
    assert all(later < 0.5 * sooner for sooner, later in itertools.pairwise(errors))
    assert errors[-1] < 2e-3 * limit


@pytest.mark.claim("prop-grpo-ranks")
@pytest.mark.parametrize("seed", range(5))
def test_two_answers_only_the_order_counts(seed):
    rng = np.random.default_rng(seed)
    pi, s, r, _ = table(rng.dirichlet(np.ones(4)), [0.0, rng.normal(), rng.normal(), 0.0])
    eps = 1e-13
    for x, y in itertools.product(r, repeat=2):
        assert close(z_scores(np.array([x, y]), eps), np.sign([x - y, y - x]) / math.sqrt(2), 1e-8)
    mean = all_groups(pi, s, r, 2, lambda R: z_scores(R, eps))[0]
    order = np.array([pi[r < x].sum() - pi[r > x].sum() for x in r])
    assert close(mean, (pi * order) @ s / math.sqrt(2), 1e-8)


def grpo_by_counts(pi, r, G, eps=1e-4):
    """Expected GRPO estimate of a softmax table, by how often each of three answers occurs."""
    total = np.zeros(3)
    for i in range(G + 1):
        for j in range(G + 1 - i):
            n = np.array([i, j, G - i - j])
            if n.max() == G:
                continue
            log_chance = math.lgamma(G + 1) + sum(
                k * math.log(p) - math.lgamma(k + 1) for k, p in zip(n, pi, strict=True)
            )
            gap = r - n @ r / G
            w = gap / (math.sqrt(n @ gap**2 / (G - 1)) + eps)
            total += math.exp(log_chance) * n * w / G  # Σ w = 0, so the scores' -π drops out
    return total


SHELL = np.array([0.01, 0.89, 0.10]), np.array([0.0, 0.99, 1.0])


@pytest.mark.claim("prop-grpo-downhill")
@pytest.mark.parametrize("G", [2, 4, 8, 16])
def test_grpo_downhill(G):
    pi, s, r, g = table(*SHELL)
    mean = grpo_by_counts(pi, r, G)
    if G <= 8:
        assert close(mean, all_groups(pi, s, r, G, z_scores)[0], 1e-10)
    assert mean @ g < -1e-4  # the mean return falls
    assert mean @ s[0] > 1e-2  # and the worst answer's log-probability rises
    assert g @ s[0] < 0


@pytest.mark.claim("prop-grpo-downhill")
def test_grpo_downhill_by_hand():
    pi, _, _, g = table(*SHELL)
    order = np.array([-0.99, 0.01 - 0.10, 0.90])
    assert close(pi * order, [-0.0099, -0.0801, 0.0900])
    assert close(g, [-0.009811, 0.007921, 0.001890])
    assert close(pi * order @ g, -0.000367, 5e-7)


@pytest.mark.claim("prop-grpo-downhill")
def test_for_large_groups_grpo_is_the_gradient_over_the_spread():
    pi, _, r, g = table([0.3, 0.45, 0.25], [0.0, 0.9, 1.0])
    limit = g / (math.sqrt(pi @ (r - pi @ r) ** 2) + 1e-4)
    at = {G: grpo_by_counts(pi, r, G) for G in (32, 64, 128)}
    once = {G: 2 * at[2 * G] - at[G] for G in (32, 64)}  # the error is a series in 1/G: take away its first term,
    twice = (4 * once[64] - once[32]) / 3  # and its second
    assert np.abs(at[128] - limit).max() > 1e-3 * np.abs(limit).max() > 10 * np.abs(twice - limit).max()


@pytest.mark.claim("prop-equal-group")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_equal_returns_weigh_exactly_zero(dtype):
    values = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30
    for size in (2, 3, 7, 8, 13):
        rewards = values.to(dtype)[:, None].expand(-1, size)
        shifted = rewards - rewards[:, :1]
        centered = shifted - shifted.mean(1, keepdim=True)
        assert bool((centered == 0).all())
        assert bool((weighting.mean_baseline(rewards) == 0).all())
        assert bool((weighting.leave_one_out(rewards) == 0).all())
        assert bool((weighting.group_normalized(rewards, 1e-12 if dtype == torch.float64 else 1e-4) == 0).all())
    spread = torch.tensor([[0.2, 1.0, 0.2, -3.0]], dtype=torch.float64)
    assert torch.allclose(weighting.mean_baseline(spread), spread - spread.mean(), atol=1e-15)


@pytest.mark.claim("prop-equal-group")
def test_eps_must_not_be_zero_in_the_format_of_the_returns():
    equal = torch.full((1, 8), 0.2, dtype=torch.float16)
    centered = equal - equal[:, :1]
    assert bool((centered / (centered.abs().amax() + torch.tensor(1e-8).to(torch.float16))).isnan().all())
    with pytest.raises(ValueError, match=r"0 in torch\.float16"):
        weighting.group_normalized(equal, 1e-8)


@pytest.mark.claim("prop-equal-group")
def test_as_it_is_written_they_do_not():
    fifth = np.float32(0.2)
    total = np.float32(0)
    for _ in range(8):
        total = np.float32(total + fifth)
    assert fifth - total / np.float32(8) != 0


def silent(problem, o, G):
    return sum(p for p, a in problem.groups(o, G) if np.ptp(problem.r[o, a]) == 0)


SPEAKING_G = 2


def listed(problem, o):
    """Every group of a prompt: probability, leave-one-out estimate, whether it speaks."""
    return [
        (p, leave_one_out(problem.r[o, a]) @ problem.s[o, a] / SPEAKING_G, np.ptp(problem.r[o, a]) > 0)
        for p, a in problem.groups(o, SPEAKING_G)
    ]


@pytest.mark.claim("thm-silent-drop")
@pytest.mark.parametrize("returns", [GRADED, BINARY], ids=["graded", "0 and 1"])
@pytest.mark.parametrize("B", [1, 2, 3])
def test_dividing_by_the_groups_that_speak(returns, B):
    problem = Problem(returns=returns)
    groups = [(problem.P[o] * p, x, speaks) for o in range(2) for p, x, speaks in listed(problem, o)]
    kept, all_of_them = np.zeros(6), np.zeros(6)
    for batch in itertools.product(groups, repeat=B):
        chance = math.prod(p for p, _, _ in batch)
        speaking = [x for _, x, speaks in batch if speaks]
        kept += chance * sum(speaking, np.zeros(6)) / max(len(speaking), 1)
        assert close(sum(speaking, np.zeros(6)), sum(x for _, x, _ in batch))  # divided by B, on every sample
        all_of_them += chance * sum(x for _, x, _ in batch) / B
    q = problem.P @ [silent(problem, o, SPEAKING_G) for o in range(2)]
    assert close(all_of_them, problem.gradient)
    assert close(kept, (1 - q**B) / (1 - q) * problem.gradient)


def until_it_speaks(groups):
    """The mean of the first group that speaks, draw after draw, until what is left does not count."""
    total, left = 0.0, 1.0
    while left > 1e-15:
        total = total + left * sum(p * x for p, x, speaks in groups if speaks)
        left *= sum(p for p, _, speaks in groups if not speaks)
    return total


@pytest.mark.claim("thm-silent-drop")
@pytest.mark.parametrize("policy, size", TABLES)
def test_drawing_again(policy, size):
    problem = Problem(policy, size, seed=3, returns=BINARY)
    q = np.array([silent(problem, o, SPEAKING_G) for o in range(2)])
    mixed = [(problem.P[o] * p, x, speaks) for o in range(2) for p, x, speaks in listed(problem, o)]
    assert close(until_it_speaks(mixed), problem.gradient / (1 - problem.P @ q))
    same_prompt = sum(problem.P[o] * until_it_speaks(listed(problem, o)) for o in range(2))
    assert close(same_prompt, (problem.P / (1 - q)) @ problem.g)
    cosine = same_prompt @ problem.gradient / np.linalg.norm(same_prompt) / np.linalg.norm(problem.gradient)
    assert abs(q[0] - q[1]) > 0.05 and cosine < 0.9999


@pytest.mark.claim("thm-silent-drop")
def test_a_fixed_list_of_prompts():
    problem, prompts = Problem(seed=3, returns=BINARY), (0, 1, 1)
    total = np.zeros(6)
    for batch in itertools.product(*(listed(problem, o) for o in prompts)):
        speaking = [x for _, x, speaks in batch if speaks]
        total += math.prod(p for p, _, _ in batch) * sum(speaking, np.zeros(6)) / max(len(speaking), 1)
    q = [silent(problem, o, SPEAKING_G) for o in prompts]
    expected = np.zeros(6)
    for b, o in enumerate(prompts):
        others = [x for c, x in enumerate(q) if c != b]
        for speak in itertools.product((0, 1), repeat=len(others)):
            chance = math.prod(1 - x if y else x for x, y in zip(others, speak, strict=True))
            expected += chance / (1 + sum(speak)) * problem.g[o]
    assert close(total, expected)
    even = sum(problem.g[o] for o in prompts)
    assert total @ even / np.linalg.norm(total) / np.linalg.norm(even) < 0.9999


@pytest.mark.claim("thm-silent-drop")
@pytest.mark.parametrize("B, ratio", [(2, 0.69), (8, 0.86), (64, 0.98)])
def test_the_numbers_of_the_chapter(B, ratio):
    """Two prompts with success rates 0.3 and 0.95, groups of 4, every group's right and wrong answers listed."""
    speaks = []
    for p in (0.3, 0.95):
        groups = itertools.product((0, 1), repeat=4)
        speaks.append(sum(math.prod(p if a else 1 - p for a in g) for g in groups if 0 < sum(g) < 4))
    assert close(speaks[0] / speaks[1], 4.05, 5e-3)  # new answers: 1 / speaks is the weight

    def weight(o):
        """E[1 / (1 + S)] over the other groups, half of the list each prompt: the distribution of S, group by group."""
        chances = [1.0]
        for k in [0] * (B // 2 - (o == 0)) + [1] * (B // 2 - (o == 1)):
            chances = [
                (chances[n] * (1 - speaks[k]) if n < len(chances) else 0) + (chances[n - 1] * speaks[k] if n else 0)
                for n in range(len(chances) + 1)
            ]
        return sum(c / (1 + n) for n, c in enumerate(chances))

    assert close(weight(1) / weight(0), ratio, 5e-3)
    if B == 2:
        q = 1 - sum(speaks) / 2
        table = [(1 - q**2) / (1 - q), 1 / (1 - q), 1 / speaks[0], 1 / speaks[1], 2 * weight(0), 2 * weight(1)]
        assert close(table, [1.53, 2.13, 1.33, 5.39, 1.81, 1.25], 5e-3)


@pytest.mark.claim("prop-drop-uncentered")
@pytest.mark.parametrize("policy, size", TABLES)
@pytest.mark.parametrize("G", [1, 2, 4])
@pytest.mark.parametrize("b", [0.0, 0.3, 1.0])
def test_dropping_silent_groups_without_centering(policy, size, G, b):
    problem = Problem(policy, size, returns=BINARY)
    for o in range(2):
        p = problem.J[o]
        mean = problem.moments(o, G, lambda R: (R - b) if np.ptp(R) > 0 else 0 * R)[0]
        assert mean @ problem.g[o] < problem.g[o] @ problem.g[o] - 1e-6  # for these b something is lost
        assert close(mean, (1 - (1 - b) * p ** (G - 1) - b * (1 - p) ** (G - 1)) * problem.g[o])
