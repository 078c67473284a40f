"""The claims of chapter 07, each against every set of labels that can be drawn, listed in NumPy.

Chance is computed, not simulated: all A^N sets of labels, or the whole Markov chain on their counts. ``ostrl`` is
compared with the lists where it computes the same.
"""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

import ostrl
from ostrl import exact
from ostrl.methods import raft, rest, rest_per_prompt

H = 1e-30
PI = np.array([0.6, 0.3, 0.1])
START = np.array([0.40, 0.10, 0.15, 0.20, 0.10, 0.05])
GRADES = np.array([0.0, 0.0, 0.3, 0.7, 1.0, 1.0])
SHUFFLED = np.array([2, 5, 0, 3, 1, 4])  # answers in no order of their grades
CASES = [
    pytest.param(PI, np.array([0.0, 1.0, 0.0]), id="right or wrong"),
    pytest.param(START, GRADES, id="six grades"),
    pytest.param(START[SHUFFLED], GRADES[SHUFFLED], id="six grades, shuffled"),
    pytest.param(np.array([0.2, 0.5, 0.3]), np.array([-1.0, 2.0, 0.5]), id="no ties"),
]


def close(a, b, tol=1e-12):
    return np.allclose(a, b, rtol=0, atol=tol)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def kl(p, q):
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())


def diversity(pi):
    """The probability that two answers differ, as a double sum."""
    return sum(pi[a] * pi[b] for a in range(len(pi)) for b in range(len(pi)) if a != b)


def label_sets(source, size):
    """Every sequence of labels: its probability and its empirical distribution."""
    for labels in itertools.product(range(len(source)), repeat=size):
        yield math.prod(source[a] for a in labels), np.bincount(labels, minlength=len(source)) / size


def evolve(states, refit):
    """One round of a chain on policies: {policy: probability} -> the same. ``refit`` lists what may come out."""
    after = defaultdict(float)
    for state, probability in states.items():
        for p, new in refit(np.array(state)):
            after[tuple(np.round(new, 12))] += probability * p
    return after


def mean(states, f):
    return sum(p * np.asarray(f(np.array(s))) for s, p in states.items())


def conditioned(pi, keep):
    return pi * keep / (pi * keep).sum()


def full_refit(z, q, w, steps=20_000):
    """The logits after a long ascent of the weighted log-likelihood, gradient written out."""
    for _ in range(steps):
        z = z + 2.0 * (q * w - (q * w).sum() * softmax(z))
    return z


# --- Grow and Improve


@pytest.mark.claim("lem-full-refit")
@pytest.mark.parametrize("start", [np.zeros(3), np.array([3.0, -2.0, 1.0])])
def test_the_weighted_likelihood_ends_at_the_reweighted_distribution(start):
    q, w = np.array([0.5, 0.2, 0.3]), np.array([0.3, 2.0, 1.0])
    end = softmax(full_refit(start, q, w))
    assert close(end, q * w / (q @ w), 1e-10)
    best = (q * w) @ np.log(end)
    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.ones(3), size=500)
    assert ((q * w) @ np.log(others).T < best).all()


@pytest.mark.claim("lem-full-refit")
def test_an_answer_without_weight_is_forgotten_too():
    q, w = np.array([0.5, 0.2, 0.3]), np.array([0.0, 1.0, 1.0])
    end = softmax(full_refit(np.zeros(3), q, w))
    assert close(end, [0.0, 0.4, 0.6], 1e-4)


@pytest.mark.claim("prop-selection-covariance")
@pytest.mark.parametrize("pi, r", CASES)
def test_selection_gains_a_covariance(pi, r):
    rng = np.random.default_rng(1)
    for w in (rng.random(len(pi)), (r >= 0.5) * 1.0, np.exp(r), r - r.min(), rng.random(len(pi)) * (r < 1)):
        pairs = [(a, b) for a in range(len(pi)) for b in range(len(pi))]
        covariance = 0.5 * sum(pi[a] * pi[b] * (w[a] - w[b]) * (r[a] - r[b]) for a, b in pairs)
        gain = conditioned(pi, w) @ r - pi @ r
        assert close(gain, covariance / (pi @ w))
        order = np.argsort(r, kind="stable")
        rising = all(w[a] <= w[b] if r[a] < r[b] else w[a] == w[b] for a, b in itertools.pairwise(order))
        assert not rising or gain > 1e-6


@pytest.mark.claim("prop-selection-covariance")
def test_weights_against_the_return_lose():
    r = np.array([0.0, 1.0, 0.0])
    assert conditioned(PI, 2 - r) @ r < PI @ r - 0.01
    assert close(conditioned(PI, np.ones(3)) @ r, PI @ r)


def improve(pi, data, r, tau):
    keep = r >= tau
    return conditioned(data, keep) if (data * keep).sum() > 0 else pi


@pytest.mark.claim("thm-thresholds")
@pytest.mark.parametrize("pi, r", CASES)
def test_any_schedule_ends_at_the_highest_threshold_that_is_reached(pi, r):
    thresholds = [-0.5, 0.3, 0.7, 1.0, 5.0]
    rising = [c for k in (1, 2, 3) for c in itertools.combinations(thresholds, k)]
    for grows in itertools.product(rising, repeat=2):
        now = pi
        for grow in grows:
            data = now
            for tau in grow:
                now = improve(now, data, r, tau)
        reached = [tau for grow in grows for tau in grow if tau <= r.max()]
        expected = conditioned(pi, r >= max(reached)) if reached else pi
        assert close(now, expected)


@pytest.mark.claim("thm-thresholds")
def test_a_falling_threshold_on_the_same_data_undoes_the_higher_one():
    now = START
    for tau in (1.0, 0.3):
        now = improve(now, START, GRADES, tau)
    assert close(now, conditioned(START, GRADES >= 0.3))
    assert not close(now, conditioned(START, GRADES >= 1.0), 0.1)


@pytest.mark.claim("thm-thresholds")
def test_one_grow_of_finitely_many_labels():
    r = np.array([0.0, 1.0, 0.5])
    for labels in itertools.product(range(3), repeat=4):  # where no label reaches 0.5, the first policy stays
        data = np.bincount(labels, minlength=3) / 4
        now = PI
        for tau in (0.5, 1.0):
            now = improve(now, data, r, tau)
        best = max(r[list(labels)])
        expected = conditioned(data, r >= best) if best > 0 else PI
        assert close(now, expected)


# --- How far an Improve goes


def network(theta):
    """Three answers from two parameters, none of them a logit."""
    z = np.array([theta[0] * theta[1], np.sin(theta[0]), theta[1] ** 2])
    e = np.exp(z)
    return e / e.sum()


def softmax_of(*z):
    e = np.exp(np.array(z))
    return e / e.sum()


def slope(f, theta):
    return np.array([f(theta + 1j * H * e).imag / H for e in np.eye(len(theta))])


@pytest.mark.claim("prop-improve-path")
@pytest.mark.parametrize("tau", [0.4, 1.0])
def test_the_first_step_is_the_gradient_of_log_p(tau):
    theta, r = np.array([0.7, -0.4]), np.array([0.4, 1.0, 0.0])
    pi, keep = network(theta), r >= tau
    likelihood = slope(lambda x: conditioned(pi, keep) @ np.log(network(x)), theta)
    log_p = slope(lambda x: np.log(network(x)[keep].sum()), theta)
    assert close(likelihood, log_p)
    if tau == 1.0:
        J = slope(lambda x: network(x)[keep].sum(), theta)
        assert close(likelihood, J / pi[keep].sum())


@pytest.mark.claim("prop-improve-path")
def test_the_expected_first_step_of_rest_is_that_direction():
    policy = ostrl.CategoricalPolicy(torch.tensor(PI)[None].log())
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))
    got = exact.moments(rest(1.0), policy, task, group_size=4, covariance=False).mean.numpy()
    log_p = PI * (np.array([0, 1, 0]) - 0.3) / 0.3
    assert close(got, (1 - 0.7**4) * log_p)  # nothing kept, no step


@pytest.mark.claim("prop-improve-path")
@pytest.mark.parametrize("begin", [PI, np.array([0.98, 0.01, 0.01]), np.array([1e-3, 1e-3, 0.998])])
def test_the_flow_on_the_same_data_and_its_end(begin):
    target, z = conditioned(PI, np.array([0, 1, 1])), np.log(begin)
    gradient = slope(lambda x: target @ (x - np.log(np.exp(x).sum())), z)
    assert close(gradient, target - begin)
    for _ in range(20_000):
        z = z + 0.5 * (target - softmax(z))
    assert close(softmax(z), target, 1e-3)


# --- Best of n


def winners(pi, r, n, ties):
    """The winner's distribution from all groups; ``ties`` picks one of the places that hold the best."""
    won = np.zeros(len(pi))
    for group in itertools.product(range(len(pi)), repeat=n):
        best = [i for i, a in enumerate(group) if r[a] == max(r[list(group)])]
        for i in ties(best, group):
            won[group[i]] += math.prod(pi[a] for a in group) / len(ties(best, group))
    return won


TIES = {
    "earliest": lambda places, group: places[:1],
    "latest": lambda places, group: places[-1:],
    "random": lambda places, group: places,
}


def formula(pi, r, n):
    u = np.array([pi[r <= v].sum() for v in r])
    low = np.array([pi[r < v].sum() for v in r])
    return pi * (u**n - low**n) / (u - low)


@pytest.mark.claim("prop-best-of-n")
@pytest.mark.parametrize("pi, r", CASES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("ties", TIES)
def test_the_winner_of_all_groups(pi, r, n, ties):
    won = winners(pi, r, n, TIES[ties])
    assert close(won, formula(pi, r, n))
    assert close(exact.best_of_n(torch.tensor(pi), torch.tensor(r), n).numpy(), won)


@pytest.mark.claim("prop-best-of-n")
def test_the_second_form_is_the_same():
    for n in (1, 2, 7):
        u, low = np.array([0.5, 0.9, 1.0]), np.array([0.0, 0.5, 0.9])
        powers = sum(u**k * low ** (n - 1 - k) for k in range(n))
        assert close(powers, (u**n - low**n) / (u - low))


@pytest.mark.claim("prop-best-of-n")
def test_a_tie_rule_that_looks_at_the_answers_changes_the_winner():
    r = np.array([0.0, 1.0, 1.0])
    last = winners(PI, r, 3, lambda places, group: [max(places, key=lambda i: group[i])])
    assert not close(last, formula(PI, r, 3), 0.01)
    assert close(last, formula(PI, np.array([0.0, 1.0, 2.0]), 3))


@pytest.mark.claim("thm-best-of-n-rounds")
@pytest.mark.parametrize("pi, r", CASES)
def test_rounds_multiply(pi, r):
    for n, m in ((2, 2), (2, 3), (3, 1)):
        twice = winners(winners(pi, r, n, TIES["earliest"]), r, m, TIES["random"])
        assert close(twice, formula(pi, r, n * m))
    now = pi
    for t in range(1, 13):
        now = formula(now, r, 2) if t < 5 else exact.best_of_n(torch.tensor(now), torch.tensor(r), 2).numpy()
        now = now / now.sum()
        if t < 5:
            assert close(now, formula(pi, r, 2**t))
    assert close(now, conditioned(pi, r == r.max()), 1e-10)


@pytest.mark.claim("thm-best-of-n-rounds")
def test_rounds_do_not_multiply_if_ties_are_broken_in_changing_order():
    r = np.array([0.0, 1.0, 1.0])
    first = formula(PI, np.array([0.0, 1.0, 2.0]), 2)
    assert close(formula(first, np.array([0.0, 1.0, 2.0]), 2), formula(PI, np.array([0.0, 1.0, 2.0]), 4))
    other = formula(first, np.array([0.0, 2.0, 1.0]), 2)
    assert not close(other, formula(PI, np.array([0.0, 1.0, 2.0]), 4), 0.01)
    assert not close(other, formula(PI, r, 4), 0.01)


@pytest.mark.claim("prop-best-of-n-kl")
@pytest.mark.parametrize("pi, r", CASES)
def test_divergence_of_the_winner(pi, r):
    levels = np.unique(r)
    P = np.array([pi[r == v].sum() for v in levels])
    u = np.concatenate([[0.0], P.cumsum()])
    for n in (1, 2, 3, 5):
        truth = kl(winners(pi, r, n, TIES["earliest"]), pi)
        won = np.diff(u**n)
        assert close(truth, (won * np.log(won / P)).sum())
        bound = math.log(n) - (n - 1) / n
        assert truth < bound - 1e-4 if n > 1 else close(truth, 0)
        assert truth <= -math.log(P[-1]) + 1e-12
    far = exact.best_of_n(torch.tensor(pi), torch.tensor(r), 4096).numpy()
    assert close(kl(far, pi), -math.log(P[-1]), 1e-9)


@pytest.mark.claim("prop-best-of-n-kl")
@pytest.mark.parametrize("n", [2, 5])
def test_the_folklore_is_the_limit_of_fine_levels(n):
    bound = math.log(n) - (n - 1) / n
    gaps = []
    for m in (10, 100, 1000, 10_000):
        won = np.diff((np.arange(m + 1) / m) ** n)
        gaps.append(bound - float((won * np.log(won * m)).sum()))
    assert all(a > b > 0 for a, b in itertools.pairwise(gaps))
    assert gaps[-1] < 1e-5


@pytest.mark.claim("prop-frontier")
@pytest.mark.parametrize("pi, r", CASES)
def test_no_distribution_at_that_distance_earns_more(pi, r):
    rng = np.random.default_rng(2)
    rhos = [*rng.dirichlet(np.ones(len(pi)), 300), *rng.dirichlet(0.2 * np.ones(len(pi)), 300), formula(pi, r, 3)]
    for beta in (0.1, 0.5, 2.0):
        tilt = conditioned(pi, np.exp(r / beta))
        for rho in rhos:
            right = tilt @ r + beta * (kl(rho, pi) - kl(tilt, pi) - kl(rho, tilt))
            assert close(rho @ r, right, 1e-10)
            assert kl(rho, pi) > kl(tilt, pi) or rho @ r < tilt @ r + 1e-12


def tilt_at(pi, r, distance):
    low, high = 1e-3, 1e4
    for _ in range(200):
        beta = math.sqrt(low * high)
        low, high = (beta, high) if kl(conditioned(pi, np.exp((r - r.max()) / beta)), pi) > distance else (low, beta)
    return conditioned(pi, np.exp((r - r.max()) / beta))


@pytest.mark.claim("prop-frontier")
def test_best_of_n_is_optimal_with_two_levels_and_not_with_these_more():
    for pi, r, optimal in (
        (PI, np.array([0.0, 1.0, 0.0]), True),
        (np.array([0.2, 0.5, 0.3]), np.array([0.3, 0.3, 0.9]), True),
        (START, GRADES, False),
    ):
        for n in (2, 4):
            won = formula(pi, r, n)
            tilt = tilt_at(pi, r, kl(won, pi))
            assert close(won, tilt, 1e-9) == optimal
            assert (tilt @ r - won @ r < 1e-9) == optimal


@pytest.mark.claim("prop-frontier")
def test_with_three_levels_it_is_optimal_exactly_for_affine_logarithms():
    pi = np.array([0.2, 0.5, 0.3])
    ratio = np.log(formula(pi, np.array([0.0, 1.0, 2.0]), 2) / pi)
    won = pi * np.exp(ratio)
    assert close(won, tilt_at(pi, ratio, kl(won, pi)), 1e-9)  # a teacher who grades like this
    assert not close(won, tilt_at(pi, np.array([0.0, 1.0, 2.0]), kl(won, pi)), 1e-3)


@pytest.mark.claim("prop-frontier")
def test_with_a_rare_jackpot_best_of_n_is_far_from_optimal():
    pi, r = np.array([0.09, 0.90, 0.01]), np.array([0.0, 0.01, 1.0])
    for n, earned, most in ((2, 0.030, 0.074), (16, 0.157, 0.184)):
        won = formula(pi, r, n)
        assert close(won @ r, earned, 5e-4)
        assert close(tilt_at(pi, r, kl(won, pi)) @ r, most, 5e-4)


# --- One loop, many names


def table(rewards):
    return ostrl.TableTask(torch.tensor([rewards], dtype=torch.float64))


def looped(methods, grows, steps, group_size=4, restart=False, rewards=(0.0, 1.0, 0.6), lr=2.0, size=64):
    policy = ostrl.CategoricalPolicy(torch.tensor(PI)[None].log())
    optimizer = torch.optim.SGD(policy.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    loop = ostrl.grow_improve(
        methods,
        policy,
        table(list(rewards)),
        optimizer,
        batch_size=size,
        group_size=group_size,
        improve_steps=steps,
        restart=restart,
        generator=generator,
    )
    batches = {}
    for record in itertools.islice(loop, grows * len(methods) * steps):
        batches[record.grow] = record.batch
    return policy.probs().detach().numpy()[0], batches


def imitated(batch, select):
    """What a full refit to a batch gives: the shares of the labels that ``select`` keeps of a group."""
    counts = np.zeros(3)
    for actions, returns in zip(batch.actions.tolist(), batch.rewards.tolist(), strict=True):
        for i in select(returns):
            counts[actions[i]] += 1
    return counts / counts.sum()


@pytest.mark.claim("cor-one-loop")
@pytest.mark.parametrize("restart", [False, True])
def test_each_setting_ends_at_the_refit_to_its_labels(restart):
    settings = {
        "ReST": ([rest(0.3), rest(0.6)], lambda rs: [i for i, x in enumerate(rs) if x >= 0.6]),
        "STaR": ([rest(0.6)], lambda rs: [i for i, x in enumerate(rs) if x >= 0.6]),
        "RAFT": ([raft()], lambda rs: [rs.index(max(rs))]),
    }
    for methods, select in settings.values():
        now, batches = looped(methods, grows=2, steps=300, restart=restart, lr=3.0)
        assert close(now, imitated(batches[2], select), 3e-3)


@pytest.mark.claim("cor-one-loop")
def test_the_refits_of_unlimited_labels_are_the_closed_forms():
    r = np.array([0.0, 1.0, 0.6])
    policy = ostrl.CategoricalPolicy(torch.tensor(PI)[None].log())
    for method, target in ((raft(), formula(PI, r, 3)), (rest_per_prompt(0.6), conditioned(PI, r >= 0.6))):
        labels = np.zeros(3)  # expected w / Z on each answer, over all groups of 3
        for group in itertools.product(range(3), repeat=3):
            batch = method.label.batch(policy, table(r.tolist()), torch.tensor([0]), torch.tensor([group]))
            weights = method.weights(batch)
            share = (weights / method.normalize(batch, weights))[0].numpy()
            np.add.at(labels, list(group), math.prod(PI[list(group)]) * share)
        assert close(labels / labels.sum(), target)


@pytest.mark.claim("cor-one-loop")
@pytest.mark.parametrize("method", [rest(0.6), rest_per_prompt(0.6)], ids=lambda m: m.name)
def test_several_groups_of_one_prompt_are_refitted_to_the_filter(method):
    r = np.array([0.0, 1.0, 0.6])
    policy = ostrl.CategoricalPolicy(torch.tensor(PI)[None].log())
    labels = np.zeros(3)
    for four in itertools.product(range(3), repeat=4):  # two groups of two, with a random Z
        batch = method.label.batch(policy, table(r.tolist()), torch.tensor([0, 0]), torch.tensor(four).view(2, 2))
        weights = method.weights(batch)
        share = (weights / method.normalize(batch, weights)).flatten().numpy()
        np.add.at(labels, list(four), math.prod(PI[list(four)]) * share)
    assert close(labels / labels.sum(), conditioned(PI, r >= 0.6))


@pytest.mark.claim("cor-one-loop")
def test_restart_matters_for_short_improves_only():
    short, again = (looped([rest(0.6)], 4, 2, restart=again, lr=0.3)[0] for again in (False, True))
    assert short[0] < again[0] - 0.1  # progress was thrown away


@pytest.mark.claim("cor-one-loop")
@pytest.mark.parametrize("name", ["rest", "rloo", "raft"])
def test_one_step_an_improve_is_on_policy_training(name):
    method = ostrl.METHODS[name]
    now, _ = looped([method], 5, 1, rewards=(0.0, 1.0, 0.0), lr=0.3, size=2)
    policy = ostrl.CategoricalPolicy(torch.tensor(PI)[None].log())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(5):
            batch = method.label.sample(policy, table([0.0, 1.0, 0.0]), 2, 4, generator)
            weights = method.weights(batch)
            pi = policy.probs()[0]
            scores = torch.eye(3, dtype=torch.float64)[batch.actions] - pi
            step = ((weights / method.normalize(batch, weights))[..., None] * scores).sum((0, 1))
            policy.logits += 0.3 * step
    assert close(now, policy.probs().detach().numpy()[0])


# --- The better of two


def scores_of(theta):
    """Scores of the network, a row for each answer."""
    return np.stack([slope(lambda x, a=a: np.log(network(x)[a]), theta) for a in range(3)])


def from_pairs(pi, s, prefer):
    """The mean over all pairs of the score that is imitated; ``prefer`` gives the weights of both."""
    total = np.zeros(s.shape[1])
    for a, b in itertools.product(range(len(pi)), repeat=2):
        first, second = prefer(a, b)
        total += pi[a] * pi[b] * (first * s[a] + second * s[b])
    return total


def better(r, ties=(1.0, 0.0)):
    return lambda a, b: (1.0, 0.0) if r[a] > r[b] else (0.0, 1.0) if r[b] > r[a] else ties


THETAS = [np.array([0.7, -0.4]), np.array([-1.2, 0.3]), np.array([2.0, 1.5])]


@pytest.mark.claim("thm-better-of-two")
@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("ties", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)], ids=["first", "second", "random"])
def test_imitating_the_better_of_two_is_the_policy_gradient(theta, ties):
    pi, s = network(theta), scores_of(theta)
    for r in ([0, 1, 0], [1, 0, 1], [0, 0, 1]):
        r = np.array(r, dtype=float)
        grad_J = slope(lambda x, r=r: network(x) @ r, theta)
        assert close(from_pairs(pi, s, better(r, ties)), grad_J)
    for r in (np.array([0.0, 0.2, 1.0]), np.array([3.0, -1.0, 3.0])):
        rank = np.array([pi[r <= v].sum() + pi[r < v].sum() for v in r])
        beats = np.array([2 * (pi[r < v].sum() + 0.5 * pi[r == v].sum()) for v in r])
        assert close(rank, beats)
        assert close(from_pairs(pi, s, better(r, ties)), slope(lambda x, b=beats: network(x) @ b, theta))


@pytest.mark.claim("thm-better-of-two")
@pytest.mark.parametrize("theta", THETAS)
def test_without_the_ties_it_is_pass_at_two(theta):
    pi, s, r = network(theta), scores_of(theta), np.array([0.0, 1.0, 1.0])
    dropped = from_pairs(pi, s, better(r, (0.0, 0.0)))
    p, grad_p = pi @ r, slope(lambda x: network(x) @ r, theta)
    assert close(dropped, 2 * (1 - p) * grad_p)
    assert close(dropped, slope(lambda x: 1 - (1 - network(x) @ r) ** 2, theta))
    assert close(dropped / (2 * p * (1 - p)), grad_p / p)
    assert not close(dropped, grad_p, 1e-3)


@pytest.mark.claim("thm-better-of-two")
@pytest.mark.parametrize("theta", THETAS)
def test_divided_by_the_number_of_pairs_that_are_kept(theta):
    pi, s, r = network(theta), scores_of(theta), np.array([0.0, 1.0, 1.0])
    total, some = np.zeros(2), 0.0
    for four in itertools.product(range(3), repeat=4):  # two pairs
        kept = [max(pair, key=lambda a: r[a]) for pair in (four[:2], four[2:]) if r[pair[0]] != r[pair[1]]]
        if kept:
            probability = math.prod(pi[a] for a in four)
            some += probability
            total += probability * sum(s[a] for a in kept) / len(kept)
    p, grad_p = pi @ r, slope(lambda x: network(x) @ r, theta)
    assert close(some, 1 - (1 - 2 * p * (1 - p)) ** 2)
    assert close(total / some, grad_p / p)


@pytest.mark.claim("thm-better-of-two")
@pytest.mark.parametrize("theta", THETAS)
def test_averaged_over_prompts_with_shared_parameters(theta):
    prompts = [  # P(o), the answers' probabilities from the same two parameters, returns 0 or 1, graded returns
        (0.3, network, np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.4])),
        (0.7, lambda x: softmax_of(x[1], x[0] * x[0]), np.array([1.0, 0.0]), np.array([0.9, 0.2])),
    ]
    right, graded = np.zeros(2), np.zeros(2)
    for P, probs, r, g in prompts:
        pi = probs(theta)
        s = np.stack([slope(lambda x, a=a, f=probs: np.log(f(x)[a]), theta) for a in range(len(pi))])
        right += P * from_pairs(pi, s, better(r))
        graded += P * from_pairs(pi, s, lambda a, b, g=g: ((1 + g[a] - g[b]) / 2, (1 + g[b] - g[a]) / 2))
    J = slope(lambda x: sum(P * (f(x) @ r) for P, f, r, _ in prompts), theta)
    assert close(right, J)
    assert close(graded, slope(lambda x: sum(P * (f(x) @ g) for P, f, _, g in prompts), theta))


@pytest.mark.claim("thm-better-of-two")
@pytest.mark.parametrize("theta", THETAS)
def test_a_preference_in_proportion_to_the_margin_is_right_for_grades(theta):
    pi, s = network(theta), scores_of(theta)
    for r in (np.array([0.0, 0.2, 1.0]), np.array([0.9, 0.3, 0.3]), np.array([-0.5, 0.5, 0.1])):
        coin = from_pairs(pi, s, lambda a, b, r=r: ((1 + r[a] - r[b]) / 2, (1 + r[b] - r[a]) / 2))
        assert close(coin, slope(lambda x, r=r: network(x) @ r, theta))


@pytest.mark.claim("thm-better-of-two")
def test_with_grades_the_better_of_two_may_go_down():
    pi, r = np.array([0.09, 0.90, 0.01]), np.array([0.0, 0.01, 1.0])
    got = from_pairs(pi, np.eye(3) - pi, better(r))
    assert got @ (pi * (r - pi @ r)) < -1e-4
    assert close(pi @ r, 0.0190, 1e-9)
    z, returns = np.log(pi), []
    for _ in range(4000):  # along the flow it is down at first only
        now = softmax(z)
        returns.append(now @ r)
        u, low = np.array([[now[r <= v].sum(), now[r < v].sum()] for v in r]).T
        z = z + 0.1 * now * (u + low - now @ (u + low))
    assert close(min(returns), 0.0159, 1e-4)
    assert 0 < np.argmin(returns) < 1000
    assert returns[-1] > 0.94


# --- Chance


@pytest.mark.claim("thm-drift")
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("pi", [PI, np.array([0.25, 0.75]), np.array([0.4, 0.3, 0.2, 0.1])], ids=["3", "2", "4"])
def test_drift_over_every_set_of_labels(size, pi):
    listed = list(label_sets(pi, size))
    assert close(sum(p * new for p, new in listed), pi)
    assert close(sum(p * diversity(new) for p, new in listed), (1 - 1 / size) * diversity(pi))


@pytest.mark.claim("thm-drift")
def test_drift_for_many_rounds_and_where_it_ends():
    size, states = 3, {tuple(PI): 1.0}
    r = np.array([0.0, 1.0, 0.5])
    for t in range(1, 61):
        states = evolve(states, lambda now: label_sets(now, size))
        assert close(mean(states, diversity), (1 - 1 / size) ** t * diversity(PI), 1e-10)
        assert close(mean(states, lambda s: s @ r), PI @ r, 1e-9)
        open_ended = sum(p for s, p in states.items() if max(s) < 1)
        assert open_ended <= size**2 / (2 * (size - 1)) * (1 - 1 / size) ** t * diversity(PI) + 1e-12
    for a in range(3):
        assert close(states[tuple(np.eye(3)[a])], PI[a], 1e-9)


@pytest.mark.claim("thm-drift")
@pytest.mark.parametrize("size", [2, 4])
def test_the_bound_holds_from_the_first_refit_on_and_not_before(size):
    pi = np.array([0.99, 0.01])  # no multiples of 1/N yet
    factor, states = size**2 / (2 * (size - 1)), {tuple(pi): 1.0}
    assert factor * diversity(pi) < 1  # and yet there are two answers
    for t in range(1, 20):
        states = evolve(states, lambda now: label_sets(now, size))
        several = sum(p for s, p in states.items() if max(s) < 1)
        assert 0 < several <= factor * (1 - 1 / size) ** t * diversity(pi) + 1e-12


@pytest.mark.claim("cor-pass-at-two")
def test_the_second_attempt_becomes_worthless():
    size, p, states = 3, 0.3, {tuple(PI): 1.0}
    for t in range(1, 41):
        states = evolve(states, lambda now: label_sets(now, size))
        second = mean(states, lambda s: 1 - (1 - s[1]) ** 2)
        assert close(second, p + p * (1 - p) * (1 - 1 / size) ** t, 1e-10)
        assert close(mean(states, lambda s: s[1]), p, 1e-10)
    for k in (3, 8):
        assert close(mean(states, lambda s, k=k: 1 - (1 - s[1]) ** k), p, 1e-5)


@pytest.mark.claim("prop-filtered-drift")
@pytest.mark.parametrize("size", [2, 4])
def test_filtered_self_training_drifts_among_the_right_answers(size):
    pi, keep = np.array([0.5, 0.3, 0.2]), np.array([0, 1, 1])
    good = conditioned(pi, keep)

    def filtered_round(now):
        for p, data in label_sets(now, size):
            yield p, conditioned(data, keep) if (data * keep).sum() else now

    some = 1 - 0.5**size
    states = {s: p / some for s, p in evolve({tuple(pi): 1.0}, filtered_round).items() if s[0] == 0}
    assert close(sum(states.values()), 1)
    inverse = sum(math.comb(size, m) * 0.5**size / m for m in range(1, size + 1)) / some
    for t in range(31):
        expected = (1 - inverse) * (1 - 1 / size) ** t * diversity(good)
        assert close(mean(states, diversity), expected, 1e-10)
        assert close(mean(states, lambda s: s), good, 1e-9)
        states = evolve(states, filtered_round)
    assert close(states[(0.0, 1.0, 0.0)], good[1], 1e-3)


# --- Human data


def mixed(h, alpha, size):
    return lambda now: label_sets(alpha * h + (1 - alpha) * now, size)


@pytest.mark.claim("thm-human-labels")
@pytest.mark.parametrize("size, alpha", [(2, 0.2), (3, 0.1), (3, 0.6), (4, 0.3), (2, 1.0)])
def test_half_a_human_label_a_round(size, alpha):
    h, x = np.array([0.5, 0.2, 0.3]), (size - 1) * alpha * (2 - alpha)
    lam = (1 - 1 / size) * (1 - alpha) ** 2
    states = {tuple(h): 1.0}
    for t in range(1, 9):
        states = evolve(states, mixed(h, alpha, size))
        expected = diversity(h) * (x / (1 + x) + lam**t / (1 + x))
        assert close(mean(states, diversity), expected, 1e-10)
    states = {(0.0, 0.0, 1.0): 1.0}  # any other start is forgotten
    for _ in range(150):
        states = evolve(states, mixed(h, alpha, size))
    assert close(mean(states, lambda s: s), h, 1e-6)
    assert close(mean(states, diversity), diversity(h) * x / (1 + x), 1e-6)


@pytest.mark.claim("prop-accumulate")
@pytest.mark.parametrize("size", [2, 3])
def test_what_is_never_thrown_away(size):
    first = np.array([2.0, 1.0, 0.0]) / 3 if size == 3 else np.array([0.5, 0.5, 0.0])
    states, expected = {tuple(first): 1.0}, diversity(first)
    for t in range(1, 7):

        def all_labels(now, t=t):
            for p, new in label_sets(now, size):
                yield p, (t * now + new) / (t + 1)

        states = evolve(states, all_labels)
        expected *= 1 - 1 / (size * (t + 1) ** 2)
        assert close(mean(states, diversity), expected, 1e-9)


@pytest.mark.claim("prop-accumulate")
@pytest.mark.parametrize("size", [2, 8, 100])
def test_the_limit_is_a_sine(size):
    k = np.arange(2, 2_000_001, dtype=float)
    product = np.exp(np.log1p(-1 / (size * k**2)).sum())
    c = math.pi / math.sqrt(size)
    limit = size / (size - 1) * math.sin(c) / c
    assert close(product, limit, 1e-6)
    assert 1 - 0.645 / size < limit < 1


# --- Kept close, or collapsed


@pytest.mark.claim("prop-projection")
@pytest.mark.parametrize("pi, r", CASES)
def test_the_filter_is_the_nearest_that_always_succeeds(pi, r):
    keep = r >= 0.7
    p, nearest = pi[keep].sum(), conditioned(pi, keep)
    assert close(kl(nearest, pi), math.log(1 / p))
    assert close(exact.filtered(torch.tensor(pi), torch.tensor(r), 0.7).numpy(), nearest)
    rng = np.random.default_rng(3)
    for weights in rng.dirichlet(np.ones(int(keep.sum())), 100):
        rho = np.zeros(len(pi))
        rho[keep] = weights
        assert close(kl(rho, pi), kl(rho, nearest) + math.log(1 / p))
        assert kl(rho, pi) >= math.log(1 / p) - 1e-12


H_DEMO, KEEP = np.array([0.3, 0.1, 0.2, 0.4]), np.array([0, 1, 1, 0])
FIRST = np.array([0.2, 0.5, 0.1, 0.2])


@pytest.mark.claim("thm-rest-demonstrations")
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5])
def test_filtered_demonstrations_decide_where_it_ends(alpha):
    kappa, good = (H_DEMO * KEEP).sum(), conditioned(H_DEMO, KEEP)
    share = alpha * kappa / (1 - alpha + alpha * kappa)
    now = conditioned(alpha * H_DEMO + (1 - alpha) * FIRST, KEEP)
    gap = now - good
    assert close(now @ KEEP, 1)
    for t in range(1, 30):
        now = conditioned(alpha * H_DEMO + (1 - alpha) * now, KEEP)
        assert close(now - good, gap * (1 - share) ** t)
    if alpha == 0:
        assert close(now, conditioned(FIRST, KEEP))
    assert close(conditioned(alpha * H_DEMO + (1 - alpha) * H_DEMO, KEEP), good)  # the first model is h


@pytest.mark.claim("thm-rest-demonstrations")
@pytest.mark.parametrize("alpha, h_right, end", [(0.5, 0.5, math.sqrt(0.5)), (0.1, 0.3, 0.92493), (0.5, 1.0, 1.0)])
@pytest.mark.parametrize("first", [FIRST, np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.499, 1e-3, 1e-3, 0.499])])
def test_unfiltered_demonstrations_among_the_written_labels(alpha, h_right, end, first):
    h = h_right * conditioned(H_DEMO, KEEP) + (1 - h_right) * conditioned(H_DEMO, 1 - KEEP)
    now = first
    for _ in range(2000):
        kept = alpha * h + (1 - alpha) * now * KEEP  # the model's rejected answers are gone
        now = kept / kept.sum()
    p = now @ KEEP
    assert close(alpha * (p - h_right), (1 - alpha) * p * (1 - p), 1e-9)
    assert close(p, end, 1e-5)
    assert close(conditioned(now, KEEP), conditioned(h, KEEP), 1e-9)
    if h_right < 1:
        assert abs(p - (1 - alpha * (1 - h_right))) > 0.004  # not the end of the other count
        assert close(conditioned(now, 1 - KEEP), conditioned(h, 1 - KEEP), 1e-9)


@pytest.mark.claim("thm-rest-demonstrations")
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_unfiltered_demonstrations_among_the_kept_labels(alpha):
    p_h, now = (H_DEMO * KEEP).sum(), FIRST
    for _ in range(1500):  # the model writes again until its share is kept
        now = alpha * H_DEMO + (1 - alpha) * conditioned(now, KEEP)
    assert close(now @ KEEP, 1 - alpha * (1 - p_h))
    assert close(conditioned(now, KEEP), conditioned(H_DEMO, KEEP), 1e-9)
    assert close(conditioned(now, 1 - KEEP), conditioned(H_DEMO, 1 - KEEP), 1e-9)


@pytest.mark.claim("cor-kept-human")
@pytest.mark.parametrize("size, alpha", [(2, 0.3), (3, 0.5)])
def test_demonstrations_that_pass_keep_diversity_alive(size, alpha):
    kappa, good = (H_DEMO * KEEP).sum(), conditioned(H_DEMO, KEEP)
    share = alpha * kappa / (1 - alpha + alpha * kappa)

    def until_kept(now):
        """N kept labels, each the first of its draws that passes: independent draws, given that they pass."""
        return label_sets(conditioned(alpha * H_DEMO + (1 - alpha) * now, KEEP), size)

    states = {tuple(FIRST): 1.0}
    for _ in range(200):
        states = evolve(states, until_kept)
    x = (size - 1) * share * (2 - share)
    assert close(mean(states, lambda s: s), good, 1e-6)
    assert close(mean(states, diversity), diversity(good) * x / (1 + x), 1e-6)


# --- Hotter and colder


def tempered(pi, T, w):
    return conditioned(pi ** (1 / T), w)


@pytest.mark.claim("prop-temperature")
@pytest.mark.parametrize("T", [0.7, 1.0, 1.3])
def test_temperature_compounds(T):
    tied = np.array([0.3, 0.3, 0.2, 0.15, 0.05])
    for keep in (np.ones(5), np.array([0, 0, 1, 1, 1])):
        now = tied
        for t in range(1, 101):
            now = tempered(now, T, keep)
            if t < 10:
                assert close(now, conditioned(tied ** (1 / T**t), keep))
        left = tied * keep
        likely = (left == left.max()) * 1.0
        end = {0.7: likely, 1.0: left, 1.3: keep}[T]
        assert close(now, end / end.sum(), 1e-9)


@pytest.mark.claim("prop-temperature")
@pytest.mark.parametrize("T", [0.7, 1.3])
def test_fixed_points_are_uniform_on_some_answers(T):
    for size in range(1, 4):
        for support in itertools.combinations(range(3), size):
            uniform = np.isin(np.arange(3), support) / size
            assert close(tempered(uniform, T, np.ones(3)), uniform)
    for pi in np.random.default_rng(4).dirichlet(np.ones(3), 200):
        assert not close(tempered(pi, T, np.ones(3)), pi, 1e-6)


@pytest.mark.claim("prop-temperature")
@pytest.mark.parametrize("T, beta", [(1.25, 2.0), (2.0, 0.5), (1.05, 20.0)])
def test_hot_and_soft_has_one_end(T, beta):
    r = np.array([0.0, 1.0, 0.4])
    end = conditioned(np.ones(3), np.exp(r / (beta * (1 - 1 / T))))
    for start in (PI, np.array([0.98, 0.01, 0.01]), np.array([1e-9, 1e-6, 1 - 1e-9 - 1e-6])):
        now = start
        for _ in range(800):
            now = tempered(now, T, np.exp(r / beta))
        assert close(now, end, 1e-10)

    def soft_value(pi):
        return pi @ r - beta * (1 - 1 / T) * (pi @ np.log(pi))

    assert all(soft_value(pi) < soft_value(end) for pi in np.random.default_rng(5).dirichlet(np.ones(3), 300))


@pytest.mark.claim("prop-temperature")
@pytest.mark.parametrize("T", [0.7, 0.9])
def test_token_by_token_a_cold_loop_ends_at_the_greedy_answer_and_not_at_the_favorite(T):
    answers = {("A", "x"): 0.2, ("A", "y"): 0.2, ("A", "z"): 0.2, ("B", "x"): 0.4}
    whole = np.array(list(answers.values()))
    now = dict(answers)
    for _ in range(100):
        whole = tempered(whole, T, np.ones(4))
        new = {}
        for first, second in now:
            starts = {a: sum(p for k, p in now.items() if k[0] == a) for a in "AB"}
            nexts = {k: p / starts[k[0]] for k, p in now.items() if k[0] == first and starts[first] > 0}
            tempered_start = starts[first] ** (1 / T) / sum(p ** (1 / T) for p in starts.values())
            tempered_next = nexts.get((first, second), 0.0) ** (1 / T) / sum(
                p ** (1 / T) for p in nexts.values() or [1]
            )
            new[first, second] = tempered_start * tempered_next
        now = new
    assert close(whole, [0, 0, 0, 1], 1e-9)  # the proposition, for answers drawn whole
    assert close(list(now.values()), [1 / 3, 1 / 3, 1 / 3, 0], 1e-9)
