"""Chapter 06: every claim, enumerated or integrated in plain NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import integrate

import ostrl
from ostrl import METHODS, exact

SEEDS = range(4)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def problem(seed, answers=4, right=2):
    """Policy, demonstrators and returns for one prompt."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=answers)
    h = rng.dirichlet(np.full(answers, 2.0))
    r = np.zeros(answers)
    r[rng.choice(answers, right, replace=False)] = 1
    return z, h, r


def groups(slots):
    """Every group of answers with its probability; slot i is drawn from slots[i]."""
    for actions in itertools.product(*(range(len(q)) for q in slots)):
        yield math.prod(q[a] for q, a in zip(slots, actions, strict=True)), actions


def expected(slots, coefficients, pi):
    """Mean and covariance of Σ c_i (e_a − π) over every group; coefficients is a function of the answers."""
    mean, square = 0, 0
    scores = np.eye(len(pi)) - pi
    for prob, actions in groups(slots):
        g = sum(c * scores[a] for c, a in zip(coefficients(actions), actions, strict=True))
        mean, square = mean + prob * g, square + prob * np.outer(g, g)
    return mean, square - np.outer(mean, mean)


def slope(function, z, turn=1e-5):
    """Central differences."""
    knobs = turn * np.eye(z.size).reshape(-1, *z.shape)
    return np.array([(function(z + k) - function(z - k)) / (2 * turn) for k in knobs]).reshape(z.shape)


def climb(pi, r):
    return pi * (r - (pi * r).sum(-1, keepdims=True))


def kl(h, pi):
    return sum(x * math.log(x / y) for x, y in zip(h, pi, strict=True) if x > 0)


def table(z, r, h=None):
    policy = ostrl.CategoricalPolicy(torch.tensor(np.atleast_2d(z)))
    shown = None if h is None else torch.tensor(np.atleast_2d(h))
    return policy, ostrl.TableTask(torch.tensor(np.atleast_2d(r)), demonstrations=shown)


# Supervised fine-tuning


@pytest.mark.claim("prop-sft-likelihood")
@pytest.mark.parametrize("seed", SEEDS)
def test_sft_climbs_the_likelihood_of_the_demonstrations(seed):
    z, h, r = problem(seed)
    h[0] = 0
    h = h / h.sum()
    mean, _ = expected([h, h], lambda a: [0.5, 0.5], softmax(z))
    assert np.allclose(mean, h - softmax(z), atol=1e-12)
    assert np.allclose(mean, slope(lambda x: h[1:] @ np.log(softmax(x))[1:], z), atol=1e-8)
    assert np.allclose(mean, slope(lambda x: -kl(h, softmax(x)), z), atol=1e-8)
    library = exact.moments(METHODS["sft"], *table(z, r, h), 2).mean.numpy()
    assert np.allclose(library, mean, atol=1e-12)


@pytest.mark.claim("prop-sft-likelihood")
def test_sft_climbs_the_likelihood_with_shared_parameters_and_several_prompts():
    rng = np.random.default_rng(0)
    features, theta = rng.normal(size=(3, 2)), rng.normal(size=(2, 4))
    asked, h = np.array([0.5, 0.3, 0.2]), rng.dirichlet(np.ones(4), size=3)

    def log_pi(t):
        return np.log(softmax(features @ t))

    scores = np.array([[slope(lambda t, o=o, a=a: log_pi(t)[o, a], theta) for a in range(4)] for o in range(3)])
    pairs = sum(
        asked[o] * h[o, a] * h[o, b] * (scores[o, a] + scores[o, b]) / 2
        for o in range(3)
        for a in range(4)
        for b in range(4)
    )
    assert np.allclose(pairs, slope(lambda t: (asked[:, None] * h * log_pi(t)).sum(), theta), atol=1e-8)
    fall = slope(lambda t: -sum(asked[o] * kl(h[o], softmax(features @ t)[o]) for o in range(3)), theta)
    assert np.allclose(pairs, fall, atol=1e-8)


@pytest.mark.claim("prop-sft-destination")
@pytest.mark.parametrize("zero", [False, True])
def test_sft_ends_at_the_demonstrators(zero):
    for seed in SEEDS:
        z, h, _ = problem(seed)
        if zero:
            h[1] = 0
            h = h / h.sum()
        path = softmax(integrate(lambda x, h=h: 0.7 * (h - softmax(x)), 2 * z, np.geomspace(0.1, 3000, 40), 1e-9))
        distances = [kl(h, pi) for pi in path]
        assert (np.diff(distances) < 1e-9).all()
        assert np.abs(path[-1] - h).max() < (2e-3 if zero else 1e-8)


@pytest.mark.claim("prop-sft-destination")
@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_demonstrations_have_the_same_mean_destination(count):
    _, h, r = problem(1, answers=3, right=1)
    p_h = h @ r
    outcomes = [(prob, np.mean([r[a] for a in actions])) for prob, actions in groups([h] * count)]
    mean = sum(prob * x for prob, x in outcomes)
    assert abs(mean - p_h) < 1e-12
    assert abs(sum(prob * (x - mean) ** 2 for prob, x in outcomes) - p_h * (1 - p_h) / count) < 1e-12
    labels = np.array([0, 1, 1, 2])[:count]
    frequencies = np.bincount(labels, minlength=3) / count
    end = softmax(integrate(lambda x: np.mean(np.eye(3)[labels], 0) - softmax(x), [0.3, -0.2, 0.5], [1e4], 1e-9)[-1])
    assert np.abs(end - frequencies).max() < 2e-4  # with one demonstration a corner, reached like 1/t
    scores = np.eye(3) - softmax(np.array([0.3, -0.2, 0.5]))
    assert np.allclose(scores[labels].mean(0), frequencies - softmax(np.array([0.3, -0.2, 0.5])), atol=1e-12)


@pytest.mark.claim("prop-sft-as-rl")
@pytest.mark.parametrize("seed", SEEDS)
def test_sft_is_rl_with_the_return_h_over_pi(seed):
    z, h, _ = problem(seed)
    h[2] = 0
    h = h / h.sum()
    pi = softmax(z)
    scores = np.eye(4) - pi
    detached = sum(pi[a] * h[a] / pi[a] * scores[a] for a in range(4))
    assert np.allclose(detached, h - pi, atol=1e-12)
    objective = slope(lambda x: (softmax(x) * h / softmax(x)).sum(), z)
    assert np.abs(objective).max() < 1e-9
    surrogate = slope(lambda x: (pi * h / softmax(x) * np.log(softmax(x))).sum(), z)
    assert np.allclose(surrogate, sum(h[a] * (1 - math.log(pi[a])) * scores[a] for a in range(4)), atol=1e-8)
    assert np.abs(surrogate - detached).max() > 1e-2


@pytest.mark.claim("prop-two-changes")
@pytest.mark.parametrize("seed", SEEDS)
def test_who_labels_and_what_counts_are_two_changes(seed):
    z, h, r = problem(seed)
    pi, p_h = softmax(z), h @ r
    h_right = h * r / p_h
    cells = {("h", 1): h - pi, ("h", "R"): p_h * (h_right - pi), ("π", 1): 0 * pi, ("π", "R"): climb(pi, r)}
    for (who, weight), want in cells.items():
        q = {"h": h, "π": pi}[who]
        mean, _ = expected([q, q], lambda acts, w=weight: [(1 if w == 1 else r[a]) / 2 for a in acts], pi)
        assert np.allclose(mean, want, atol=1e-12)
    assert np.allclose(climb(pi, r), slope(lambda x: softmax(x) @ r, z), atol=1e-8)
    ends = {}
    for name, velocity in {
        "copy others": lambda pi: h - pi,
        "graded others": lambda pi: h * r - (h @ r) * pi,
        "copy oneself": lambda pi: pi - pi.sum() * pi,
        "RL": lambda pi: pi * r - (pi @ r) * pi,
    }.items():
        ends[name] = softmax(integrate(lambda x, v=velocity: v(softmax(x)), z, [2e4], 1e-9)[-1])
    assert np.abs(ends["copy others"] - h).max() < 1e-8
    assert np.abs(ends["graded others"] - h_right).max() < 2e-3
    assert np.abs(ends["copy oneself"] - pi).max() < 1e-10
    assert ends["RL"] @ r > 0.999 and ends["RL"].max() > 0.9  # of two right answers one takes all


# Unfiltered labels of one's own


@pytest.mark.claim("prop-unfiltered")
@pytest.mark.parametrize(("human", "own"), [(1, 1), (1, 2), (2, 1), (0, 3), (2, 2)])
def test_fresh_labels_of_ones_own_add_noise_and_no_signal(human, own):
    z, h, r = problem(human + own, answers=3, right=1)
    pi, n = softmax(z), human + own
    mean, covariance = expected([h] * human + [pi] * own, lambda acts: [1 / n] * n, pi)
    assert np.allclose(mean, human / n * (h - pi), atol=1e-12)
    fisher, c_h = np.diag(pi) - np.outer(pi, pi), np.diag(h) - np.outer(h, h)
    assert np.allclose(covariance, (human / n * c_h + own / n * fisher) / n, atol=1e-12)
    if human == n // 2:
        library = exact.moments(METHODS["self_training"], *table(z, r, h), n)
        assert np.allclose(library.mean.numpy(), mean, atol=1e-12)
        assert np.allclose(library.covariance.numpy(), covariance, atol=1e-12)


@pytest.mark.claim("prop-unfiltered")
def test_unfiltered_self_training_walks_the_path_of_sft_slowed():
    z, h, _ = problem(5)
    times = np.array([0.3, 1.0, 4.0])
    sft = integrate(lambda x: h - softmax(x), z, times)
    slowed = integrate(lambda x: 0.3 * (h - softmax(x)), z, times / 0.3)
    assert np.allclose(sft, slowed, atol=1e-8)
    policy, task = (
        ostrl.StringPolicy(2, 2, 2, generator=torch.Generator().manual_seed(0)).double(),
        ostrl.TableTask(
            torch.zeros(2, 3, dtype=torch.float64),
            demonstrations=torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]], dtype=torch.float64),
        ),
    )
    half = exact.moments(METHODS["self_training"], policy, task, 2).mean
    full = exact.moments(METHODS["sft"], policy, task, 2).mean
    assert torch.allclose(half, full / 2, rtol=0, atol=1e-12)
    assert full.abs().max() > 1e-2


@pytest.mark.claim("prop-frozen")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_frozen_labels_end_at_the_mixture(alpha):
    z, h, _ = problem(7)
    pi0, moved = softmax(z), np.array([0.5, 0, -1, 0])
    mean, _ = expected([alpha * h + (1 - alpha) * pi0] * 2, lambda a: [0.5, 0.5], softmax(z + moved))
    assert np.allclose(mean, alpha * h + (1 - alpha) * pi0 - softmax(z + moved), atol=1e-12)
    generation = z
    for k in range(1, 4):
        labels = alpha * h + (1 - alpha) * softmax(generation)
        generation = integrate(lambda x, q=labels: q - softmax(x), generation, [400])[-1]
        assert np.allclose(softmax(generation), h + (1 - alpha) ** k * (pi0 - h), atol=1e-8)


# Filtered labels of one's own


def written_end(alpha, p_h):
    low, high = 0.0, 1.0
    for _ in range(200):
        p = (low + high) / 2
        low, high = (p, high) if alpha * (p - p_h) < (1 - alpha) * p * (1 - p) else (low, p)
    return low


def destination(p, h, r):
    return np.where(r > 0, h * p / (h @ r), h * (1 - p) / (1 - h @ r))


@pytest.mark.claim("thm-filtered-destination")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_where_filtered_self_training_ends(seed, share):
    z, h, r = problem(seed)
    rng = np.random.default_rng(seed)
    kept = {
        "written": lambda x: share * (h - softmax(x)) + (1 - share) * climb(softmax(x), r),
        "kept": lambda x: share * (h - softmax(x)) + (1 - share) * climb(softmax(x), r) / (softmax(x) @ r),
    }
    ends = {"written": written_end(share, h @ r), "kept": 1 - share * (1 - h @ r)}
    for name, velocity in kept.items():
        for start in (z, 3 * rng.normal(size=4)):
            end = softmax(integrate(velocity, start, [3000], 1e-9)[-1])
            assert np.abs(end - destination(ends[name], h, r)).max() < 1e-6


@pytest.mark.claim("thm-filtered-destination")
def test_expected_gradients_of_filtered_self_training():
    z, h, r = problem(3, answers=3, right=1)
    pi = softmax(z)
    mean, _ = expected([h, pi, pi], lambda a: [1 / 3, r[a[1]] / 3, r[a[2]] / 3], pi)
    assert np.allclose(mean, (h - pi) / 3 + 2 / 3 * climb(pi, r), atol=1e-12)
    accepted = pi * r / (pi @ r)
    mean, _ = expected([h, accepted], lambda a: [0.4, 0.6], pi)
    assert np.allclose(mean, 0.4 * (h - pi) + 0.6 * slope(lambda x: math.log(softmax(x) @ r), z), atol=1e-8)
    for alpha, p_h in itertools.product([0.1, 0.5, 0.9], [0.05, 0.5, 0.95]):
        roots = np.roots([1 - alpha, 2 * alpha - 1, -alpha * p_h])
        inside = roots[(roots > 0) & (roots < 1)]
        assert len(inside) == 1 and abs(inside[0] - written_end(alpha, p_h)) < 1e-10
    assert abs(written_end(0.5, 0.4) - math.sqrt(0.4)) < 1e-12


@pytest.mark.claim("thm-filtered-destination")
@pytest.mark.parametrize(("count", "end"), [(1, 4 / 7), (2, 0.6056), (8, 0.6269), (16, 0.6298)])
def test_dividing_by_the_labels_kept_matters_in_small_batches_only(count, end):
    z, h, r = np.log([0.6, 0.3, 0.1]), np.array([0.1, 0.4, 0.5]), np.array([0.0, 1.0, 0.0])

    def velocity(x):  # the count of the model's right labels is binomial; each has the mean push π⁺ − π
        pi, total = softmax(x), 0
        p = pi @ r
        for k in range(count + 1):
            chance = math.comb(count, k) * p**k * (1 - p) ** (count - k)
            total = total + chance * (count * (h - pi) + k * (pi * r / p - pi)) / (count + k)
        return total

    if count <= 2:
        pi = softmax(z)

        def weigh(acts):
            kept = [1.0] * count + [r[a] for a in acts[count:]]
            return [w / sum(kept) for w in kept]

        assert np.allclose(expected([h] * count + [pi] * count, weigh, pi)[0], velocity(z), atol=1e-12)
    stop = softmax(integrate(velocity, z, [3000], 1e-9)[-1])
    assert abs(stop @ r - end) < 5e-5
    assert np.abs(stop - destination(stop @ r, h, r)).max() < 1e-6
    assert stop @ r < math.sqrt(0.4)
    for p, share in itertools.product((0.1, 0.7), (0.2, 0.5)):  # large batches: (b) with this share is (a)
        kappa = share / (share + (1 - share) * p)
        gap = 1 - kappa * (1 - 0.4) - p
        assert math.isclose(
            gap * (share + (1 - share) * p), (1 - share) * p * (1 - p) - share * (p - 0.4), abs_tol=1e-12
        )


@pytest.mark.claim("cor-pinch")
def test_without_human_labels_tied_leaders_share_everything():
    r = np.array([0.0, 1.0, 1.0, 1.0])
    for speed in (lambda p: 1.0, lambda p: 1 / p):

        def velocity(x, s=speed):
            return s(softmax(x) @ r) * climb(softmax(x), r)

        end = softmax(integrate(velocity, [1.0, 0.2, 0.2, -0.1], [1e7], 1e-9)[-1])
        assert np.abs(end - [0, 0.5, 0.5, 0]).max() < 0.01  # like one over the root of time
        assert abs(end[1] - end[2]) < 1e-9


@pytest.mark.claim("cor-pinch")
def test_a_pinch_of_human_labels_keeps_every_right_answer():
    r, h = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.5])
    for alpha, p_h in itertools.product([1e-4, 0.1, 0.5, 0.99], [0.01, 0.4, 0.9]):
        p = written_end(alpha, p_h)
        assert p > p_h and 1 - alpha * (1 - p_h) > p_h
        assert 1 - p <= alpha / (1 - alpha) * (1 - p_h) + 1e-12
    assert np.abs(destination(written_end(1e-9, h @ r), h, r) - [0, 4 / 9, 5 / 9]).max() < 1e-8
    assert np.abs(destination(1 - 1e-9 * (1 - h @ r), h, r) - [0, 4 / 9, 5 / 9]).max() < 1e-8
    start = np.log([0.6, 0.3, 0.1])
    for speed in (lambda p: 1.0, lambda p: 1 / p):
        end = softmax(integrate(lambda x, s=speed: s(softmax(x) @ r) * climb(softmax(x), r), start, [1e7], 1e-9)[-1])
        assert end[1] > 0.999
    pinch = softmax(integrate(lambda x: 0.02 * (h - softmax(x)) + 0.98 * climb(softmax(x), r), start, [1e5], 1e-9)[-1])
    assert np.abs(pinch - destination(written_end(0.02, 0.9), h, r)).max() < 1e-6
    assert np.abs(pinch - [0, 4 / 9, 5 / 9]).max() < 0.01


# Agreement, and the four studies


def agreement(pi, h, r):
    """The sign's formula, written out, and the inner product itself."""
    p = pi @ r
    plus, minus = pi * r / p, pi * (1 - r) / (1 - p)
    return (plus - minus) @ (h - pi), climb(pi, r) @ (h - pi)


@pytest.mark.claim("prop-late-opposition")
def test_imitation_agrees_early_and_opposes_late():
    rng = np.random.default_rng(0)
    signs = {"early": 0, "late": 0, "between": set()}
    for _ in range(3000):
        n = rng.integers(2, 6)
        pi, h = rng.dirichlet(np.full(n, 0.7)), rng.dirichlet(np.full(n, 0.7))
        r = np.eye(n)[0]
        p, p_h = pi[0], h[0]
        if not 1e-9 < p < 1 - 1e-9:
            continue
        shape, product = agreement(pi, h, r)
        assert math.isclose(product, p * (1 - p) * shape, abs_tol=1e-12)
        if n == 2:
            assert np.sign(product) == np.sign(p_h - p)
        elif p < 2 * p_h - 1:
            signs["early"] += 1
            assert product > 0
        elif p > (1 + p_h) / 2:
            signs["late"] += 1
            assert product < 0
        else:
            signs["between"].add(np.sign(product))
    assert signs["early"] > 50 and signs["late"] > 50 and signs["between"] == {-1.0, 1.0}
    _, product = agreement(np.array([0.72, 0.24, 0.04]), np.array([0.9, 0.0, 0.1]), np.array([1.0, 1.0, 0.0]))
    assert abs(product - 5.76e-4) < 1e-12  # p = 0.96 is late, and yet: two right answers are not covered
    z, h, r = problem(2)
    shape, product = agreement(softmax(z), h, r)
    p = softmax(z) @ r
    assert math.isclose(product, p * (1 - p) * shape, abs_tol=1e-12)
    assert math.isclose(product, slope(lambda x: softmax(x) @ r, z) @ (h - softmax(z)), abs_tol=1e-8)


def rl_time(p, q):
    u, v = math.log(p / (1 - p)), math.log(q / (1 - q))
    return v + math.sinh(v) - u - math.sinh(u)


def sft_time(p, q, p_h):
    def clock(x):
        return (math.log(x) / p_h + math.log(1 - x) / (1 - p_h) - math.log(p_h - x) / (p_h * (1 - p_h))) / 2

    return clock(q) - clock(p)


@pytest.mark.claim("prop-rare-reward")
@pytest.mark.parametrize(("p", "q", "p_h"), [(0.01, 0.5, 0.9), (0.2, 0.55, 0.6), (0.001, 0.02, 0.03)])
def test_times_of_being_told_and_of_finding_out(p, q, p_h):
    start, r, h = np.log([p, 1 - p]), np.array([1.0, 0.0]), np.array([p_h, 1 - p_h])
    rl = softmax(integrate(lambda x: climb(softmax(x), r), start, [rl_time(p, q)])[-1])
    sft = softmax(integrate(lambda x: h - softmax(x), start, [sft_time(p, q, p_h)])[-1])
    assert abs(rl[0] - q) < 1e-8 and abs(sft[0] - q) < 1e-8


@pytest.mark.claim("prop-rare-reward")
def test_growth_of_the_two_times():
    for p in (1e-8, 1e-10):
        assert abs(rl_time(p, 0.5) * 2 * p - 1) < 1e-5
    ratios = [sft_time(p, 0.5, 0.9) / (math.log(1 / p) / 1.8) for p in (1e-20, 1e-100, 1e-300)]
    assert abs(ratios[-1] - 1) < 5e-3 and abs(ratios[-1] - 1) < abs(ratios[0] - 1)


@pytest.mark.claim("prop-rare-reward")
def test_a_filtered_label_costs_what_it_gains():
    z, _, r = problem(4)
    z = z - 3 * r

    def filtered(state):  # the last entry counts written answers, 1/p for each kept label
        p = softmax(state[:-1]) @ r
        return np.append(climb(softmax(state[:-1]), r) / p, 1 / p)

    states = integrate(filtered, np.append(z, 0.0), [0.5, 1.5, 4.0])
    rl = integrate(lambda x: climb(softmax(x), r), z, states[:, -1])
    assert np.allclose(rl, states[:, :-1], atol=1e-7)
    assert states[-1, -1] > 2 * 4.0  # dear at first: the right answers are rare


@pytest.mark.claim("prop-rare-reward")
def test_a_filtered_label_costs_what_it_gains_with_shared_parameters():
    rng = np.random.default_rng(3)
    features, theta = rng.normal(size=(5, 2)), np.array([-1.0, 0.4])
    r = np.array([0.0, 1.0, 0.0, 1.0, 0.0])

    def rise(t):  # ∇p with respect to the two parameters
        return climb(softmax(features @ t), r) @ features

    assert np.allclose(rise(theta), slope(lambda t: softmax(features @ t) @ r, theta), atol=1e-8)

    def filtered(state):
        return np.append(rise(state[:2]), 1.0) / (softmax(features @ state[:2]) @ r)

    states = integrate(filtered, np.append(theta, 0.0), [0.5, 1.5, 4.0])
    rl = integrate(rise, theta, states[:, -1])
    assert np.allclose(rl, states[:, :2], atol=1e-7)
    assert np.abs(rl[-1] - theta).max() > 0.3 and states[-1, -1] > 4.5


@pytest.mark.claim("prop-better-demonstrators")
@pytest.mark.parametrize("seed", SEEDS)
def test_what_imitation_does_to_the_return(seed):
    rng = np.random.default_rng(seed)
    z, h, r = rng.normal(size=4), rng.dirichlet(np.ones(4)), rng.normal(size=4)
    pi = softmax(z)
    turn = 1e-6
    rate = (softmax(z + turn * (h - pi)) - softmax(z - turn * (h - pi))) @ r / (2 * turn)
    assert abs(rate - (pi * (r - pi @ r)) @ (h - pi)) < 1e-8
    two, people, grades = softmax(rng.normal(size=2)), rng.dirichlet(np.ones(2)), rng.normal(size=2)
    assert np.sign(climb(two, grades) @ (people - two)) == np.sign(people @ grades - two @ grades)


@pytest.mark.claim("prop-better-demonstrators")
def test_flawless_demonstrators_can_make_it_worse_first():
    pi, h, r = np.array([0.6, 0.1, 0.3]), np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0])
    assert abs(climb(pi, r) @ (h - pi) + 0.018) < 1e-12
    path = softmax(integrate(lambda x: h - softmax(x), np.log(pi), [0.2, 1e3], 1e-9)) @ r
    assert path[0] < 0.7 - 1e-3 and path[1] > 0.99


# The ω theorem


def verdicts(size):
    return list(itertools.product([0, 1], repeat=size))


def coin_omega(coefficient, p, size):
    """E[W₊]/p − E[W₋]/(1 − p) from coin flips."""
    plus = minus = 0.0
    for flips in verdicts(size):
        prob = math.prod(p if f else 1 - p for f in flips)
        c = coefficient[flips]
        plus += prob * sum(x for x, f in zip(c, flips, strict=True) if f)
        minus += prob * sum(x for x, f in zip(c, flips, strict=True) if not f)
    return plus / p - minus / (1 - p)


@pytest.mark.claim("thm-omega")
@pytest.mark.parametrize("seed", range(6))
def test_any_rule_of_the_grades_is_a_multiple_of_the_gradient_of_success(seed):
    rng = np.random.default_rng(seed)
    z, _, r = problem(seed, answers=4, right=1 + seed % 3)
    pi = softmax(z)
    rule = {flips: rng.normal(size=3) for flips in verdicts(3)}  # not even symmetric in the slots
    mean, _ = expected([pi] * 3, lambda acts: rule[tuple(int(r[a]) for a in acts)], pi)
    assert np.allclose(mean, coin_omega(rule, pi @ r, 3) * climb(pi, r), atol=1e-12)
    other, _, grades = problem(seed + 100, answers=5, right=2)
    other = softmax(other)
    p = pi @ r  # another problem of the same success rate
    other = np.where(grades > 0, other * p / (other @ grades), other * (1 - p) / (1 - other @ grades))
    mean, _ = expected([other] * 3, lambda acts: rule[tuple(int(grades[a]) for a in acts)], other)
    assert np.allclose(mean, coin_omega(rule, p, 3) * climb(other, grades), atol=1e-12)


@pytest.mark.claim("thm-omega")
def test_groups_weighted_by_themselves_and_prompts_that_contribute_nothing():
    rng = np.random.default_rng(9)
    features, theta = rng.normal(size=(3, 2)), rng.normal(size=(2, 3))
    asked = np.array([0.5, 0.3, 0.2])
    r = np.array([[0.0, 1, 0], [1, 1, 1], [0, 0, 0]])  # the second is always answered rightly, the third never
    pi = softmax(features @ theta)
    scores = np.array(
        [[slope(lambda t, o=o, a=a: np.log(softmax(features @ t))[o, a], theta) for a in range(3)] for o in range(3)]
    )
    rules = [{flips: rng.normal(size=3) for flips in verdicts(3)} for _ in range(3)]  # one for each prompt
    means = [np.zeros_like(theta) for _ in range(3)]
    for o in range(3):
        for prob, acts in groups([pi[o]] * 3):
            coefficients = rules[o][tuple(int(r[o, a]) for a in acts)]
            means[o] += prob * sum(c * scores[o, a] for c, a in zip(coefficients, acts, strict=True))
    p = float(pi[0] @ r[0])
    rise = slope(lambda t: softmax(features @ t)[0] @ r[0], theta)
    assert np.allclose(means[0], coin_omega(rules[0], p, 3) * rise, atol=1e-8)
    assert np.abs(means[1]).max() < 1e-8 and np.abs(means[2]).max() < 1e-8
    batch = sum(asked[o] * means[o] for o in range(3))
    assert np.allclose(batch, asked[0] * coin_omega(rules[0], p, 3) * rise, atol=1e-8)
    assert np.abs(batch).max() > 1e-2


@pytest.mark.claim("thm-omega")
def test_three_grades_are_too_many():
    pi, r = np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.5, 0.0])
    assert abs(cosine(climb(pi, r**2), climb(pi, r)) - 0.956) < 1e-3


@pytest.mark.claim("thm-omega")
def test_a_rule_that_sees_more_than_the_grades_is_not():
    z, _, r = problem(0)
    pi = softmax(z)
    mean, _ = expected([pi] * 2, lambda acts: [r[a] * (1 + a) for a in acts], pi)
    direction = climb(pi, r)
    assert abs(mean @ direction) < (1 - 1e-3) * np.linalg.norm(mean) * np.linalg.norm(direction)


@pytest.mark.claim("prop-pooled")
@pytest.mark.parametrize("seed", SEEDS)
def test_batches_with_coefficients_of_all_returns_and_shared_parameters(seed):
    rng = np.random.default_rng(seed)
    features, theta = rng.normal(size=(3, 2)), rng.normal(size=(2, 3))
    asked = np.array([0.5, 0.3, 0.2])
    r = np.array([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])  # nobody can answer the third prompt
    pi = softmax(features @ theta)
    p = (pi * r).sum(1)
    scores = np.array(
        [[slope(lambda t, o=o, a=a: np.log(softmax(features @ t))[o, a], theta) for a in range(3)] for o in range(3)]
    )
    slopes = [slope(lambda t, o=o: (softmax(features @ t) * r).sum(1)[o], theta) for o in range(3)]
    rule = {
        (prompts, flips): rng.normal(size=(2, 2))
        for prompts in itertools.product(range(3), repeat=2)
        for flips in verdicts(4)
    }
    mean, plus, minus = 0, np.zeros(3), np.zeros(3)
    for prompts in itertools.product(range(3), repeat=2):
        for acts in itertools.product(range(3), repeat=4):
            who = [prompts[0], prompts[0], prompts[1], prompts[1]]
            prob = math.prod(asked[o] for o in prompts) * math.prod(pi[o, a] for o, a in zip(who, acts, strict=True))
            flips = tuple(int(r[o, a]) for o, a in zip(who, acts, strict=True))
            c = rule[prompts, flips].ravel()
            mean = mean + prob * sum(x * scores[o, a] for x, o, a in zip(c, who, acts, strict=True))
            for x, o, f in zip(c, who, flips, strict=True):
                plus[o] += prob * x * f / asked[o]  # Σ_b E[W₊ᵇ | o_b = o]
                minus[o] += prob * x * (1 - f) / asked[o]
    want = sum(asked[o] * (plus[o] / p[o] - minus[o] / (1 - p[o])) * slopes[o] for o in (0, 1))
    assert np.allclose(mean, want, atol=1e-9)
    assert np.abs(slopes[2]).max() < 1e-12


def share_of_kept(flips):
    return [f / max(sum(flips), 1) for f in flips]


def first_best(flips):
    best = flips.index(max(flips))
    return [float(i == best) for i in range(len(flips))]


@pytest.mark.claim("cor-omega-values")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_omega_of_the_methods(size, p):
    def by_coins(rule):
        return coin_omega({flips: rule(flips) for flips in verdicts(size)}, p, size)

    filtered = (1 - (1 - p) ** size) / p
    values = {
        "baseline": (by_coins(lambda f: [(x - 0.37) / size for x in f]), 1.0),
        "filter": (by_coins(share_of_kept), filtered),
        "best": (by_coins(first_best), (1 - (1 - p) ** (size - 1)) / p),
        "all": (by_coins(lambda f: [1 / size] * size), 0.0),
    }
    if size <= 3:  # a baseline drawn by itself, one for each slot: average over its two values
        drawn = [
            by_coins(lambda f, b=b: [(x - y) / size for x, y in zip(f, b, strict=True)])
            for b in itertools.product((-0.4, 1.3), repeat=size)
        ]
        chances = [math.prod(0.3 if y > 0 else 0.7 for y in b) for b in itertools.product((-0.4, 1.3), repeat=size)]
        values["random"] = (sum(c * x for c, x in zip(chances, drawn, strict=True)), 1.0)
    if size > 1:
        values["mean"] = (by_coins(lambda f: [(x - sum(f) / size) / size for x in f]), 1 - 1 / size)
        values["others"] = (by_coins(lambda f: [(x - (sum(f) - x) / (size - 1)) / size for x in f]), 1.0)
    for name, (got, want) in values.items():
        assert abs(got - want) < 1e-12, name
    assert abs(filtered - sum((1 - p) ** k for k in range(size))) < 1e-12
    rate = torch.tensor([p], dtype=torch.float64)
    for row, name in {"reinforce": "baseline", "rest_per_prompt": "filter", "raft": "best"}.items():
        assert abs(float(exact.omega(METHODS[row], rate, size)) - values[name][1]) < 1e-10


@pytest.mark.claim("cor-omega-values")
def test_the_filter_given_a_right_answer_is_the_gradient_of_the_logarithm():
    z, _, r = problem(6, answers=3, right=1)
    pi = softmax(z)
    scores, mean, chance = np.eye(3) - pi, 0, 0
    for prob, actions in groups([pi] * 3):
        flips = [int(r[a]) for a in actions]
        if any(flips):
            chance += prob
            mean = mean + prob * sum(c * scores[a] for c, a in zip(share_of_kept(flips), actions, strict=True))
    assert np.allclose(mean / chance, slope(lambda x: math.log(softmax(x) @ r), z), atol=1e-8)


@pytest.mark.claim("cor-omega-counterfactual")
@pytest.mark.parametrize("size", [1, 2, 4])
def test_omega_is_what_being_right_changes(size):
    rng = np.random.default_rng(size)
    c, d = rng.normal(size=size + 1), rng.normal(size=size + 1)
    rule = {flips: [c[sum(flips)] if f else d[sum(flips)] for f in flips] for flips in verdicts(size)}

    def formula(p):
        chance = [math.comb(size - 1, j) * p**j * (1 - p) ** (size - 1 - j) for j in range(size)]
        return size * sum(x * (c[j + 1] - d[j]) for j, x in enumerate(chance))

    for p in (0.1, 0.5, 0.77):
        assert abs(coin_omega(rule, p, size) - formula(p)) < 1e-12
    assert abs(formula(0.0) - size * (c[1] - d[0])) < 1e-12
    assert abs(formula(1.0) - size * (c[size] - d[size - 1])) < 1e-12
    grid = np.linspace(0.1, 0.9, size + 1)  # a polynomial of degree below size has a vanishing difference
    assert abs(np.diff([coin_omega(rule, p, size) for p in grid], size)[0]) < 1e-9
    wanted = rng.normal(size=size)  # coefficients of any polynomial of that degree
    nodes = np.linspace(0, 1, size)
    basis = np.array([[math.comb(size - 1, j) * x**j * (1 - x) ** (size - 1 - j) for j in range(size)] for x in nodes])
    solved = np.linalg.solve(basis, np.polyval(wanted, nodes)) / size
    rule = {flips: [solved[sum(flips) - 1] if f else 0.0 for f in flips] for flips in verdicts(size)}
    assert abs(coin_omega(rule, 0.37, size) - np.polyval(wanted, 0.37)) < 1e-10


@pytest.mark.claim("cor-omega-counterfactual")
def test_no_rule_with_a_fixed_group_has_the_limits():
    for limit in (lambda p: 1 / p, lambda p: (p * (1 - p)) ** -0.5):
        for size in (1, 2, 4, 8):
            grid = np.linspace(0.1, 0.8, size + 1)  # not symmetric about one half
            assert abs(np.diff(limit(grid), size)[0]) > 1e-3
    for name in ("grpo", "rest_per_prompt", "raft"):
        omega = exact.omega(METHODS[name], torch.linspace(0.1, 0.9, 5, dtype=torch.float64), 4)
        assert abs(np.diff(omega.numpy(), 4)[0]) < 1e-10


OBJECTIVES = {
    "reinforce": lambda p, G: p,
    "rloo": lambda p, G: p,
    "rest_per_prompt": lambda p, G: sum((1 - (1 - p) ** k) / k for k in range(1, G + 1)),
    "raft": lambda p, G: sum((1 - (1 - p) ** k) / k for k in range(1, G)),
}


@pytest.mark.claim("cor-implicit-objective")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_method_climbs_its_objective(name):
    rng = np.random.default_rng(1)
    z, asked = rng.normal(size=(2, 3)), np.array([0.7, 0.3])
    r = np.array([[1.0, 0, 0], [0, 1, 1]])
    policy = ostrl.CategoricalPolicy(torch.tensor(z))
    task = ostrl.TableTask(torch.tensor(r), torch.tensor(asked))
    for G in (2, 3):
        mean = exact.moments(METHODS[name], policy, task, G).mean.numpy().reshape(2, 3)
        climbed = slope(lambda x, G=G: asked @ OBJECTIVES[name]((softmax(x) * r).sum(1), G), z)
        assert np.allclose(mean, climbed, atol=1e-8)


@pytest.mark.claim("cor-implicit-objective")
def test_the_logarithm_and_the_arcsine():
    p = np.linspace(0.1, 0.9, 9)
    turn = 1e-6
    many = OBJECTIVES["rest_per_prompt"](p, 500) - sum(1 / k for k in range(1, 501))
    assert np.allclose(many, np.log(p), atol=1e-10)
    arcsine = (np.arcsin(np.sqrt(p + turn)) - np.arcsin(np.sqrt(p - turn))) / turn
    assert np.allclose(arcsine, (p * (1 - p)) ** -0.5, atol=1e-8)
    errors = [
        np.abs(exact.omega(METHODS["grpo"], torch.from_numpy(p), G).numpy() / (p * (1 - p)) ** -0.5 - 1).max()
        for G in (50, 200)
    ]
    assert errors[1] < 0.02 and errors[1] < errors[0] / 2


def grpo_omega(size, eps):
    """GRPO's ω from coin flips counted by their number."""

    def omega(p):
        total = 0.0
        for k in range(1, size):
            spread = math.sqrt(k * (size - k) / (size * (size - 1)))
            chance = math.comb(size, k) * p**k * (1 - p) ** (size - k)
            total = total + chance * k * (size - k) / size**2 / (spread + eps)
        return total / (p * (1 - p))

    return omega


MIXED = {
    "RL": lambda p: 1.0 + 0 * p,
    "filter of 4": lambda p: (1 - (1 - p) ** 4) / p,
    "filter, redrawn": lambda p: 1 / p,
    "no polynomial": lambda p: np.exp(-3 * p) + 0.01 / np.sqrt(p),
    "GRPO, 4": grpo_omega(4, 0.0),
    "GRPO, 16": grpo_omega(16, 1e-4),
    "GRPO, 8, large eps": grpo_omega(8, 0.5),
}


@pytest.mark.claim("prop-any-mixture")
@pytest.mark.parametrize("name", MIXED)
def test_mixing_human_labels_with_any_method(name):
    omega = MIXED[name]
    grid = np.linspace(1e-4, 1 - 1e-4, 4001)
    falls, arch = (np.diff(omega(grid)) <= 1e-12).all(), (np.diff(grid * (1 - grid) * omega(grid), 2) <= 1e-10).all()
    assert falls or arch  # the condition of the claim
    assert falls != name.startswith("GRPO")
    for seed, alpha in ((0, 0.3), (1, 0.7), (2, 0.02)):
        z, h, r = problem(seed)
        p_h = h @ r

        def balance(p, alpha=alpha, p_h=p_h):
            return alpha * (p - p_h) / (p * (1 - p)) - (1 - alpha) * omega(p)

        ends = []
        assert len(np.flatnonzero(np.diff(np.sign(balance(grid))))) == 1
        for begin in (z, -z):
            end = integrate(
                lambda x, a=alpha, h=h, r=r: (
                    a * (h - softmax(x)) + (1 - a) * omega(softmax(x) @ r) * climb(softmax(x), r)
                ),
                begin,
                [1200 / alpha],
                1e-9,
            )[-1]
            p = softmax(end) @ r
            ends.append(p)
            assert abs(balance(p)) < 1e-4 and p > p_h
            assert np.abs(softmax(end) - destination(p, h, r)).max() < 1e-6
        assert abs(ends[0] - ends[1]) < 1e-7


# Pooled filtering, and what lies outside


def pooled(pi, r, asked, prompts_count, size):
    """E g of pooled filtering, over every batch, and ω per prompt."""
    num_o, num_a = pi.shape
    scores = [np.eye(num_a) - pi[o] for o in range(num_o)]
    mean = np.zeros((num_o, num_a))
    for prompts in itertools.product(range(num_o), repeat=prompts_count):
        who = [o for o in prompts for _ in range(size)]
        for acts in itertools.product(range(num_a), repeat=len(who)):
            kept = [(o, a) for o, a in zip(who, acts, strict=True) if r[o, a]]
            prob = math.prod(asked[o] for o in prompts) * math.prod(pi[o, a] for o, a in zip(who, acts, strict=True))
            for o, a in kept:
                mean[o] += prob * scores[o][a] / len(kept)
    return mean


PAIR = np.array([[0.1, 0.9], [0.9, 0.1]])
RIGHT = np.array([[1.0, 0.0], [1.0, 0.0]])
ASKED = np.array([0.6, 0.4])


def cosine(x, y):
    return (x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)


@pytest.mark.claim("prop-pooled")
@pytest.mark.parametrize("pairs", [1, 2, 3, 4])
def test_pooled_filtering_of_independent_pairs_is_parallel_to_the_gradient(pairs):
    gradient = ASKED[:, None] * climb(PAIR, RIGHT)
    success = ASKED @ (PAIR * RIGHT).sum(1)
    mean = pooled(PAIR, RIGHT, ASKED, pairs, 1)
    assert np.allclose(mean, (1 - (1 - success) ** pairs) / success * gradient, atol=1e-12)
    policy, _ = table(np.log(PAIR), RIGHT)
    task = ostrl.TableTask(torch.tensor(RIGHT), torch.tensor(ASKED))
    library = exact.moments(METHODS["rest"], policy, task, 1, pairs).mean.numpy().reshape(2, 2)
    assert np.allclose(library, mean, atol=1e-12)


def pooled_weights(p, asked, prompts_count, size):
    """ω of each prompt from the distribution of the number kept elsewhere in the batch."""
    one = np.array([math.comb(size, k) for k in range(size + 1)])
    group = [one * q ** np.arange(size + 1) * (1 - q) ** (size - np.arange(size + 1)) for q in p]
    rest = np.array([1.0])
    for _ in range(prompts_count - 1):
        rest = np.convolve(rest, asked @ np.array(group))
    weights = []
    for q, own in zip(p, group, strict=True):
        share = sum(own[k] * rest[j] * k / (k + j) for k in range(1, size + 1) for j in range(len(rest)))
        weights.append(prompts_count * share / q)
    return np.array(weights)


@pytest.mark.claim("prop-pooled")
def test_pooled_filtering_of_groups_only_in_the_limit():
    gradient = ASKED[:, None] * climb(PAIR, RIGHT)
    p = (PAIR * RIGHT).sum(1)
    success = ASKED @ p
    for prompts_count in (1, 2, 3):
        mean = pooled(PAIR, RIGHT, ASKED, prompts_count, 2)
        weights = pooled_weights(p, ASKED, prompts_count, 2)
        assert np.allclose(mean, weights[:, None] * gradient, atol=1e-12)
        assert cosine(mean, gradient) < 1 - 1e-3
    assert np.allclose(pooled_weights(p, ASKED, 1, 2), (1 - (1 - p) ** 2) / p, atol=1e-12)
    errors = [np.abs(pooled_weights(p, ASKED, count, 3) * success - 1).max() for count in (50, 400)]
    assert errors[1] < 3e-3 and errors[1] < errors[0] / 4


@pytest.mark.claim("prop-outside-omega")
def test_outside_the_theorem_there_is_no_such_function():
    for p, p_h in ((0.2, 0.7), (0.6, 0.1)):
        pi, h, r = np.array([p, 1 - p]), np.array([p_h, 1 - p_h]), np.array([1.0, 0.0])
        assert np.allclose(h - pi, (p_h - p) / (p * (1 - p)) * climb(pi, r), atol=1e-12)
        rate = torch.tensor([p], dtype=torch.float64)
        library = exact.omega(METHODS["sft"], rate, 2, demonstrators=p_h)
        assert abs(float(library) - (p_h - p) / (p * (1 - p))) < 1e-10
    for length in (1.0, 2.0, 5.0):  # two answers of the same p: the projection is one over the right one's length
        pi, r = np.array([0.3, 0.7]), np.array([1.0, 0.0])
        mean, _ = expected([pi], lambda a, r=r, n=length: [r[a[0]] / n], pi)
        assert np.allclose(mean, climb(pi, r) / length, atol=1e-12)
    problems = [
        ([0.3, 0.6, 0.1], [0.4, 0.1, 0.5], [1.0, 0.0, 0.0], [2.0, 1.0, 1.0]),
        ([0.2, 0.1, 0.7], [0.05, 0.35, 0.6], [1.0, 1.0, 0.0], [1.0, 4.0, 1.0]),
    ]
    projections = []
    for numbers in problems:
        pi, h, r, length = map(np.array, numbers)
        assert abs(pi @ r - 0.3) < 1e-12 and abs(h @ r - 0.4) < 1e-12
        pushes = [
            expected([h], lambda a: [1.0], pi)[0],
            expected([pi], lambda a, r=r, n=length: [r[a[0]] / n[a[0]]], pi)[0],
            expected([pi], lambda a, r=r, pi=pi: [-r[a[0]] * math.log(pi[a[0]])], pi)[0],
        ]
        direction = climb(pi, r)
        projections.append([g @ direction / (direction @ direction) for g in pushes])
        angles = [cosine(g, direction) for g in pushes]
    assert (np.abs(np.diff(projections, axis=0)) > 0.1).all()
    assert max(angles) < 1 - 1e-3  # none is parallel on the second problem


@pytest.mark.claim("prop-late-opposition")
def test_much_better_demonstrators_can_hurt_early():
    pi, h, r = np.array([0.01, 0.7425, 0.2475]), np.array([0.05, 0.94, 0.01]), np.array([1.0, 0.0, 0.0])
    agreement = (pi * (r - pi @ r)) @ (h - pi)
    assert abs(agreement + 4.8e-4) < 5e-6 and h @ r == pytest.approx(5 * (pi @ r))
