"""The claims of chapter 09, enumerated: every string of a small transformer, every count of right answers.

Where the claim is about the class's homework, the class's exact distribution is used, not samples from it.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from listing import integrate
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import ostrl
from ostrl import METHODS, exact, lm
from ostrl.lm import homework, students
from ostrl.lm.evaluation import pass_at_k

PROMPTS = ["ab", "ba"]
RIGHT = {"ab": "a", "ba": "ba"}
KS = (1, 2, 3)


def close(a, b, tol=1e-12):
    return np.allclose(a, b, rtol=0, atol=tol)


def choose(n, k):
    return Fraction(math.comb(n, k))


def binomial(n, p):
    """Probabilities of 0 … n right answers, exact if p is a fraction."""
    return [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]


@pytest.fixture(scope="module")
def model():
    """A transformer over the characters a and b, in double precision; answers have at most three tokens."""
    letters = Tokenizer(models.WordLevel({"<end>": 0, "a": 1, "b": 2}, unk_token="<end>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.decoder = decoders.Fuse()
    torch.manual_seed(9)
    config = GPT2Config(
        vocab_size=3, n_embd=8, n_layer=1, n_head=2, n_positions=16, initializer_range=0.6,
        bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<end>", pad_token="<end>")
    return lm.LanguageModelPolicy(GPT2LMHeadModel(config).double(), tokenizer, max_new_tokens=3)


def strings(model, prompt):
    """Every answer that can be sampled, as text and as a probability with a graph, from the model's own logits."""
    start = [{"a": 1, "b": 2}[letter] for letter in prompt]
    found = []

    def grow(walk, log_prob):
        if walk and (walk[-1] == 0 or len(walk) == 3):
            found.append(("".join("ab"[t - 1] for t in walk if t), log_prob.exp()))
            return
        logits = model.model(torch.tensor([start + walk])).logits[0, -1]
        for token, now in enumerate(logits - logits.logsumexp(0)):
            grow([*walk, token], log_prob + now)

    grow([], torch.zeros((), dtype=torch.float64))
    return found


@pytest.mark.claim("prop-one-right-string")
def test_where_one_string_is_right_nothing_need_be_sampled(model):
    parameters = list(model.parameters())
    value = 0
    passed = dict.fromkeys(KS, 0.0)
    for prompt in PROMPTS:
        listed = strings(model, prompt)
        assert len(listed) == 1 + 2 + 4 + 8
        assert close(sum(p.item() for _, p in listed), 1)
        grades = [homework_like(prompt, text) for text, _ in listed]
        assert sum(grades) == 1
        value = value + sum(g * p for g, (_, p) in zip(grades, listed, strict=True)) / 2
        for k in KS:
            passed[k] += 0.5 * sum(
                math.prod(listed[i][1].item() for i in group)
                for group in itertools.product(range(15), repeat=k)
                if any(grades[i] for i in group)
            )
    truth = torch.autograd.grad(value, parameters)

    log_p = model.log_prob(PROMPTS, *model.encode([[RIGHT[p]] for p in PROMPTS])).sum(-1)[:, 0]
    p = log_p.exp()
    assert close(p.mean().item(), value.item())
    for k in KS:
        assert close((1 - (1 - p) ** k).mean().item(), passed[k])
    by_formula = torch.autograd.grad((p.detach() * log_p).mean(), parameters)
    gaps = [(a - b).abs().max().item() for a, b in zip(truth, by_formula, strict=True)]
    assert max(gaps) < 1e-12, gaps
    assert max(g.abs().max().item() for g in truth) > 1e-3


def homework_like(prompt, answer):
    return float(answer == RIGHT[prompt])


@pytest.mark.claim("prop-one-right-string")
def test_the_right_string_must_have_room_for_its_end(model):
    """The condition on lengths: the sampler stops after three tokens, so "aab" comes more often than with an end."""
    (sampled,) = [p.item() for text, p in strings(model, "ab") if text == "aab"]
    with_end = model.log_prob(["ab"], *model.encode([["aab"]])).sum().exp().item()
    assert with_end < 0.9 * sampled


@pytest.mark.claim("prop-imitation-accuracy")
@pytest.mark.parametrize("seed", range(20))
def test_a_good_imitator_is_as_good_as_whom_it_imitates(seed):
    random = np.random.default_rng(seed)
    P = random.dirichlet(np.ones(4))
    h, pi = random.dirichlet(np.ones(5), size=4), random.dirichlet(np.ones(5), size=4)
    h[0, 1] = 0.0  # an answer that is never demonstrated
    h[0] /= h[0].sum()
    logs = np.where(h > 0, np.log(np.where(h > 0, h, 1)), 0)
    kl = (P * (h * (logs - np.log(pi))).sum(1)).sum()
    loss = -(P * (h * np.log(pi)).sum(1)).sum()
    least = -(P * (h * logs).sum(1)).sum()
    assert close(loss - least, kl) and kl > 0  # least at h, and there only
    assert abs(P @ pi[:, 0] - P @ h[:, 0]) <= math.sqrt(kl / 2)


@pytest.mark.claim("prop-imitation-accuracy")
def test_the_bound_on_an_imitator_is_nearly_attained():
    """Two answers near one half: the constant 1/2 under the root cannot be made smaller."""
    h, pi = 0.5, 0.52
    kl = h * math.log(h / pi) + (1 - h) * math.log((1 - h) / (1 - pi))
    assert 0.999 * math.sqrt(kl / 2) < abs(h - pi) <= math.sqrt(kl / 2)


def tempered(pi, beta):
    weights = (pi / pi.max()) ** beta
    return weights / weights.sum()


PATTERNS = [
    pytest.param(np.array([0.3, 0.5, 0.1, 0.06, 0.04]), id="a mistake is likeliest"),
    pytest.param(np.array([0.5, 0.3, 0.2]), id="right is likeliest"),
    pytest.param(np.array([0.4, 0.4, 0.2]), id="a tie in front"),
    pytest.param(np.array([0.05, 0.6, 0.35]), id="rarest"),
    pytest.param(np.array([0.35, 0.4, 0.2, 0.05]), id="second, close"),
]


@pytest.mark.claim("prop-mode-temperature")
@pytest.mark.parametrize("pi", PATTERNS)
def test_low_temperature_amplifies_the_mode(pi):
    betas = np.linspace(0, 60, 2401)
    bracket = np.array([math.log(pi[0]) - tempered(pi, b) @ np.log(pi) for b in betas])
    p = np.array([tempered(pi, b)[0] for b in betas])
    h = 1e-6
    for b in (0.2, 1.0, 3.0):
        slope = (tempered(pi, b + h)[0] - tempered(pi, b - h)[0]) / (2 * h)
        assert close(slope, tempered(pi, b)[0] * (math.log(pi[0]) - tempered(pi, b) @ np.log(pi)), 1e-9)
    early = betas < 20  # later the differences drown in rounding
    assert (np.diff(bracket)[early[1:]] < 0).all()
    modes = np.isclose(pi, pi.max())
    if modes[0]:
        assert (np.diff(p)[early[1:]] > 0).all() and close(p[-1], 1 / modes.sum(), 1e-4)
    else:
        assert p[-1] < 1e-3
        top = p.argmax()
        assert (np.diff(p[: top + 1]) > 0).all() and (np.diff(p[top:])[: early.sum() - top - 1] < 0).all()
        entropy = -pi @ np.log(pi)
        now = int(np.abs(betas - 1).argmin())
        assert (p[now + 1] > p[now]) == (math.log(pi[0]) > -entropy)


@pytest.mark.claim("prop-mode-temperature")
def test_low_temperature_settles_the_homework():
    """On the class's homework: all prompts end at 0, 1 or a tie, by what is likeliest."""
    for prompt in homework.prompts("held_out")[:200]:
        pi = np.array([x for x in students.distribution(prompt).values() if x > 0])
        ties = np.isclose(pi, pi.max(), rtol=0, atol=1e-9)
        assert close(tempered(pi, 2000)[0], ties[0] / ties.sum(), 1e-3)


@pytest.mark.claim("prop-uneven-silence")
@pytest.mark.parametrize("G", [2, 3, 8])
def test_uneven_prompts_are_silent_more_often(G):
    random = np.random.default_rng(G)
    for _ in range(50):
        P, p = random.dirichlet(np.ones(3)), random.uniform(size=3)
        listed = sum(
            P[o] * math.prod(p[o] if right else 1 - p[o] for right in group)
            for o in range(3)
            for group in itertools.product((0, 1), repeat=G)
            if len(set(group)) == 1
        )
        assert close(listed, P @ (p**G + (1 - p) ** G))
        J = P @ p
        assert listed > J**G + (1 - J) ** G
    assert close(0.7**G + 0.3**G, P @ (np.full(3, 0.7) ** G + np.full(3, 0.3) ** G))


@pytest.mark.claim("thm-pass-at-k")
@pytest.mark.parametrize("n, k", [(n, k) for n in range(1, 9) for k in range(1, n + 1)])
def test_pass_at_k_is_unbiased(n, k):
    for p in (Fraction(0), Fraction(1, 7), Fraction(1, 2), Fraction(9, 10), Fraction(1)):
        estimates = [1 - choose(n - c, k) / choose(n, k) for c in range(n + 1)]
        assert sum(w * e for w, e in zip(binomial(n, p), estimates, strict=True)) == 1 - (1 - p) ** k
    library = pass_at_k(torch.arange(n + 1), n, k)
    assert close(library.numpy(), [float(e) for e in estimates])


def rank(rows):
    """Of a matrix of fractions, exactly."""
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((r for r in range(found, len(rows)) if rows[r][column] != 0), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for r in range(len(rows)):
            if r != found and rows[r][column] != 0:
                factor = rows[r][column] / rows[found][column]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[found], strict=True)]
        found += 1
    return found


@pytest.mark.claim("thm-pass-at-k")
@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_only_one_and_stops_at_n(n):
    """Means of functions of the n grades, at many success rates: pass@k is among them only for k up to n."""
    rates = [Fraction(i, 20) for i in range(21)]
    of_counts = [binomial(n, p) for p in rates]
    assert rank(of_counts) == n + 1  # so no two functions of c have the same mean at all p
    lists = list(itertools.product((0, 1), repeat=n))
    of_grades = [[math.prod(p if g else 1 - p for g in grades) for grades in lists] for p in rates]
    assert rank(of_grades) == n + 1
    for k in range(1, n + 4):
        joined = [[*row, 1 - (1 - p) ** k] for row, p in zip(of_grades, rates, strict=True)]
        assert (rank(joined) == n + 1) == (k <= n)


@pytest.mark.claim("prop-plug-in-pass")
@pytest.mark.parametrize("n, k", [(1, 2), (2, 2), (4, 3), (8, 8), (3, 7)])
def test_the_plug_in_of_each_prompt_is_too_low(n, k):
    for p in (Fraction(1, 9), Fraction(1, 2), Fraction(8, 9)):
        mean = sum(w * (1 - (1 - Fraction(c, n)) ** k) for c, w in enumerate(binomial(n, p)))
        assert mean < 1 - (1 - p) ** k
        if k == 2:
            assert 1 - (1 - p) ** 2 - mean == p * (1 - p) / n
    for p in (Fraction(0), Fraction(1)):
        assert sum(w * (1 - (1 - Fraction(c, n)) ** k) for c, w in enumerate(binomial(n, p))) == 1 - (1 - p) ** k


@pytest.mark.claim("prop-plug-in-pass")
def test_the_plug_in_of_the_mean_accuracy_is_too_high():
    rates = [Fraction(students.distribution(p)[homework.solve(p)]) for p in homework.prompts("held_out")[:60]]
    J = sum(rates) / len(rates)
    for k in (2, 3, 8):
        assert 1 - (1 - J) ** k > sum(1 - (1 - p) ** k for p in rates) / len(rates)
        assert close(float(1 - (1 - J) ** k), sum(float(1 - (1 - J) ** k) for _ in rates) / len(rates))


@pytest.mark.claim("prop-pass-crossing")
def test_the_untrained_model_overtakes():
    random = np.random.default_rng(9)
    for _ in range(300):
        P = random.dirichlet(np.ones(5))
        m = random.uniform(0.02, 0.95)
        eps = m * random.choice([0.0, random.uniform()])
        given_up = random.permutation(5) < random.integers(1, 5)
        before = random.uniform(m, 1, size=5)
        after = np.where(given_up, random.uniform(0, eps, size=5), random.uniform(size=5))
        s = P[given_up].sum()
        bound = math.log(s) / (math.log1p(-m) - math.log1p(-eps))
        first = math.floor(bound) + 1
        for k in (first, first + 1, 2 * first):
            ahead = P @ ((1 - after) ** k - (1 - before) ** k)
            assert ahead > 0 or (ahead == 0 and (1 - m) ** k < 1e-300)


@pytest.mark.claim("prop-pass-crossing")
def test_the_bound_on_the_crossing_is_attained():
    """All prompts at m before; after, given up or always right: the policies meet at the bound."""
    m, s = 0.25, 0.75**6
    assert close(math.log(s) / math.log(1 - m), 6)
    for k in range(1, 12):
        assert (s < (1 - m) ** k - 1e-12) == (k < 6)


@pytest.mark.claim("prop-homework-entropy")
def test_log_odds_grow_together_and_entropy_is_known():
    """Natural gradient flow of a table that holds the class's answers to a few prompts, integrated from its formula."""
    prompts = homework.prompts("held_out")[:8]
    tables = [np.array([x for x in students.distribution(p).values() if x > 0]) for p in prompts]
    P = np.full(len(prompts), 1 / len(prompts))
    sizes = np.cumsum([len(t) for t in tables])[:-1]

    def velocity(z):
        parts = []
        for weight, logits in zip(P, np.split(z, sizes), strict=True):
            pi = np.exp(logits - logits.max())
            pi /= pi.sum()
            fisher = weight * (np.diag(pi) - np.outer(pi, pi))
            r = np.eye(len(pi))[0]
            parts.append(np.linalg.pinv(fisher, rcond=1e-10) @ (weight * pi * (r - pi[0])))
        return np.concatenate(parts)

    times = [0.5, 2.0]
    start = np.concatenate([np.log(t) for t in tables])
    for t, z in zip(times, integrate(velocity, start, times, 1e-11), strict=True):
        for began, logits in zip(tables, np.split(z, sizes), strict=True):
            pi = np.exp(logits - logits.max())
            pi /= pi.sum()
            assert close(math.log(pi[0] / (1 - pi[0])), math.log(began[0] / (1 - began[0])) + t, 1e-7)
            assert close(pi[1:] / pi[1:].sum(), began[1:] / began[1:].sum(), 1e-8)
            wrong = began[1:] / began[1:].sum()
            p = pi[0]
            account = -p * math.log(p) - (1 - p) * math.log(1 - p) - (1 - p) * wrong @ np.log(wrong)
            assert close(-pi @ np.log(pi), account, 1e-7)


@pytest.mark.claim("prop-homework-entropy")
def test_entropy_falls_where_the_right_answer_is_more_likely_than_a_typical_one():
    random = np.random.default_rng(0)
    signs = set()
    for _ in range(200):
        pi = random.dirichlet(np.full(4, 0.7))
        wrong = pi[1:] / pi[1:].sum()
        W = -wrong @ np.log(wrong)

        def entropy(p, W=W):
            return -p * math.log(p) - (1 - p) * math.log(1 - p) + (1 - p) * W

        falls = entropy(pi[0] + 1e-7) < entropy(pi[0] - 1e-7)
        past = pi[0] > 1 / (1 + math.exp(W))
        assert falls == past == (pi[0] > math.exp(pi @ np.log(pi)))
        signs.add(falls)
    assert signs == {True, False}


@pytest.mark.claim("prop-homework-entropy")
def test_the_library_follows_the_same_flow():
    """Natural steps of the exact gradient on a table: log-odds of all prompts grow by the same amount."""
    probs = torch.tensor([[0.3, 0.5, 0.2], [0.6, 0.3, 0.1]], dtype=torch.float64)
    policy = ostrl.CategoricalPolicy(probs.log())
    task = ostrl.TableTask(torch.tensor([[1.0, 0.0, 0.0]] * 2, dtype=torch.float64))
    step = torch.linalg.pinv(exact.fisher(policy, task)) @ exact.gradient(policy, task)
    logits = probs.log() + 0.7 * step.view(2, 3)
    moved = torch.softmax(logits, 1)
    assert torch.allclose(torch.logit(moved[:, 0]) - torch.logit(probs[:, 0]), torch.full((2,), 0.7).double())


def test_the_rows_that_are_compared_have_the_weights_the_chapter_says():
    """Leave-one-out has ω = 1; GRPO's depends on the success rate."""
    p = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    assert torch.allclose(exact.omega(METHODS["rloo"], p, 16), torch.ones(3, dtype=torch.float64))
    grpo = exact.omega(METHODS["grpo"], p, 16)
    assert torch.allclose(grpo[0], grpo[2]) and grpo[0] > grpo[1]
