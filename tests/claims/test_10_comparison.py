"""Chapter 10: every claim, enumerated in plain NumPy, with derivatives by complex steps."""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import TABLES, integrate, jacobian, softmax

import ostrl
from ostrl import METHODS, exact
from ostrl.lm import homework, students
from ostrl.lm.studies import partly_wrong

RIGHT = [2, 0]  # the one right answer of each of two prompts
ASKED = np.array([0.7, 0.3])


def theta_of(size, seed=0):
    return np.random.default_rng(seed).normal(size=size)


def scores(table, theta):
    """∂ log π(a|o) / ∂θ, [O, A, P]."""
    return jacobian(lambda t: np.log(table(t)), theta)


def successes(table, theta):
    """p_o of each prompt."""
    return np.array([table(theta)[o, a] for o, a in enumerate(RIGHT)])


def slopes(table, theta):
    """∂p_o / ∂θ, [O, P]."""
    return jacobian(lambda t: np.stack([table(t)[o, a] for o, a in enumerate(RIGHT)]), theta)


def groups(probs, size):
    """Every group of answers to one prompt, with its probability."""
    for answers in itertools.product(range(len(probs)), repeat=size):
        yield math.prod(probs[a] for a in answers), answers


def demonstrators(seed=3):
    return np.random.default_rng(seed).dirichlet(np.ones(3), size=2)


def key():
    return np.eye(3)[RIGHT]


def imitation(table, theta, written):
    """Expected gradient of SFT on what is written, [O, A]."""
    return np.einsum("o,oa,oap->p", ASKED, written, scores(table, theta))


@pytest.mark.claim("thm-one-family")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("G", [1, 2, 3])
def test_four_methods_are_four_weights_on_the_same_slopes(table, size, G):
    theta = theta_of(size)
    pi, s, p, dp = table(theta), scores(table, theta), successes(table, theta), slopes(table, theta)
    logs = jacobian(lambda t: np.log(np.stack([table(t)[o, a] for o, a in enumerate(RIGHT)])), theta)
    # (a) RL: the return as weight, every group listed
    # (c) the filter per prompt: each estimate is the right string's score or nothing
    rl, filtered = 0, 0
    for o in range(2):
        for chance, answers in groups(pi[o], G):
            right = [a == RIGHT[o] for a in answers]
            rl = rl + ASKED[o] * chance * sum(s[o, a] for a, r in zip(answers, right, strict=True) if r) / G
            if any(right):
                estimate = sum(s[o, a] for a, r in zip(answers, right, strict=True) if r) / sum(right)
                assert np.allclose(estimate, logs[o], rtol=0, atol=1e-12)
                filtered = filtered + ASKED[o] * chance * estimate
    assert np.allclose(rl, ASKED @ dp, rtol=0, atol=1e-12)
    omega = (1 - (1 - p) ** G) / p
    assert np.allclose(filtered, (ASKED * omega) @ dp, rtol=0, atol=1e-12)
    # (b) SFT on the key
    on_key = imitation(table, theta, key())
    assert np.allclose(on_key, ASKED @ logs, rtol=0, atol=1e-12)
    assert np.allclose(on_key, (ASKED / p) @ dp, rtol=0, atol=1e-12)


@pytest.mark.claim("thm-one-family")
@pytest.mark.parametrize("table, size", TABLES)
def test_pooled_filtering_of_pairs_climbs_the_logarithm_of_the_mean(table, size):
    theta = theta_of(size, 1)
    pi, s, p = table(theta), scores(table, theta), successes(table, theta)
    J, N = ASKED @ p, 3
    pairs = [(ASKED[o] * pi[o, a], o, a) for o in range(2) for a in range(3)]
    mean = 0
    for batch in itertools.product(pairs, repeat=N):
        chance, kept = math.prod(c for c, *_ in batch), [(o, a) for _, o, a in batch if a == RIGHT[o]]
        if kept:
            mean = mean + chance * sum(s[o, a] for o, a in kept) / len(kept)
    slope = jacobian(lambda t: np.log(sum(ASKED[o] * table(t)[o, a] for o, a in enumerate(RIGHT))), theta)
    assert np.allclose(mean, (1 - (1 - J) ** N) * slope, rtol=0, atol=1e-12)


@pytest.mark.claim("thm-one-family")
def test_the_rows_of_the_package_are_these_methods():
    generator = torch.Generator().manual_seed(4)
    policy = ostrl.StringPolicy(2, vocab_size=2, max_length=3, generator=generator)
    rewards = torch.tensor([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    asked = torch.tensor(ASKED)
    p = (policy.probs().detach() * rewards).sum(1)
    alone = [ostrl.TableTask(rewards, row) for row in torch.eye(2, dtype=torch.float64)]
    dp = torch.stack([exact.gradient(policy, task) for task in alone])
    task = ostrl.TableTask(rewards, asked, demonstrations=rewards)
    for name, omega in {
        "rloo": torch.ones(2),
        "sft": 1 / p,
        "rest_per_prompt": (1 - (1 - p) ** 3) / p,
    }.items():
        mean = exact.moments(METHODS[name], policy, task, 3, covariance=False).mean
        assert torch.allclose(mean, (asked * omega) @ dp, rtol=0, atol=1e-12), name


@pytest.mark.claim("prop-mixed-demonstrators")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("c", [0.2, 0.7])
def test_partly_wrong_demonstrations_are_a_shorter_step_toward_the_key(table, size, c):
    theta = theta_of(size, 2)
    written = demonstrators()
    mixed = imitation(table, theta, c * key() + (1 - c) * written)
    parts = c * imitation(table, theta, key()) + (1 - c) * imitation(table, theta, written)
    assert np.allclose(mixed, parts, rtol=0, atol=1e-12)
    assert not np.allclose(mixed, c * imitation(table, theta, key()), atol=1e-3)
    # a model that writes as they do: the wrong part is silent
    own = table(theta)
    mixed = imitation(table, theta, c * key() + (1 - c) * own)
    assert np.allclose(mixed, c * imitation(table, theta, key()), rtol=0, atol=1e-12)


@pytest.mark.claim("prop-mixed-demonstrators")
def test_partly_wrong_demonstrations_have_a_ceiling():
    prompts = homework.prompts("held_out")
    shares = [partly_wrong(prompt)[homework.solve(prompt)] for prompt in prompts]
    at_home = [students.distribution(prompt)[homework.solve(prompt)] for prompt in prompts]
    assert np.allclose(shares, 0.7 + 0.3 * np.array(at_home), rtol=0, atol=1e-12)
    assert abs(np.mean(at_home) - 0.54) < 0.02 and abs(np.mean(shares) - 0.86) < 0.01
    # SFT of a table comes to rest there: the push h − π is zero at h and nowhere else
    written = partly_wrong(prompts[0])
    h = np.array(list(written.values()))
    z = np.log(np.full(len(h), 1 / len(h)))
    for _ in range(4000):
        pi = np.exp(z) / np.exp(z).sum()
        z = z + 0.5 * (h - pi)
    assert np.allclose(pi, h, atol=1e-9)


@pytest.mark.claim("prop-class-at-rest")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("human", [1, 2, 3])
def test_at_the_class_imitation_is_noise(table, size, human):
    """Groups of three labels, some by demonstrators who write as the model does."""
    theta = theta_of(size, 5)
    pi, s = table(theta), scores(table, theta)
    written = pi.copy()
    for o in range(2):
        fisher = np.einsum("a,ap,aq->pq", pi[o], s[o], s[o])
        mean, square = 0, 0
        for answers in itertools.product(range(3), repeat=3):
            writers = [written[o] if slot < human else pi[o] for slot in range(3)]
            chance = math.prod(w[a] for w, a in zip(writers, answers, strict=True))
            g = sum(s[o, a] for a in answers) / 3
            mean, square = mean + chance * g, square + chance * np.outer(g, g)
        assert np.allclose(mean, 0, rtol=0, atol=1e-12)
        assert np.allclose(square, fisher / 3, rtol=0, atol=1e-12)
        assert np.trace(fisher) > 0.01


@pytest.mark.claim("prop-distillation-ceiling")
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_file_of_a_stronger_models_answers(n):
    """Every file of n answers to each of two prompts, listed: imitate all of it, or what is right in it."""
    strong = np.array([[0.05, 0.15, 0.8], [0.6, 0.3, 0.1]])
    a = np.array([strong[o, RIGHT[o]] for o in range(2)])
    for o in range(2):
        as_it_is, square, graded = 0, 0, 0
        for chance, answers in groups(strong[o], n):
            share = answers.count(RIGHT[o]) / n
            as_it_is, square = as_it_is + chance * share, square + chance * share**2
            graded += chance * (share > 0)
        assert abs(as_it_is - a[o]) < 1e-12
        assert abs(square - as_it_is**2 - a[o] * (1 - a[o]) / n) < 1e-12
        assert abs(graded - (1 - (1 - a[o]) ** n)) < 1e-12
    # SFT of a table on the file comes to rest at its frequencies
    counts = np.bincount([2, 2, 0, 1], minlength=3) / 4
    z = np.zeros(3)
    for _ in range(4000):
        z = z + 0.5 * (counts - np.exp(z) / np.exp(z).sum())
    assert np.allclose(np.exp(z) / np.exp(z).sum(), counts, atol=1e-9)


def divergence(p, q):
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0), axis=-1)


def coin(p, q):
    """kl of two coins."""
    return divergence(np.stack([p, 1 - p], -1), np.stack([q, 1 - q], -1))


@pytest.mark.claim("thm-price-of-accuracy")
def test_accuracy_costs_at_least_the_divergence_of_two_coins():
    rng = np.random.default_rng(6)
    r = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    for _ in range(200):
        base, other = rng.dirichlet(np.ones(5), size=2)
        p, q = base @ r, other @ r
        assert divergence(other, base) >= coin(q, p) - 1e-12
        assert divergence(base, other) >= coin(p, q) - 1e-12
        kept = np.where(r > 0, base * q / p, base * (1 - q) / (1 - p))
        assert abs(divergence(kept, base) - coin(q, p)) < 1e-12
        assert abs(divergence(base, kept) - coin(p, q)) < 1e-12


@pytest.mark.claim("thm-price-of-accuracy")
@pytest.mark.parametrize("shift", [0.5, 2.0, 5.0])
def test_the_cheapest_way_adds_the_same_to_every_prompts_log_odds(shift):
    """Of any policy ρ: E KL(ρ‖π₀) = E KL(ρ‖tilted) + shift · mean accuracy − E log Z, so the tilt is cheapest."""
    rng = np.random.default_rng(7)
    base = rng.dirichlet(np.ones(4), size=3)
    asked = rng.dirichlet(np.ones(3))
    r = np.array([[1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 0, 0, 1.0]])
    p = (base * r).sum(1)
    Z = (base * np.exp(shift * r)).sum(1, keepdims=True)
    tilted = base * np.exp(shift * r) / Z
    accuracy = (tilted * r).sum(1)
    assert np.allclose(np.log(accuracy / (1 - accuracy)), np.log(p / (1 - p)) + shift, rtol=0, atol=1e-12)
    least = asked @ coin(accuracy, p)
    assert abs(asked @ divergence(tilted, base) - least) < 1e-12
    for _ in range(100):
        rho = rng.dirichlet(np.ones(4), size=3)
        cost = asked @ divergence(rho, base)
        identity = asked @ divergence(rho, tilted) + shift * (asked @ (rho * r).sum(1)) - asked @ np.log(Z[:, 0])
        assert abs(cost - identity) < 1e-12
        if asked @ (rho * r).sum(1) >= asked @ accuracy:
            assert cost > least
    # always right
    sure = base * r / p[:, None]
    assert abs(asked @ divergence(sure, base) - asked @ np.log(1 / p)) < 1e-12


@pytest.mark.claim("prop-grade-noise")
@pytest.mark.parametrize("table, size", TABLES)
@pytest.mark.parametrize("G", [2, 3, 4])
def test_given_the_grades_the_filter_has_no_noise_and_leave_one_out_has(table, size, G):
    theta = theta_of(size, 8)
    o = 0
    pi, s, right = table(theta)[o], scores(table, theta)[o], RIGHT[o]
    p = pi[right]
    wrong = np.array([a for a in range(3) if a != right])
    chances = pi[wrong] / (1 - p)
    m = chances @ s[wrong]
    C = np.einsum("a,ap,aq->pq", chances, s[wrong] - m, s[wrong] - m)
    assert np.allclose(m, -p / (1 - p) * s[right], rtol=0, atol=1e-12)
    by_grades = {K: [] for K in range(G + 1)}
    for chance, answers in groups(pi, G):
        K = answers.count(right)
        advantages = [(a == right) - (K - (a == right)) / (G - 1) for a in answers]
        rloo = sum(A * s[a] for A, a in zip(advantages, answers, strict=True)) / G
        kept = s[right] if K else np.zeros_like(s[right])
        plain = K / G * s[right]
        assert np.allclose(plain, sum(s[a] for a in answers if a == right) / G + np.zeros(size), rtol=0, atol=1e-12)
        by_grades[K].append((chance, rloo, kept))
    empty = 0
    for K, found in by_grades.items():
        weights = np.array([c for c, *_ in found])
        total = weights.sum()
        g = np.array([x for _, x, _ in found])
        mean = weights @ g / total
        covariance = np.einsum("n,np,nq->pq", weights / total, g - mean, g - mean)
        assert np.allclose(mean, K * (G - K) / (G * (G - 1)) * (s[right] - m), rtol=0, atol=1e-12)
        assert np.allclose(covariance, (K / (G * (G - 1))) ** 2 * (G - K) * C, rtol=0, atol=1e-12)
        assert np.allclose([k for *_, k in found], found[0][2], rtol=0, atol=1e-15)
        empty += total if K == 0 else 0
    assert abs(empty - (1 - p) ** G) < 1e-12
    # the filter's SNR over groups: the estimate is s* with probability 1 − (1 − p)^G, else nothing
    q = 1 - (1 - p) ** G
    signal = q**2 * (s[right] @ s[right])
    noise = q * (s[right] @ s[right]) - signal
    assert abs(signal / noise - q / (1 - q)) < 1e-9


@pytest.mark.claim("prop-pass-at-k-bounds")
def test_pass_at_k_lies_between_the_accuracy_and_that_of_even_prompts():
    rng = np.random.default_rng(9)
    for k in (2, 4, 16):
        for _ in range(100):
            asked, p = rng.dirichlet(np.ones(6)), rng.uniform(size=6)
            J = asked @ p
            passed = asked @ np.array(
                [sum(math.comb(k, j) * x**j * (1 - x) ** (k - j) for j in range(1, k + 1)) for x in p]
            )
            assert J < passed < 1 - (1 - J) ** k
        even, corners = np.full(6, 0.3), np.array([0, 1, 1, 0, 0, 1.0])
        assert abs(asked @ (1 - (1 - even) ** k) - (1 - 0.7**k)) < 1e-12
        assert abs(asked @ (1 - (1 - corners) ** k) - asked @ corners) < 1e-12


@pytest.mark.claim("prop-table-cosine")
def test_the_cosine_of_two_weights_on_a_table():
    """The closed form against the sum over every answer of every held-out prompt of the homework."""
    prompts = homework.prompts("held_out")
    numerator, rl, on_key = 0.0, 0.0, 0.0
    signal = np.zeros(3)
    for prompt in prompts:
        pi = np.array(list(students.distribution(prompt).values()))  # the right one first
        p = pi[0]
        e = np.eye(len(pi))[0]
        dp, push = p * (e - pi), e - pi
        numerator, rl, on_key = numerator + dp @ push, rl + dp @ dp, on_key + push @ push
        n2 = p**2 * ((1 - p) ** 2 + (pi[1:] ** 2).sum())
        signal += n2 * np.array([1, 1 / p, 1 / p**2])
    assert np.allclose(signal, [rl, numerator, on_key], rtol=1e-12)
    cosine = numerator / math.sqrt(rl * on_key)
    assert abs(cosine - signal[1] / math.sqrt(signal[0] * signal[2])) < 1e-12
    assert 0.9 < cosine < 0.96, cosine


@pytest.mark.claim("prop-class-opposes")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("right", [1, 2])
@pytest.mark.parametrize("hard", [False, True])
def test_the_class_pulls_back_from_the_first_step_on(seed, right, hard):
    """RL's flow from h: SFT on h opposes it at every later time, and KL(h‖π) rises, also where p is tiny."""
    rng = np.random.default_rng(seed)
    h = rng.dirichlet(np.full(5, 0.3 if hard else 1.0)) * 0.975 + 0.005
    if hard:
        h = np.sort(h)  # the right answers are the least likely ones
    r = (np.arange(5) < right).astype(float)

    def climb(z):
        pi = softmax(z - z.max())
        return pi * (r - pi @ r)

    before = 0.0
    for z in integrate(climb, np.log(h), np.geomspace(0.05, 2000, 25), 1e-10):
        pi = softmax(z - z.max())
        assert climb(z) @ (h - pi) < 0
        assert divergence(h, pi) > before
        before = divergence(h, pi)
    assert pi @ r > h @ r
