"""The claims of chapter 01, each enumerated or integrated without the chapter's own code."""

import itertools
import math

import numpy as np
import pytest
import torch

import ostrl
from ostrl.policies import count_strings

rng = np.random.default_rng


def distributions(generator, *shape):
    weights = generator.gamma(1.0, size=shape)
    return weights / weights.sum(-1, keepdims=True)


# answers and their returns


@pytest.mark.claim("prop-expected-utility")
@pytest.mark.parametrize("seed", range(5))
def test_summing_out_the_best_answer_gives_a_return(seed):
    random = rng(seed)
    P, pi, best = distributions(random, 3), distributions(random, 3, 4), distributions(random, 3, 4)
    utility = random.normal(size=(4, 4))
    total = hit = 0.0
    for o, a, b in itertools.product(range(3), range(4), range(4)):
        joint = P[o] * pi[o, a] * best[o, b]
        total += joint * utility[a, b]
        hit += joint * (a == b)
    for returns, wanted in ((best @ utility.T, total), (best, hit)):
        policy = ostrl.CategoricalPolicy(torch.tensor(pi).log())
        task = ostrl.TableTask(torch.tensor(returns), torch.tensor(P))
        assert abs(ostrl.exact.value(policy, task).item() - wanted) < 1e-12


@pytest.mark.claim("prop-expected-utility")
def test_independence_of_the_best_answer_is_needed():
    """A model that sees the best answer is right always; the formula with r = P(a*) would say 0.58."""
    best = np.array([0.7, 0.3])
    joint = np.diag(best)  # the answer is the best answer
    pi = joint.sum(1)
    assert abs(joint.trace() - 1) < 1e-12
    assert abs(pi @ best - 0.58) < 1e-12


@pytest.mark.claim("prop-expected-utility")
def test_of_a_random_grade_only_the_mean_counts():
    random = rng(31)
    P, pi, grade = distributions(random, 2), distributions(random, 2, 3), distributions(random, 2, 3, 4)
    levels = random.normal(size=4)
    J = sum(P[o] * pi[o, a] * grade[o, a, i] * levels[i] for o, a, i in itertools.product(range(2), range(3), range(4)))
    task = ostrl.TableTask(torch.tensor(grade @ levels), torch.tensor(P))
    assert abs(ostrl.exact.value(ostrl.CategoricalPolicy(torch.tensor(pi).log()), task).item() - J) < 1e-12


@pytest.mark.claim("prop-certain-answer")
def test_without_a_largest_return_there_is_no_best_policy():
    """Returns 1 - 1/n on infinitely many answers: every policy is beaten by moving its answers one up."""
    n = np.arange(1, 200)
    pi = 0.9**n / (0.9**n).sum()
    assert pi @ (1 - 1 / n) < pi @ (1 - 1 / (n + 1)) < 1


@pytest.mark.claim("prop-certain-answer")
@pytest.mark.parametrize("seed", range(5))
def test_a_best_policy_needs_no_randomness(seed):
    random = rng(seed)
    P = distributions(random, 2)
    returns = random.integers(0, 3, size=(2, 3)).astype(float)
    bound = P @ returns.max(1)
    grid = [np.array([i, j, 6 - i - j]) / 6 for i in range(7) for j in range(7 - i)]
    reached = 0
    for first, second in itertools.product(grid, grid):
        J = P[0] * first @ returns[0] + P[1] * second @ returns[1]
        on_best = all(row[r < r.max()].sum() == 0 for row, r in zip((first, second), returns, strict=True))
        assert bound - J > -1e-12
        assert (abs(J - bound) < 1e-12) == on_best
        reached += on_best
    assert reached >= 1
    belief = np.array([0.2, 0.7, 0.1])
    assert abs(belief @ belief - 0.54) < 1e-12
    assert belief.max() == 0.7


def every_sample(weights, size):
    """Every sample of pairs and its probability."""
    for sample in itertools.product(range(len(weights)), repeat=size):
        yield list(sample), math.prod(weights[i] for i in sample)


def setting(seed):
    random = rng(seed)
    P, pi, q = distributions(random, 2), distributions(random, 2, 3), distributions(random, 2, 3)
    return P, pi, q, random.normal(size=(2, 3))


@pytest.mark.claim("prop-own-answers")
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_average_over_own_answers_estimates_J(size):
    P, pi, _, r = setting(1)
    pairs, returns = (P[:, None] * pi).ravel(), r.ravel()
    J = sum(P[o] * pi[o, a] * r[o, a] for o in range(2) for a in range(3))
    variance = sum(P[o] * pi[o, a] * (r[o, a] - J) ** 2 for o in range(2) for a in range(3))
    mean = sum(p * returns[s].mean() for s, p in every_sample(pairs, size))
    second = sum(p * (returns[s].mean() - J) ** 2 for s, p in every_sample(pairs, size))
    assert abs(mean - J) < 1e-12
    assert abs(second - variance / size) < 1e-12


@pytest.mark.claim("prop-their-return")
@pytest.mark.parametrize("size", [1, 3])
def test_the_average_over_other_answers_estimates_the_return_of_their_author(size):
    P, pi, q, r = setting(2)
    pairs, returns = (P[:, None] * q).ravel(), r.ravel()
    mean = sum(p * returns[s].mean() for s, p in every_sample(pairs, size))
    theirs = sum(P[o] * q[o, a] * r[o, a] for o in range(2) for a in range(3))
    ours = sum(P[o] * pi[o, a] * r[o, a] for o in range(2) for a in range(3))
    assert abs(mean - theirs) < 1e-12
    assert abs(theirs - ours) > 0.01


@pytest.mark.claim("prop-importance-weights")
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("never", [None, (0, 1), (1, 2)])
def test_weights_repair_it_up_to_what_the_author_never_writes(size, never):
    P, pi, q, r = setting(3)
    if never is not None:
        q[never] = 0
        q /= q.sum(1, keepdims=True)
    weighted = np.divide(pi, q, out=np.zeros_like(pi), where=q > 0) * r
    mean = sum(p * weighted.ravel()[s].mean() for s, p in every_sample((P[:, None] * q).ravel(), size))
    J = sum(P[o] * pi[o, a] * r[o, a] for o in range(2) for a in range(3))
    missing = 0.0 if never is None else P[never[0]] * pi[never] * r[never]
    assert abs(J - mean - missing) < 1e-12
    assert never is None or abs(missing) > 1e-3


@pytest.mark.claim("prop-importance-weights")
def test_a_pair_without_return_or_probability_may_be_left_out_by_the_author():
    P, pi, q, r = setting(4)
    r[0, 1] = 0
    pi[1, 2] = 0
    pi /= pi.sum(1, keepdims=True)
    q[0, 1] = q[1, 2] = 0
    q /= q.sum(1, keepdims=True)
    weighted = np.divide(pi, q, out=np.zeros_like(pi), where=q > 0) * r
    assert abs((P[:, None] * q * weighted).sum() - (P[:, None] * pi * r).sum()) < 1e-12


@pytest.mark.claim("prop-extra-factor")
@pytest.mark.parametrize("size", [1, 3])
def test_the_factor_pi_over_sampled_pairs_estimates_neither(size):
    P, pi, q, r = setting(5)
    J = (P[:, None] * pi * r).sum()
    theirs = (P[:, None] * q * r).sum()
    for author, wanted in ((pi, (P[:, None] * pi**2 * r).sum()), (q, (P[:, None] * q * pi * r).sum())):
        graded = (pi * r).ravel()
        mean = sum(p * graded[s].mean() for s, p in every_sample((P[:, None] * author).ravel(), size))
        assert abs(mean - wanted) < 1e-12
        assert min(abs(mean - J), abs(mean - theirs)) > 0.01


@pytest.mark.claim("prop-extra-factor")
def test_the_factor_pi_can_turn_a_ranking_around():
    r = np.array([0.0, 1, 1, 1])
    first, second = np.array([0.4, 0.6, 0, 0]), np.array([0.1, 0.3, 0.3, 0.3])
    assert first @ r < second @ r
    assert first**2 @ r > second**2 @ r


# strings


def all_answers(next_token, vocabulary, longest):
    """Every answer and its probability, for any next-token rule that sees the whole beginning."""
    answers, beginnings = {}, {(): 1.0}
    for length in range(longest):
        grown = {}
        for beginning, p in beginnings.items():
            for token, share in enumerate(next_token(beginning)):
                ended = token == 0 or length == longest - 1
                (answers if ended else grown)[(*beginning, token)] = p * share
        beginnings = grown
    return answers


@pytest.mark.claim("prop-total-probability")
@pytest.mark.parametrize("vocabulary, longest", [(2, 1), (2, 5), (3, 3), (4, 4)])
def test_the_probabilities_of_all_strings_sum_to_one(vocabulary, longest):
    random, rules = rng(6), {}

    def next_token(beginning):
        return rules.setdefault(beginning, distributions(random, vocabulary))

    answers = all_answers(next_token, vocabulary, longest)
    assert abs(sum(answers.values()) - 1) < 1e-12
    cut = sum(p for answer, p in answers.items() if answer[-1] != 0)
    survive = {(): 1.0}  # the probability of not having ended, beginning by beginning
    for _ in range(longest):
        survive = {(*b, t): p * next_token(b)[t] for b, p in survive.items() for t in range(1, vocabulary)}
    assert abs(cut - sum(survive.values())) < 1e-12
    ended = sum(p for answer, p in answers.items() if answer[-1] == 0)
    assert abs(ended - (1 - cut)) < 1e-12


@pytest.mark.claim("prop-total-probability")
def test_the_string_policy_gives_the_products_of_the_chain_rule():
    policy = ostrl.StringPolicy(2, 3, 4, generator=torch.Generator().manual_seed(7))
    table = torch.softmax(policy.logits.detach(), -1)
    for o in range(2):
        answers = all_answers(lambda b: table[o, b[-1] if b else 0].tolist(), 3, 4)  # noqa: B023
        listed = {}
        for string, p in zip(policy.strings().tolist(), policy.probs()[o].tolist(), strict=True):
            listed[tuple(string[: string.index(0) + 1] if 0 in string else string)] = p
        assert listed.keys() == answers.keys()
        assert max(abs(listed[a] - answers[a]) for a in answers) < 1e-14
        assert abs(sum(listed.values()) - 1) < 1e-12


@pytest.mark.claim("prop-string-count")
@pytest.mark.parametrize("vocabulary", [2, 3, 4])
@pytest.mark.parametrize("longest", [1, 2, 3, 5])
def test_the_number_of_answers(vocabulary, longest):
    answers = set()
    for tokens in itertools.product(range(vocabulary), repeat=longest):
        answers.add(tokens[: tokens.index(0) + 1] if 0 in tokens else tokens)
    assert len(answers) == sum((vocabulary - 1) ** n for n in range(longest + 1))
    assert len(answers) == count_strings(vocabulary, longest)
    assert len(answers) == len(ostrl.StringPolicy(1, vocabulary, longest).strings())
    assert sum(answer[-1] != 0 for answer in answers) == (vocabulary - 1) ** longest


# two learners


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def logit(x):
    return np.log(x / (1 - x))


def gains(M1, M2):
    """Player 1's advantage of its first answer as a function of y, and player 2's of x; games along the first axis."""
    at1, at0 = M1[..., 0, 0] - M1[..., 1, 0], M1[..., 0, 1] - M1[..., 1, 1]
    on1, on0 = M2[..., 0, 0] - M2[..., 0, 1], M2[..., 1, 0] - M2[..., 1, 1]
    return lambda y: at0 + (at1 - at0) * y, lambda x: on0 + (on1 - on0) * x


def play(M1, M2, u, v, eta, alternating, steps):
    """All states of gradient play; ``eta`` and ``alternating`` may differ from game to game."""
    gain1, gain2 = gains(M1, M2)
    x, y = sigmoid(u), sigmoid(v)
    for _ in range(steps):
        u = u + eta * (x * (1 - x) * gain1(y))
        x2 = sigmoid(u)
        v = v + eta * (y * (1 - y) * gain2(np.where(alternating, x2, x)))
        x, y = x2, sigmoid(v)
        yield u, v


# tiny and huge steps, simultaneous and alternating: one row each
ETA = np.array([0.5, 0.5, 20.0, 20.0])[:, None]
ALTERNATING = np.array([False, True, False, True])[:, None]


def rk4(field, z, dt):
    k1 = field(z)
    k2 = field(z + dt / 2 * k1)
    k3 = field(z + dt / 2 * k2)
    k4 = field(z + dt * k3)
    return z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def game_flow(M1, M2, z, time, dt):
    gain1, gain2 = gains(M1, M2)

    def field(z):
        x, y = sigmoid(z)
        return np.stack([x * (1 - x) * gain1(y), y * (1 - y) * gain2(x)])

    for _ in range(round(time / dt)):
        z = rk4(field, z, dt)
    return z


def some_games(keep, seed, count):
    random, games = rng(seed), []
    while len(games) < count:
        M1, M2 = random.integers(-2, 3, size=(2, 2, 2)).astype(float)
        if keep(M1, M2):
            games.append((M1, M2))
    return (np.array(ms) for ms in zip(*games, strict=True))


@pytest.mark.claim("prop-dominant-answer")
def test_with_a_dominant_answer_gradient_play_finds_the_equilibrium():
    def keep(M1, M2):
        return (M1[0] > M1[1]).all() and M2[0, 0] != M2[0, 1]

    M1, M2 = some_games(keep, 8, 60)
    # a huge step may first throw player 2 far to the wrong side, to come back after e^|v| steps: not from these starts
    u, v = rng(9).normal(size=(2, 1, 60)) * 1.5
    reply = M2[:, 0, 0] > M2[:, 0, 1]  # player 2's better reply to the dominant answer is its first
    errors = []
    for n, (u2, v2) in enumerate(play(M1, M2, u, v, ETA, ALTERNATING, 40_000), 1):
        assert (u2 > u).all()
        u, v = u2, v2
        if n % 20_000 == 0:
            errors.append(np.maximum(1 - sigmoid(u), np.abs(reply - sigmoid(v))))
    assert (errors[1] < errors[0]).all()
    assert errors[1].max() < 0.01
    # it is a Nash equilibrium: nobody gains by a change of one's own
    assert (M1[:, 0, :] >= M1[:, 1, :]).all()
    assert (np.where(reply, M2[:, 0, 0] - M2[:, 0, 1], M2[:, 0, 1] - M2[:, 0, 0]) > 0).all()


@pytest.mark.claim("prop-dominant-answer")
def test_with_a_dominant_answer_the_flow_finds_the_equilibrium():
    M1, M2 = some_games(lambda M1, M2: (M1[0] > M1[1]).all() and M2[0, 0] != M2[0, 1], 10, 40)
    z = game_flow(M1, M2, rng(11).normal(size=(2, 40)), 1500, 0.25)
    reply = M2[:, 0, 0] > M2[:, 0, 1]
    assert np.maximum(1 - sigmoid(z[0]), np.abs(reply - sigmoid(z[1]))).max() < 0.01


@pytest.mark.claim("lem-pure-saddle")
def test_a_strict_saddle_means_a_dominant_answer():
    saddles = 0
    for entries in itertools.product(range(5), repeat=4):
        m = np.array(entries).reshape(2, 2)
        for i, j in itertools.product(range(2), repeat=2):
            if m[i, j] > m[1 - i, j] and m[i, j] < m[i, 1 - j]:
                saddles += 1
                row = (m[i] > m[1 - i]).all()  # player 1's answer i is strictly dominant
                column = (m[:, j] < m[:, 1 - j]).all()  # player 2 wants the entries small
                assert row or column
    assert saddles > 100


@pytest.mark.claim("lem-pure-saddle")
def test_gradient_play_converges_to_a_strict_saddle():
    M1, M2 = some_games(lambda M1, M2: M1[0, 0] > M1[1, 0] and M1[0, 0] < M1[0, 1], 12, 60)
    M2 = -M1
    start = rng(13).normal(size=(2, 60))
    for u, v in play(M1, M2, *start, 2.0, False, 30_000):  # noqa: B007
        pass
    assert np.maximum(1 - sigmoid(u), 1 - sigmoid(v)).max() < 0.01


def Phi(c, u):
    return (1 - c) * np.exp(u) + c * np.exp(-u) + (1 - 2 * c) * u


def slopes(M1, M2):
    """k1, k2 and the mixed equilibrium of a game in which neither answer is dominant."""
    k1 = M1[..., 0, 0] - M1[..., 1, 0] - M1[..., 0, 1] + M1[..., 1, 1]
    k2 = M2[..., 0, 0] - M2[..., 0, 1] - M2[..., 1, 0] + M2[..., 1, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return k1, k2, (M2[..., 1, 1] - M2[..., 1, 0]) / k2, (M1[..., 1, 1] - M1[..., 0, 1]) / k1


def coordination(M1, M2):
    k1, k2, c, d = slopes(M1, M2)
    return k1 > 0 and k2 > 0 and 0 < c < 1 and 0 < d < 1


@pytest.mark.claim("prop-coordination")
def test_in_a_coordination_game_a_start_on_one_side_leads_to_its_corner():
    M1, M2 = some_games(coordination, 14, 60)
    _, _, c, d = slopes(M1, M2)
    shift = np.abs(rng(15).normal(size=(2, 2, 4, 60))) + 0.05  # player, corner, kind of step, game
    side = np.array([1, -1])[:, None, None]
    start = logit(c) + side * shift[0], logit(d) + side * shift[1]
    for u, v in play(M1, M2, *start, ETA, ALTERNATING, 30_000):  # noqa: B007
        pass
    assert np.maximum(np.abs((side > 0) - sigmoid(u)), np.abs((side > 0) - sigmoid(v))).max() < 0.02


@pytest.mark.claim("prop-coordination")
def test_the_coordination_flow_agrees_on_the_corner_that_its_invariant_says():
    M1, M2 = some_games(coordination, 16, 80)
    k1, k2, c, d = slopes(M1, M2)
    middle = np.stack([logit(c), logit(d)])
    level = lambda z: k2 * Phi(c, z[0]) - k1 * Phi(d, z[1])  # noqa: E731
    shift = np.abs(rng(17).normal(size=(2, 80))) + 0.1
    quadrants = np.array([[1, -1], [-1, 1]])[:, :, None]  # x above and y below the mixed equilibrium, or both turned
    z = np.moveaxis(middle + quadrants * shift, 1, 0)  # player, quadrant, game
    start = level(z)
    right = np.array([[True], [False]])  # where x is above, larger values belong to x = y = 1, elsewhere smaller ones
    corner = (start > level(middle)) == right
    clear = np.abs(start - level(middle)) > 0.05
    assert clear.sum() > 120
    assert min(corner[clear].sum(), (~corner)[clear].sum()) > 30
    assert np.abs(level(game_flow(M1, M2, z, 2, 0.002)) - start).max() < 1e-9
    z = game_flow(M1, M2, z, 1000, 0.1)
    assert np.maximum(np.abs(corner - sigmoid(z[0])), np.abs(corner - sigmoid(z[1])))[clear].max() < 0.02


@pytest.mark.claim("prop-coordination")
def test_only_the_falling_curve_is_excepted():
    """Starts on the two lines and on the rising curve reach a corner; on the falling curve, the mixed equilibrium."""
    M1, M2 = some_games(coordination, 26, 40)
    k1, k2, c, d = slopes(M1, M2)
    excess = lambda p, w: Phi(p, w) - Phi(p, logit(p))  # noqa: E731

    def on_the_level(shift, side):
        """The v on one side of the equilibrium that has the mixed equilibrium's value together with u."""
        near, far = np.zeros(40), np.full(40, 12.0)
        for _ in range(80):
            half = (near + far) / 2
            small = k1 * excess(d, logit(d) + side * half) < k2 * excess(c, logit(c) + shift)
            near, far = np.where(small, half, near), np.where(small, far, half)
        return np.stack([logit(c) + shift, logit(d) + side * near])

    for side in (1, -1):
        lines = [np.stack([logit(c) + side * 0.3, logit(d)]), np.stack([logit(c), logit(d) + side * 0.3])]
        z = game_flow(M1, M2, np.stack([*lines, on_the_level(side * 0.4, side)], axis=1), 1000, 0.1)
        assert np.abs((side > 0) - sigmoid(z)).max() < 0.02
        start = on_the_level(side * 0.4, -side)
        assert (excess(c, start[0]) > 0.005).all()
        z, nearest = start, np.full(40, np.inf)
        for _ in range(60):  # it is a saddle: rounding leads away from it in the end
            z = game_flow(M1, M2, z, 2, 0.1)
            nearest = np.minimum(nearest, np.abs(sigmoid(z) - np.stack([c, d])).max(0))
        assert nearest.max() < 1e-3


@pytest.mark.claim("thm-closed-orbits")
def test_a_zero_sum_game_without_a_saddle_has_the_form_of_the_theorem_and_with_ties_it_need_not():
    """Every 2 x 2 game with returns 0 to 4: J_1 = J* + k (x - x*)(y - y*) inside, if no cell is even a weak saddle."""
    found = 0
    for entries in itertools.product(range(5), repeat=4):
        m = np.array(entries, dtype=float).reshape(2, 2)
        saddle = any(m[i, j] >= m[1 - i, j] and m[i, j] <= m[i, 1 - j] for i in range(2) for j in range(2))
        rows, columns = m[0] - m[1], m[:, 0] - m[:, 1]
        weak = any((side >= 0).all() or (side <= 0).all() for side in (rows, columns))
        if saddle:
            assert weak
            continue
        assert not weak
        k = m[0, 0] - m[0, 1] - m[1, 0] + m[1, 1]
        c, d = (m[1, 1] - m[1, 0]) / k, (m[1, 1] - m[0, 1]) / k
        assert 0 < c < 1 and 0 < d < 1
        best = np.array([c, 1 - c]) @ m @ [d, 1 - d]
        for x, y in [(0.1, 0.7), (0.9, 0.4), (0.5, 0.05)]:
            assert abs(np.array([x, 1 - x]) @ m @ [y, 1 - y] - best - k * (x - c) * (y - d)) < 1e-12
        found += 1
    assert found > 50
    tied = np.array([[1.0, 0], [0, 0]])  # neither answer of player 1 is strictly dominant, and y* = 0
    assert not (tied[0] > tied[1]).all() and not (tied[1] > tied[0]).all()
    assert tied[1, 1] - tied[0, 1] == 0


def zero_sum_velocity(z, c, d, k, speed):
    x, y = z[0], z[1]
    return np.stack([speed(x) * k * (y - d), -speed(y) * k * (x - c)])


@pytest.mark.claim("thm-closed-orbits")
def test_the_invariant_is_constant_along_the_gradient_and_strictly_convex():
    generator = torch.Generator().manual_seed(18)
    for _ in range(50):
        c, d = torch.rand(2, generator=generator, dtype=torch.float64) * 0.9 + 0.05
        k = 5 * torch.rand((), generator=generator, dtype=torch.float64) + 0.1
        z = torch.randn(2, generator=generator, dtype=torch.float64).mul(2).requires_grad_()

        def H(z):
            phi = lambda p, u: (1 - p) * u.exp() + p * (-u).exp() + (1 - 2 * p) * u  # noqa: E731
            return phi(c, z[0]) + phi(d, z[1])  # noqa: B023

        J1 = k * (torch.sigmoid(z[0]) - c) * (torch.sigmoid(z[1]) - d)
        (up,) = torch.autograd.grad(J1, z)
        velocity = up * torch.tensor([1.0, -1.0])
        (slope,) = torch.autograd.grad(H(z), z)
        assert abs(float(slope @ velocity)) < 1e-12 * max(1, float((slope * velocity).abs().max()))
        hessian = torch.autograd.functional.hessian(H, z.detach())
        assert torch.linalg.eigvalsh(hessian).min() > 0
        center = torch.stack([c, d]).logit().requires_grad_()
        (flat,) = torch.autograd.grad(H(center), center)
        assert flat.abs().max() < 1e-12
    u, v = torch.randn(2, 100, generator=generator, dtype=torch.float64)
    assert torch.allclose(torch.from_numpy(Phi(0.5, u.numpy()) + Phi(0.5, v.numpy())), u.cosh() + v.cosh(), atol=1e-14)


def revolution(field, z, dt):
    """One revolution of a flow whose second coordinate falls at the start; the last step is cut to fit."""
    start, above = z.copy(), False
    while True:
        last, z = z, rk4(field, z, dt)
        above = above or z[1] > start[1]
        if above and z[1] < start[1]:
            break
    low, high = 0.0, dt
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rk4(field, last, middle)[1] > start[1] else (low, middle)
    return rk4(field, last, low)


GAMES = [(0.5, 0.5, 4.0), (0.3, 0.6, 2.0), (3 / 7, 2 / 7, 7.0), (0.15, 0.8, 3.0)]


@pytest.mark.claim("thm-closed-orbits")
@pytest.mark.parametrize("c, d, k", GAMES)
def test_every_orbit_closes(c, d, k):
    def field(z):
        x, y = sigmoid(z[0]), sigmoid(z[1])
        return np.array([x * (1 - x) * k * (y - d), -y * (1 - y) * k * (x - c)])

    for shift in (0.3, 1.5):
        start = np.array([logit(c) + shift, logit(d)])
        end = revolution(field, start, 0.01)
        assert np.abs(end - start).max() < 1e-7


@pytest.mark.claim("thm-time-average")
@pytest.mark.parametrize("c, d, k", GAMES)
@pytest.mark.parametrize("power", [0, 1, 2])
def test_on_average_over_time_they_play_the_equilibrium(c, d, k, power):
    def speed(x):
        return (x * (1 - x)) ** power

    def field(z):
        x, y = z[0], z[1]
        flow = zero_sum_velocity(z[:2], c, d, k, speed)
        return np.array([*flow, x, y, k * (x - c) * (y - d), logit(x) - logit(c), 1.0])

    start = np.array([c + 0.13, d, 0, 0, 0, 0, 0])
    end = revolution(field, start, 0.002 * 8**power)
    x, y, gain, logits = end[2:6] / end[6]
    assert np.abs(end[:2] - start[:2]).max() < 1e-8
    assert max(abs(x - c), abs(y - d), abs(gain)) < 1e-8
    if c != 0.5:
        assert abs(logits) > 1e-3  # averaged logits are something else
    # over many revolutions and a part of one: within a constant over T
    z, T = start, 0.0
    for _ in range(5):
        for _ in range(1000):
            z = rk4(field, z, 0.004 * 8**power)
        T = z[6]
        bound = {0: 1, 1: 12, 2: 200}[power] / k
        assert max(abs(z[2] / T - c), abs(z[3] / T - d)) * T < bound


@pytest.mark.claim("thm-steps-outward")
@pytest.mark.parametrize("eta", [0.01, 0.3, 1.0, 7.0, 50.0, 1000.0])
def test_every_simultaneous_step_raises_the_energy(eta):
    random = rng(19)
    c, d = random.uniform(0.05, 0.95, size=(2, 4000))
    k = random.uniform(0.5, 5, size=4000)
    u, v = random.normal(size=(2, 4000)) * 2
    x, y = sigmoid(u), sigmoid(v)
    u2, v2 = u + eta * k * x * (1 - x) * (y - d), v - eta * k * y * (1 - y) * (x - c)
    u2, v2 = np.clip(u2, -600, 600), np.clip(v2, -600, 600)  # H of the clipped point is smaller, and finite
    far = np.hypot(u - logit(c), v - logit(d)) > 0.02
    assert (Phi(c, u2) + Phi(d, v2) > Phi(c, u) + Phi(d, v))[far].all()


@pytest.mark.claim("thm-steps-outward")
def test_how_far_outward_a_small_simultaneous_step_leads():
    """eq-simultaneous-drift: half of eta^2 times the Hessian along the velocity, up to order eta^3."""
    random = rng(27)
    c, d = random.uniform(0.1, 0.9, size=(2, 200))
    k = random.uniform(0.5, 4, size=200)
    u, v = random.normal(size=(2, 200)) * 1.5
    x, y = sigmoid(u), sigmoid(v)
    f = k * x * (1 - x) * (y - d), -k * y * (1 - y) * (x - c)
    bend = lambda p, w: (1 - p) * np.exp(w) + p * np.exp(-w)  # noqa: E731
    leading = (bend(c, u) * f[0] ** 2 + bend(d, v) * f[1] ** 2) / 2
    errors = []
    for eta in (1e-2, 5e-3, 2.5e-3):
        rise = Phi(c, u + eta * f[0]) - Phi(c, u) + Phi(d, v + eta * f[1]) - Phi(d, v)
        errors.append(np.abs(rise / eta**2 - leading).max())
    assert errors[0] > 1.9 * errors[1] > 3.6 * errors[2]
    assert errors[2] < 0.02


@pytest.mark.claim("thm-steps-outward")
@pytest.mark.parametrize("c, d, k", GAMES)
def test_simultaneous_steps_leave_every_compact_set(c, d, k):
    M1 = k * np.array([[(1 - c) * (1 - d), -(1 - c) * d], [-c * (1 - d), c * d]])
    farthest = []
    states = play(M1, -M1, logit(c) + 0.05, logit(d), 3.0, False, 25_000)
    for n, (u, v) in enumerate(states, 1):
        if n in (1000, 5000, 25_000):
            farthest.append(Phi(c, u) + Phi(d, v))
    assert farthest[0] < farthest[1] < farthest[2]
    assert max(abs(u), abs(v)) > 4.5


def alternating_step(u, v, c, d, k, eta):
    x, y = sigmoid(u), sigmoid(v)
    u2 = u + eta * x * (1 - x) * k * (y - d)
    return u2, v - eta * y * (1 - y) * k * (sigmoid(u2) - c)


def modified_energy(u, v, c, d, k, eta):
    return Phi(c, u) + Phi(d, v) + eta * k / 2 * (sigmoid(u) - c) * (sigmoid(v) - d)


def bracket(x, y, c, d):
    one = (x - c) * (y - d) ** 2 * x * (1 - x) * (2 * x - 1)
    return one + (x - c) ** 2 * (y - d) * y * (1 - y) * (2 * y - 1)


@pytest.mark.claim("prop-alternating-steps")
def test_the_drift_of_an_alternating_step():
    random = rng(20)
    c, d = random.uniform(0.1, 0.9, size=(2, 200))
    k = random.uniform(0.5, 4, size=200)
    u, v = random.normal(size=(2, 200)) * 1.5
    leading = k**2 / 2 * bracket(sigmoid(u), sigmoid(v), c, d)
    errors = []
    for eta in (1e-2, 5e-3, 2.5e-3):
        u2, v2 = alternating_step(u, v, c, d, k, eta)
        drift = modified_energy(u2, v2, c, d, k, eta) - modified_energy(u, v, c, d, k, eta)
        # the exact identity of the proof
        W = 0.0
        for p, before, after in ((c, u, u2), (d, v, v2)):
            s = sigmoid(before) * (1 - sigmoid(before))
            trapezoid = (after - before) * (sigmoid(before) + sigmoid(after) - 2 * p) / (2 * s)
            W += Phi(p, after) - Phi(p, before) - trapezoid
        assert np.abs(drift - W).max() < 1e-12
        errors.append(np.abs(drift / eta**2 - leading).max())
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2]  # an error of order eta^3 in the drift, of order eta here
    assert errors[2] < 0.02


def relative_drift(c, d, k, eta, shift, turns=1):
    """Log of the growth of the corrected energy over whole revolutions, per unit of time; all arguments broadcast."""
    c, d, k, eta, shift = np.broadcast_arrays(*np.atleast_1d(c, d, k, eta, shift))
    center = np.stack([logit(c), logit(d)])
    low = Phi(c, center[0]) + Phi(d, center[1])
    u, v = center[0] + shift, center[1].copy()
    start = modified_energy(u, v, c, d, k, eta) - low
    rate, turned, angle = np.full(c.shape, np.nan), np.zeros(c.shape), np.zeros(c.shape)
    for n in range(1, 200_000):
        u, v = alternating_step(u, v, c, d, k, eta)
        new = np.arctan2(v - center[1], u - center[0])
        turned += (new - angle + np.pi) % (2 * np.pi) - np.pi
        angle = new
        arrived = np.isnan(rate) & (np.abs(turned) >= 2 * np.pi * turns)
        if arrived.any():
            growth = np.log((modified_energy(u, v, c, d, k, eta) - low) / start)
            rate[arrived] = (growth / (eta * n))[arrived]
            if not np.isnan(rate).any():
                return rate
    raise AssertionError("some run did not come round")


def drift_integral(c, d, k, shift):
    """The proof's prediction of the relative drift per unit of time and step size, on an orbit of the flow."""

    def field(z):
        x, y = sigmoid(z[0]), sigmoid(z[1])
        du, dv = x * (1 - x) * k * (y - d), -y * (1 - y) * k * (x - c)
        return np.array([du, dv, k**2 / 2 * bracket(x, y, c, d), 1.0]) / np.hypot(du, dv)  # by length, not by time

    end = revolution(field, np.array([logit(c) + shift, logit(d), 0.0, 0.0]), 0.02)
    above = Phi(c, logit(c) + shift) - Phi(c, logit(c))
    return end[2] / above / end[3]


@pytest.mark.claim("prop-alternating-steps")
def test_alternating_steps_in_matching_pennies_drift_outward():
    grid = np.linspace(0.01, 0.99, 99)
    x, y = np.meshgrid(grid, grid)
    assert (bracket(x, y, 0.5, 0.5) >= 0).all()
    assert (bracket(x, y, 0.5, 0.5)[(np.abs(x - 0.5) > 1e-6) & (np.abs(y - 0.5) > 1e-6)] > 0).all()
    eta, shift = (part.ravel() for part in np.meshgrid([0.05, 0.1, 0.5], [0.3, 0.8, 1.5, 2.5]))
    assert (relative_drift(0.5, 0.5, 4.0, eta, shift) > 0).all()


@pytest.mark.claim("prop-alternating-steps")
def test_the_direction_of_the_alternating_drift_turns_around_at_one_third():
    centers = [(0.25, 0.25), (0.1, 0.5), (0.3, 0.8), (0.2, 0.2), (0.1, 0.1), (0.1, 0.4), (0.95, 0.3), (0.2, 0.1)]
    c, d = np.array(centers).T
    outward = c * (1 - c) + d * (1 - d) > 1 / 3
    assert 2 < outward.sum() < 6
    for shift in (0.1, 0.3):
        rates = relative_drift(c, d, 4.0, 0.5, shift)
        assert ((rates > 0) == outward).all()
    # near the equilibrium the drift is that of the energy's square: the rate is proportional to the energy
    above = Phi(c, logit(c) + 0.3) - Phi(c, logit(c)), Phi(c, logit(c) + 0.1) - Phi(c, logit(c))
    assert np.abs(rates / relative_drift(c, d, 4.0, 0.5, 0.1) / (above[0] / above[1]) - 1).max() < 0.35


@pytest.mark.claim("prop-alternating-steps")
@pytest.mark.parametrize("c, d, shift", [(0.5, 0.5, 0.8), (0.1, 0.1, 0.8), (0.3, 0.8, 1.0), (0.2, 0.1, 0.5)])
def test_over_a_revolution_the_drift_is_the_step_size_times_the_integral_of_the_proof(c, d, shift):
    predicted = drift_integral(c, d, 4.0, shift)
    errors = np.abs(relative_drift(c, d, 4.0, np.array([0.25, 0.0625]), shift) / [0.25, 0.0625] / predicted - 1)
    assert errors[1] < 0.02
    assert errors[1] < errors[0] + 1e-3


@pytest.mark.claim("prop-alternating-steps")
def test_from_far_away_the_drift_of_the_same_game_may_be_outward():
    """Why the proposition says "close enough": near the corner equilibrium inward, far from it outward."""
    assert drift_integral(0.1, 0.1, 4.0, 3.0) < 0 < drift_integral(0.1, 0.1, 4.0, 3.1)
    assert drift_integral(0.2, 0.2, 4.0, 0.5) < 0 < drift_integral(0.2, 0.2, 4.0, 1.0)
    assert (np.sign(relative_drift(0.1, 0.1, 4.0, 0.5, np.array([1.0, 3.0, 3.5, 4.0]))) == [-1, -1, 1, 1]).all()
    assert (np.sign(relative_drift(0.1, 0.1, 4.0, 8.0, np.array([1.0, 2.0, 2.5]), turns=2)) == [-1, -1, 1]).all()


@pytest.mark.claim("prop-alternating-steps")
def test_how_alternating_steps_change_their_nature_at_a_step_size_of_eight():
    """Linearized at the equilibrium of matching pennies, and without the sigmoid: bounded exactly up to 2."""
    for rate, eigenvalue in ((1.9, 1.0), (1.999, 1.0), (2.1, None)):
        linear = np.array([[1, rate], [-rate, 1 - rate**2]])
        size = np.abs(np.linalg.eigvals(linear)).max()
        assert abs(size - 1) < 1e-12 if eigenvalue else size > 1.1
    tiny, eta = 1e-6, 6.4
    u, v = alternating_step(tiny, 0.5 * tiny, 0.5, 0.5, 4.0, eta)
    assert abs(u - (tiny + eta / 4 * 0.5 * tiny)) < 1e-15
    assert abs(v - (0.5 * tiny - eta / 4 * u)) < 1e-15


@pytest.mark.claim("prop-alternating-steps")
def test_beyond_small_steps_matching_pennies_has_a_start_that_does_not_spiral():
    """The exception named in the text: for returns +-1 and steps above 8, a two-cycle; none below."""

    def wanted(a):
        return 8 * a * math.cosh(a) ** 3 / math.sinh(a)

    values = [wanted(a) for a in np.linspace(1e-3, 4, 400)]
    assert all(low < high for low, high in itertools.pairwise(values))
    assert abs(values[0] - 8) < 1e-4
    for eta in (8.5, 16.0, 40.0):
        low, high = 1e-6, 5.0
        for _ in range(100):
            a = (low + high) / 2
            low, high = (a, high) if wanted(a) < eta else (low, a)
        u, v = alternating_step(2 * a, -2 * a, 0.5, 0.5, 4.0, eta)
        assert max(abs(u + 2 * a), abs(v - 2 * a)) < 1e-10


@pytest.mark.claim("prop-alternating-steps")
def test_up_to_that_size_alternating_steps_in_matching_pennies_spiral_outward():
    """What the text reports as computed, not proved: from every start of a grid, for steps of up to 8."""
    random = rng(21)
    eta = np.linspace(0.2, 7.95, 60)[:, None]
    radius, angle = np.linspace(0.05, 6, 100), random.uniform(0, 2 * np.pi, size=(60, 100))
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    for _ in range(8):
        before = modified_energy(u, v, 0.5, 0.5, 4.0, eta)
        for _ in range(200):
            u, v = alternating_step(u, v, 0.5, 0.5, 4.0, eta)
        assert (modified_energy(u, v, 0.5, 0.5, 4.0, eta) > before).all()
