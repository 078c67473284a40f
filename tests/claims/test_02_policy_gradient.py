"""The claims of chapter 02, each against sums and derivatives written out in NumPy.

Derivatives are taken by complex steps, ``Im f(x + ih) / h``: no autograd, no cancellation, exact to rounding. Flows
are integrated by Runge–Kutta steps with error control. ``ostrl`` is compared with both where it computes the same.
"""

import numpy as np
import pytest
import torch
from listing import H, integrate, softmax

import ostrl


def table(theta):
    """Three prompts with four answers and logits of their own."""
    return softmax(theta.reshape(3, 4))


FEATURES = np.random.default_rng(5).normal(size=(3, 2))


def network(theta):
    """Three prompts whose four logits come from one small network."""
    w, v = theta[:10].reshape(2, 5), theta[10:].reshape(5, 4)
    return softmax(np.tanh(FEATURES @ w) @ v)


def spherical(theta):
    """Probabilities as squares over their sum: these can be zero."""
    squares = theta.reshape(3, 4) ** 2
    return squares / squares.sum(-1, keepdims=True)


FAMILIES = {"table": (table, 12), "network": (network, 30), "spherical": (spherical, 12)}


def derivative(f, theta):
    """Partial derivatives along a new last axis."""
    return np.stack([np.imag(f(theta + 1j * H * e)) / H for e in np.eye(len(theta))], -1)


def problem(family, seed):
    rng = np.random.default_rng(seed)
    probs, size = FAMILIES[family]
    theta = rng.normal(size=size)
    if family == "spherical":
        theta[[1, 6]] = 0.0
    return probs, theta, rng.normal(size=(3, 4)), rng.dirichlet(np.ones(3))


def objective(probs, theta, r, p):
    pi = probs(theta)
    return sum(p[o] * pi[o, a] * r[o, a] for o in range(3) for a in range(4))


def scores(probs, theta):
    """∇π/π where π > 0; NaN elsewhere, so that nobody uses it."""
    pi, slope = probs(theta).real, derivative(probs, theta)
    return np.where(pi[..., None] > 0, slope / np.where(pi > 0, pi, 1)[..., None], np.nan)


def expected(pi, values, p):
    """The average over prompts and over answers of positive probability."""
    return sum(p[o] * pi[o, a] * values[o, a] for o in range(3) for a in range(4) if pi[o, a] > 0)


def slope(z, r):
    """π(a) (r(a) − J), with r(a) − J as a sum of differences: no cancellation near a corner."""
    pi = softmax(z)
    return pi * ((r[..., :, None] - r[..., None, :]) * pi[..., None, :]).sum(-1)


def enumerated_fisher(z):
    pi = softmax(z)
    s = np.eye(len(z)) - pi
    return sum(pi[a] * np.outer(s[a], s[a]) for a in range(len(z)))


SEEDS = range(5)
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.mark.claim("lem-zero-probability")
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_of_probability_zero_has_zero_gradient(seed):
    probs, theta, _, _ = problem("spherical", seed)
    pi, gradient = probs(theta), derivative(probs, theta)
    assert (pi == 0).sum() == 2
    assert np.abs(gradient[pi == 0]).max() < 1e-15
    assert np.abs(gradient[pi > 0]).max() > 1e-2


def test_the_lemma_needs_a_ball_around_the_parameters():
    """(θ, 1 − θ) is a distribution only on one side of θ = 0, and there the slope is 1."""
    edge = lambda theta: np.stack([theta[0], 1 - theta[0]])  # noqa: E731
    assert derivative(edge, np.zeros(1))[0, 0] == 1
    assert edge(np.array([-0.1]))[0] < 0


@pytest.mark.claim("thm-policy-gradient")
@every_family
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_is_the_average_of_return_times_score(family, seed):
    probs, theta, r, p = problem(family, seed)
    average = expected(probs(theta), r[..., None] * scores(probs, theta), p)
    assert np.allclose(average, derivative(lambda x: objective(probs, x, r, p), theta), rtol=0, atol=1e-12)


@pytest.mark.claim("thm-policy-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_ostrl_computes_the_same_gradient_for_tables_and_strings(seed):
    probs, theta, r, p = problem("table", seed)
    policy = ostrl.CategoricalPolicy(torch.from_numpy(theta.reshape(3, 4)))
    task = ostrl.TableTask(torch.from_numpy(r), torch.from_numpy(p))
    true = derivative(lambda x: objective(probs, x, r, p), theta)
    assert np.allclose(ostrl.exact.gradient(policy, task).numpy(), true, rtol=0, atol=1e-12)

    strings = ostrl.StringPolicy(2, 3, 3, generator=torch.Generator().manual_seed(seed))
    listed = strings.strings().tolist()
    rng = np.random.default_rng(seed)
    r, p = rng.normal(size=(2, len(listed))), rng.dirichlet(np.ones(2))

    def value(x):
        step = softmax(x.reshape(2, 3, 3))
        total = 0
        for o in range(2):
            for a, string in enumerate(listed):
                prob, previous = p[o], 0
                for token in string:
                    prob = prob * step[o, previous, token]
                    if token == 0:
                        break
                    previous = token
                total = total + prob * r[o, a]
        return total

    true = derivative(value, strings.logits.detach().flatten().numpy())
    task = ostrl.TableTask(torch.from_numpy(r), torch.from_numpy(p))
    assert np.allclose(ostrl.exact.gradient(strings, task).numpy(), true, rtol=0, atol=1e-12)
    pi, s = strings.probs().detach(), ostrl.exact.scores(strings)
    average = torch.einsum("o,oa,oa,oap->p", task.prompt_probs, pi, task.rewards, s)
    assert np.allclose(average.numpy(), true, rtol=0, atol=1e-12)


@pytest.mark.claim("prop-score-zero-mean")
@every_family
@pytest.mark.parametrize("seed", SEEDS)
def test_the_average_score_of_every_prompt_is_zero(family, seed):
    probs, theta, _, _ = problem(family, seed)
    pi, s = probs(theta), scores(probs, theta)
    for prompt in np.eye(3):
        assert np.abs(expected(pi, s, prompt)).max() < 1e-14
    somebody_else = np.where(pi > 0, np.roll(pi, 1, axis=0), 0)
    assert np.abs(expected(somebody_else, s, np.array([1.0, 0, 0]))).max() > 1e-2


@pytest.mark.claim("prop-covariance-form")
@every_family
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_is_the_covariance_of_return_and_score(family, seed):
    probs, theta, r, p = problem(family, seed)
    pi, s = probs(theta), scores(probs, theta)
    total = 0
    for o, prompt in enumerate(np.eye(3)):
        mean_return, mean_score = expected(pi, r, prompt), expected(pi, s, prompt)
        total = total + p[o] * expected(pi, (r - mean_return)[..., None] * (s - mean_score), prompt)
    true = derivative(lambda x: objective(probs, x, r, p), theta)
    assert np.allclose(total, true, rtol=0, atol=1e-12)
    centered = r - (pi * r).sum(-1, keepdims=True)
    assert np.allclose(expected(pi, centered[..., None] * s, p), true, rtol=0, atol=1e-12)


@pytest.mark.claim("cor-constant-return")
@every_family
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_the_same_for_all_answers_teaches_nothing(family, seed):
    probs, theta, r, p = problem(family, seed)
    shift = np.array([[100.0], [-3.0], [0.7]])
    gradient = lambda r: derivative(lambda x: objective(probs, x, r, p), theta)  # noqa: E731
    assert np.allclose(gradient(r + shift), gradient(r), rtol=0, atol=1e-12)
    assert np.abs(gradient(np.broadcast_to(shift, r.shape))).max() < 1e-12
    assert np.abs(gradient(r)).max() > 1e-3


@pytest.mark.claim("prop-softmax-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_slope_of_a_logit_is_probability_times_advantage(seed):
    probs, theta, r, p = problem("table", seed)
    p = np.array([p[0], 1 - p[0], 0.0])
    pi = probs(theta)

    def formula(r):
        return p[:, None] * pi * (r - (pi * r).sum(-1, keepdims=True))

    true = derivative(lambda x: objective(probs, x, r, p), theta).reshape(3, 4)
    assert np.allclose(formula(r), true, rtol=0, atol=1e-13)
    assert np.abs(true.sum(-1)).max() < 1e-13
    equal = np.broadcast_to(r[:, :1], r.shape).copy()
    equal[2] = r[2]  # the prompt nobody asks may have any returns
    vanishing = derivative(lambda x: objective(probs, x, equal, p), theta)
    assert np.abs(vanishing).max() < 1e-13
    for o, a in np.ndindex(2, 4):
        one_off = equal.copy()
        one_off[o, a] += 1e-3
        assert np.abs(derivative(lambda x, r=one_off: objective(probs, x, r, p), theta)).max() > 1e-6


@pytest.mark.claim("prop-softmax-fisher")
@pytest.mark.parametrize("answers", [2, 3, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_fisher_matrix_of_a_softmax_and_its_pseudo_inverse(answers, seed):
    rng = np.random.default_rng(seed)
    z, r = rng.normal(size=answers), rng.normal(size=answers)
    pi, fisher = softmax(z), enumerated_fisher(z)
    assert np.allclose(fisher, np.diag(pi) - np.outer(pi, pi), rtol=0, atol=1e-14)
    assert np.allclose(fisher @ r, derivative(lambda x: softmax(x) @ r, z), rtol=0, atol=1e-14)
    center = np.eye(answers) - 1 / answers
    inverse = center @ np.diag(1 / pi) @ center
    assert np.allclose(inverse, np.linalg.pinv(fisher, rcond=1e-12), rtol=1e-9, atol=1e-9)
    eigenvalues, vectors = np.linalg.eigh(fisher)
    assert abs(eigenvalues[0]) < 1e-14
    assert eigenvalues[1] > 1e-4
    assert np.ptp(vectors[:, 0]) < 1e-12
    policy, task = ostrl.CategoricalPolicy(torch.from_numpy(z[None])), ostrl.TableTask(torch.from_numpy(r[None]))
    assert np.allclose(ostrl.exact.fisher(policy, task).numpy(), fisher, rtol=0, atol=1e-14)


@pytest.mark.claim("thm-flow-reaches-best")
def test_exact_ascent_reaches_the_best_return_from_everywhere():
    """Twenty-four tasks at once; some starts lie deep in a wrong corner."""
    rng = np.random.default_rng(0)
    r = rng.integers(0, 5, size=(24, 4)) / 4
    start = rng.normal(size=(24, 4)) * rng.choice([0.5, 2.0], size=(24, 1))
    path = integrate(lambda z: slope(z, r), start, [1, 10, 100, 1e3, 1e5, 1e7, 1e9], 1e-11)
    value = np.concatenate([(softmax(start) * r).sum(-1)[None], (softmax(path) * r).sum(-1)])
    assert (np.diff(value, axis=0) > -1e-12).all()
    assert np.abs(path.sum(-1) - start.sum(-1)).max() < 1e-7
    assert (r.max(-1) - value[-1]).max() < 1e-6
    assert (r.max(-1) - value[-3]).max() > 0.2  # at time 1e5 somebody is still in a corner with a lower return


@pytest.mark.claim("prop-tie-invariant")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_invariant_of_a_tie(seed):
    rng = np.random.default_rng(seed)
    r, start = np.append(rng.normal(size=3), [1.3, 1.3]), rng.normal(size=5)

    def invariants(z):
        pi = softmax(z)
        return np.stack(
            [
                np.exp(-z[..., 3]) - np.exp(-z[..., 4]),
                (1 / pi[..., 3] - 1 / pi[..., 4]) * pi.prod(-1) ** (1 / 5),
            ]
        )

    along = derivative(invariants, start) @ slope(start, r)
    assert np.abs(along).max() < 1e-13
    path = integrate(lambda z: slope(z, r), start, [1, 10, 100, 1000, 10000])
    assert np.abs(invariants(path) - invariants(start)[:, None]).max() < 1e-9
    naive = derivative(lambda z: 1 / softmax(z)[3] - 1 / softmax(z)[4], start) @ slope(start, r)
    assert abs(naive) > 1e-3
    unequal = derivative(invariants, start) @ slope(start, r + np.array([0, 0, 0, 0.5, 0]))
    assert np.abs(unequal).min() > 1e-4


@pytest.mark.claim("thm-one-winner")
def test_among_equally_right_answers_the_one_ahead_takes_all():
    r = np.array([0.0, 0.4, 1.0, 1.0, 1.0])
    start = np.array([0.5, -0.3, 0.2, 0.0, -0.8])
    end = integrate(lambda z: slope(z, r), start, [1e9], 1e-12)[0]
    pi = softmax(end)
    assert pi[2] > 0.9999
    assert pi[3] < 1e-4
    predicted = -np.log(np.exp(-start[3:]) - np.exp(-start[2]))
    assert np.abs(end[3:] - predicted).max() < 1e-4


@pytest.mark.claim("thm-one-winner")
def test_leaders_who_are_tied_share_equally():
    r = np.array([0.0, 1.0, 1.0, 1.0])
    start = np.array([0.3, 0.6, 0.6, -1.0])
    pi = softmax(integrate(lambda z: slope(z, r), start, [1e9], 1e-12)[0])
    assert pi[1] == pi[2]
    assert np.abs(pi[1:3] - 0.5).max() < 1e-3


@pytest.mark.claim("thm-one-winner")
@pytest.mark.parametrize("step_size", [0.3, 1.0, 2.0])
def test_gradient_steps_have_the_same_winner(step_size):
    r, z = np.array([0.0, 1.0, 1.0, 1.0]), np.array([1.0, 0.1, 0.1, 0.0])
    loser, floors, ceilings = [], [], []
    for count in range(30000):
        if count in (0, 300, 3000):
            # least and most that the loser's logit can gain from here on; the mean return rises, so steps get shorter
            lead, longest = z[1] - z[3], step_size * (1 - softmax(z) @ r)
            kappa = np.expm1(lead + longest) / np.expm1(lead)
            floors.append(z[3] - np.log(-np.expm1(-lead)))
            ceilings.append(z[3] - kappa * np.log(-np.expm1(-lead)))
        before, z = z, z + step_size * slope(z, r)
        assert softmax(z) @ r > softmax(before) @ r
        assert z[1] == z[2]
        assert z[1] - z[3] > before[1] - before[3]
        loser.append(softmax(z)[3])
    assert softmax(z)[0] < 1e-3
    assert z[3] < ceilings[-1] < ceilings[1] < ceilings[0]
    assert ceilings[-1] - floors[-1] < 0.01  # so the limit is not only finite, but known
    flow = -np.log(1 - np.exp(-0.1))
    assert floors[-1] > floors[1] > flow + 2e-3  # and it is not the limit of the flow
    # two leaders and one wrong answer: the loser's share goes like t^(-1/3), in the end
    first, second, third = np.array(loser)[[299, 2999, 29999]]
    assert third < 0.8 * second
    assert second < 0.9 * first


@pytest.mark.claim("prop-escape-time")
def test_time_to_leave_a_corner_with_two_answers():
    r = np.array([1.0, 0.0])
    for u in np.linspace(-12, 12, 49):
        speed = slope(np.array([u / 2, -u / 2]), r)
        assert abs((1 + np.cosh(u)) * (speed[0] - speed[1]) - 1) < 1e-9
    clock = lambda p: np.log(p / (1 - p)) + np.sinh(np.log(p / (1 - p)))  # noqa: E731
    for p0, p1 in [(1e-3, 0.5), (0.05, 0.9), (0.3, 0.99)]:
        z = integrate(lambda z: slope(z, r), np.log([p0, 1 - p0]), [clock(p1) - clock(p0)])[0]
        assert abs(softmax(z)[0] - p1) < 1e-9
    for p in [1e-2, 1e-4, 1e-6]:
        time = clock(0.5) - clock(p)
        assert abs(time - ((1 - p) / p - p / (1 - p)) / 2 - np.log((1 - p) / p)) < 1e-6
        assert abs(time - 1 / (2 * p)) < 1.1 * np.log(1 / p)


@pytest.mark.claim("prop-corner-bound")
def test_every_corner_holds_on():
    rng = np.random.default_rng(0)
    sharpest = 0.0
    for _ in range(3000):
        answers = rng.integers(2, 6)
        z, r = rng.normal(size=answers) * 3, rng.normal(size=answers)
        z[0] += rng.uniform(0, 8)
        pi = softmax(z)
        eps = pi[1:].sum()
        speed = (derivative(lambda x: softmax(x)[1:].sum(), z) * slope(z, r)).sum()
        bound = 2 * np.ptp(r) * eps**2
        assert abs(speed) <= bound * (1 + 1e-9)
        sharpest = max(sharpest, abs(speed) / bound)
    assert sharpest > 0.95  # no constant below 2 would do
    for r in ([0.0, 1.0], [0.0, 1.0, 0.5], [0.2, 1.0, -1.0, 0.9]):
        r = np.array(r)
        start = np.zeros(len(r))
        start[0] = 5.0
        times = np.array([1.0, 3, 10, 30, 100, 300])
        path = integrate(lambda z, r=r: slope(z, r), start, times)
        before, after = 1 - softmax(start)[0], 1 - softmax(path)[:, 0]
        needed = (1 / before - 1 / after) / (2 * np.ptp(r))
        assert (times >= needed - 1e-9).all()
        assert after[-1] > 0.9


@pytest.mark.claim("prop-natural-flow")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_natural_flow_multiplies_by_the_exponential_of_the_return(seed):
    rng = np.random.default_rng(seed)
    r, start = np.append(rng.normal(size=3), [2.5, 2.5]), rng.normal(size=5)

    def natural(z):
        return np.linalg.pinv(enumerated_fisher(z), rcond=1e-13) @ derivative(lambda x: softmax(x) @ r, z)

    velocity = natural(start)
    pi = softmax(start)
    assert np.allclose(velocity, r - r.mean(), rtol=0, atol=1e-9)
    probs_velocity = derivative(softmax, start) @ velocity
    assert np.allclose(probs_velocity, pi * (r - pi @ r), rtol=0, atol=1e-9)
    assert abs(r @ probs_velocity - pi @ (r - pi @ r) ** 2) < 1e-9
    tilted = lambda t: pi * np.exp(t * r) / (pi @ np.exp(t * r))  # noqa: E731
    z = start.copy()
    for size in (0.5, 1.5, 0.2):
        z = z + size * natural(z)
    assert np.allclose(softmax(z), tilted(2.2), rtol=0, atol=1e-7)
    path = integrate(natural, start, [0.7, 2.0], 1e-9)
    assert np.allclose(softmax(path), [tilted(0.7), tilted(2.0)], rtol=0, atol=1e-7)
    assert np.allclose(path[:, 3] - path[:, 4], start[3] - start[4], rtol=0, atol=1e-7)
    restricted = np.where(r == r.max(), pi, 0) / pi[r == r.max()].sum()
    assert np.allclose(tilted(200.0), restricted, rtol=0, atol=1e-12)


@pytest.mark.claim("prop-natural-flow")
def test_the_natural_flow_leaves_a_corner_in_logarithmic_time():
    for p in (0.3, 1e-3, 1e-6):
        for others, exact in (([0.0, 0.0], True), ([0.0, 0.5], False), ([-3.0, 0.2], False)):
            r = np.array([1.0, *others])
            pi = np.array([p, (1 - p) * 0.7, (1 - p) * 0.3])
            gap = 1 - max(others)
            time = np.log((1 - p) / p) / gap
            reached = pi[0] * np.exp(time) / (pi @ np.exp(time * r))
            assert abs(reached - 0.5) < 1e-9 if exact else reached > 0.5 + 1e-3


def joined(weights, r, p):
    """The weighted flow of two prompts with three logits each, and their clocks behind."""

    def velocity(state):
        z = state[:6].reshape(2, 3)
        speed = weights(softmax(z), z) * p
        return np.concatenate([(speed[:, None] * slope(z, r)).ravel(), speed])

    return velocity


@pytest.mark.claim("prop-retiming")
def test_without_shared_parameters_a_weight_only_changes_the_clock():
    r, p = np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.2]]), np.array([0.8, 0.2])
    start = np.array([0.4, -0.6, 0.1, -1.2, 0.3, 0.8])
    rules = {
        "one over the success rate": lambda pi, z: 1 / (pi * r).sum(-1),
        "of everything": lambda pi, z: 0.3 + np.tanh(z.sum() + z[0, 0] - z[1, 2]) ** 2 + pi[::-1, 0],
        "constant": lambda pi, z: np.array([0.1, 7.0]),
    }
    for rule in rules.values():
        end = integrate(joined(rule, r, p), np.append(start, [0.0, 0.0]), [15.0])[0]
        for o in range(2):
            own = integrate(lambda z, o=o: slope(z, r[o]), start[3 * o : 3 * o + 3], [end[6 + o]])[0]
            assert np.abs(own - end[3 * o : 3 * o + 3]).max() < 1e-9


@pytest.mark.claim("prop-retiming")
def test_the_clock_goes_on_even_where_a_weight_tends_to_zero():
    r, p = np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.2]]), np.array([0.5, 0.5])
    start = np.array([0.4, -0.6, 0.1, -1.2, 0.3, 0.8, 0.0, 0.0])
    unsolved = joined(lambda pi, z: 1 - np.array([pi[0, 1], pi[1, 0]]), r, p)
    path = integrate(unsolved, start, [1e2, 1e4, 1e6], 1e-11)
    assert (path[1:, 6:] > 3 * path[:-1, 6:]).all()
    assert softmax(path[-1, :6].reshape(2, 3))[[0, 1], [1, 0]].min() > 0.99
    dropped = joined(lambda pi, z: np.array([1.0, 0.0]), r, p)
    assert (integrate(dropped, start, [1e3])[0, 3:6] == start[3:6]).all()


@pytest.mark.claim("prop-retiming")
def test_the_clock_for_prompts_with_networks_of_their_own():
    """Bounded objectives of three parameters each, which are no tables."""
    features, r = np.array([0.8, -1.3]), np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.2]])

    def value(theta, o):
        return softmax(np.tanh(features[o] * theta) * np.array([1.0, -2.0, 0.5]) + theta**2) @ r[o]

    def own(o):
        return lambda theta: derivative(lambda x: value(x, o), theta)

    def weighted(state):
        speed = np.array([2 + np.sin(state[:6].sum()), 0.4 + state[0] ** 2]) * 0.5
        return np.concatenate([speed[0] * own(0)(state[:3]), speed[1] * own(1)(state[3:6]), speed])

    start = np.array([0.4, -0.6, 0.1, -0.7, 0.3, 0.8])
    end = integrate(weighted, np.append(start, [0.0, 0.0]), [4.0], 1e-12)[0]
    for o in range(2):
        mine = slice(3 * o, 3 * o + 3)
        alone = integrate(own(o), start[mine], [end[6 + o]], 1e-12)[0]
        assert np.abs(alone - start[mine]).max() > 0.1
        assert np.abs(alone - end[mine]).max() < 1e-9


def test_retiming_needs_a_bounded_objective():
    """J = θ³/3 from θ = 1: the unweighted flow is 1/(1 − t) and ends at time 1; with weight 1/(1 + θ²) it goes on."""
    times = np.array([1.0, 10.0, 100.0, 1e4])
    path = integrate(lambda s: np.append(s[:1] ** 2, 1) / (1 + s[0] ** 2), [1.0, 0.0], times, 1e-12)
    theta, clock = path.T
    assert np.allclose(theta, (times + np.sqrt(times**2 + 4)) / 2, rtol=1e-9)
    assert np.allclose(theta, 1 / (1 - clock), rtol=1e-4)
    assert (clock < 1).all()  # a positive weight of θ alone, and yet the clock stops


@pytest.mark.claim("prop-shared-destination")
def test_with_shared_parameters_a_weight_changes_the_destination():
    capital, largest = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])

    def shared(weights):
        def velocity(z):
            pi = softmax(z)
            w = 0.5 * weights(np.stack([pi @ capital, pi @ largest], -1))
            return slope(z, w[:, :1] * capital) + slope(z, w[:, 1:] * largest)

        return velocity

    starts = np.log([[0.6, 0.3, 0.1], [0.35, 0.2, 0.45], [0.1, 0.08, 0.82], [0.5, 0.4, 0.1]])
    rules = [
        (lambda p: np.ones_like(p), 1e8, [1, 0, 0]),
        (lambda p: np.ones_like(p) * [2.0, 1.0], 1e6, [0, 1, 0]),
        (lambda p: np.ones_like(p) * [1.1, 1.0], 1e6, [0, 1, 0]),
        (lambda p: 1 / p, 1e3, [0.5, 0.5, 0]),
    ]
    for weights, horizon, destination in rules:
        end = softmax(integrate(shared(weights), starts, [horizon], 1e-10)[0])
        assert np.abs(end - destination).max() < 0.02
