"""Chapter 08: every claim, enumerated over all strings of small autoregressive models in plain NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from listing import jacobian, softmax

import ostrl
from ostrl import exact

VOCABULARY, LONGEST = 3, 3  # token 0 ends a string
SEEDS = range(4)

WALKS = [
    w
    for n in range(1, LONGEST + 1)
    for w in itertools.product(range(VOCABULARY), repeat=n)
    if 0 not in w[:-1] and (n == LONGEST or w[-1] == 0)
]
LENGTHS = np.array([len(w) for w in WALKS])
BEGINNINGS = [x for n in range(LONGEST) for x in itertools.product(range(1, VOCABULARY), repeat=n)]
REAL = np.arange(LONGEST) < LENGTHS[:, None]


def own_logits(theta):
    """Every beginning of a string has logits of its own."""
    return theta.reshape(len(BEGINNINGS), VOCABULARY)


FEATURES = np.random.default_rng(8).normal(size=(len(BEGINNINGS), 3))


def network(theta):
    """All beginnings share the parameters of a small network."""
    w, v = theta[:12].reshape(3, 4), theta[12:24].reshape(4, VOCABULARY)
    return np.tanh(FEATURES @ w) @ v


MODELS = [pytest.param(own_logits, 3 * len(BEGINNINGS), id="own logits"), pytest.param(network, 24, id="network")]


class Strings:
    """All strings of a model at some parameters: probabilities [A] and token scores [A, T, P]."""

    def __init__(self, logits_of, theta, temperature=1.0, kept=None):
        def token_log_probs(x):
            z = logits_of(x) / temperature
            log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
            rows = np.zeros((len(WALKS), LONGEST), dtype=log_p.dtype)
            for i, walk in enumerate(WALKS):
                for t, token in enumerate(walk):
                    rows[i, t] = log_p[BEGINNINGS.index(walk[:t]), token]
            return rows

        self.log_probs = token_log_probs(theta)
        self.scores = jacobian(token_log_probs, theta)
        self.pi = np.exp(self.log_probs.sum(1))
        if kept is not None:  # tokens outside the kept sets are never drawn
            table = np.exp(logits_of(theta))
            q = np.where(kept, table, 0)
            q = q / q.sum(1, keepdims=True)
            self.pi = np.array([math.prod(q[BEGINNINGS.index(w[:t]), a] for t, a in enumerate(w)) for w in WALKS])
        assert abs(self.pi.sum() - 1) < 1e-12

    def mean(self, weights, pi=None):
        """E[Σ_t w_t s_t]; weights [A] or [A, T]."""
        w = np.broadcast_to(np.asarray(weights).reshape(len(WALKS), -1), REAL.shape)
        return np.einsum("a,at,atp->p", self.pi if pi is None else pi, w, self.scores)

    def noise(self, weights):
        g = np.einsum("at,atp->ap", np.broadcast_to(weights, REAL.shape), self.scores)
        return self.pi @ (g**2).sum(1) - ((self.pi @ g) ** 2).sum()

    def value(self, returns, after):
        """V after so many tokens of every string: the mean return of the strings that begin alike."""
        out = np.zeros(len(WALKS))
        for i, walk in enumerate(WALKS):
            alike = [j for j, other in enumerate(WALKS) if other[:after] == walk[:after]]
            out[i] = self.pi[alike] @ returns[alike] / self.pi[alike].sum()
        return out

    def values(self, returns):
        return np.stack([self.value(returns, t) for t in range(LONGEST + 1)], 1)


def draw(seed, size, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=size), rng


def slope_of_J(logits_of, theta, returns, temperature=1.0):
    """∇ Σ_a π(a) r(a), with π a product of next-token probabilities, by complex steps: no score anywhere."""

    def J(x):
        p = softmax(logits_of(x) / temperature)
        return sum(
            r * np.prod([p[BEGINNINGS.index(w[:t]), a] for t, a in enumerate(w)])
            for w, r in zip(WALKS, returns, strict=True)
        )

    return jacobian(J, theta)


# The end token


@pytest.mark.claim("prop-end-token")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("b", [0.0, 0.7])
def test_what_is_missing_without_the_end_token(logits_of, size, b):
    theta, rng = draw(1, size)
    model, returns = Strings(logits_of, theta), rng.uniform(size=len(WALKS))
    ended = np.array([w[-1] == 0 for w in WALKS])
    counts = REAL & ~(ended[:, None] & (np.arange(LONGEST) == LENGTHS[:, None] - 1))
    s_end = np.where(ended[:, None], model.scores[np.arange(len(WALKS)), LENGTHS - 1], 0)
    got = model.mean((returns - b)[:, None] * counts)
    missing = ((returns - b) * model.pi) @ s_end
    assert np.allclose(got, slope_of_J(logits_of, theta, returns) - missing, atol=1e-12)
    without_b = model.mean(returns[:, None] * counts)
    assert np.abs(got - without_b).max() > 1e-3 or b == 0  # the baseline is not free


@pytest.mark.claim("prop-end-token")
@pytest.mark.parametrize("c", [2.0, -1.0])
def test_a_contented_teacher_unteaches_stopping(c):
    theta, _ = draw(2, 3 * len(BEGINNINGS))
    model = Strings(own_logits, theta)
    counts = REAL & np.array([[t < len(w) and w[t] != 0 for t in range(LONGEST)] for w in WALKS])
    got = model.mean(c * counts).reshape(len(BEGINNINGS), VOCABULARY)
    assert np.abs(model.mean(c * REAL)).max() < 1e-12
    p = softmax(own_logits(theta))
    for i, x in enumerate(BEGINNINGS):
        reached = sum(q for w, q in zip(WALKS, model.pi, strict=True) if w[: len(x)] == x)
        assert abs(got[i, 0] + c * reached * p[i, 0] * (1 - p[i, 0])) < 1e-12
        assert got[i, 0] * c < 0


# Positions


@pytest.mark.claim("prop-positions")
def test_rotary_attention_sees_differences_of_positions():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 5, 4))
    turns = np.array([1.0, 0.1])

    def rotated(x, positions):
        angle = np.multiply.outer(positions, turns)
        pairs = x.reshape(len(x), 2, 2)
        turned = np.stack(
            [
                np.cos(angle) * pairs[..., 0] - np.sin(angle) * pairs[..., 1],
                np.sin(angle) * pairs[..., 0] + np.cos(angle) * pairs[..., 1],
            ],
            -1,
        )
        return turned.reshape(x.shape)

    def attend(positions):
        scores = rotated(q, positions) @ rotated(k, positions).T
        return softmax(np.where(np.tri(5) > 0, scores, -np.inf)) @ v

    places = np.arange(5.0)
    assert np.allclose(attend(places), attend(places + 7), atol=1e-12)
    assert np.abs(attend(places) - attend(2 * places)).max() > 1e-2


@pytest.mark.claim("prop-positions")
def test_left_padding_moves_a_gpt2_and_not_a_llama():
    transformers = pytest.importorskip("transformers")
    sizes = {"bos_token_id": None, "eos_token_id": 0}
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=6, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, **sizes
        )
    ).eval()
    gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=6, n_embd=8, n_layer=2, n_head=2, n_positions=32, **sizes)
    ).eval()
    alone, pads = torch.tensor([[5, 2, 3, 1]]), torch.zeros(1, 3, dtype=torch.long)
    real = torch.cat([pads, torch.ones_like(alone)], 1)
    for model, moves in ((llama, False), (gpt2, True)):
        with torch.no_grad():
            want = model(alone).logits
            shifted = model(alone, position_ids=torch.arange(4)[None] + 7).logits
            naive = model(torch.cat([pads, alone], 1), attention_mask=real, position_ids=torch.arange(7)[None]).logits[
                :, 3:
            ]
            right = model(
                torch.cat([pads, alone], 1), attention_mask=real, position_ids=(real.cumsum(1) - 1).clamp_min(0)
            ).logits[:, 3:]
        assert torch.allclose(right, want, atol=1e-5)
        for got in (shifted, naive):
            assert torch.allclose(got, want, atol=1e-5) != moves


# Scores and baselines of tokens


@pytest.mark.claim("thm-token-scores")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_scores_of_different_tokens_are_uncorrelated(logits_of, size, seed):
    theta, rng = draw(seed, size)
    model = Strings(logits_of, theta)
    cross = np.einsum("a,atp,auq->tupq", model.pi, model.scores, model.scores)
    assert np.abs(np.einsum("a,atp->tp", model.pi, model.scores)).max() < 1e-12
    for t, u in itertools.product(range(LONGEST), repeat=2):
        assert (np.abs(cross[t, u]).max() < 1e-12) == (t != u)
    whole = model.scores.sum(1)
    F = np.einsum("a,ap,aq->pq", model.pi, whole, whole)
    assert np.allclose(F, sum(cross[t, t] for t in range(LONGEST)), atol=1e-12)
    returns = rng.uniform(size=len(WALKS))
    paid = np.einsum("a,atp,auq->tupq", model.pi * returns**2, model.scores, model.scores)
    assert np.abs(paid[0, 1]).max() > 1e-4
    total = model.pi @ (returns[:, None] ** 2 * whole**2).sum(1)
    assert total <= (returns**2).max() * np.trace(F)
    by_token = sum(np.trace(paid[t, t]) for t in range(LONGEST))
    assert (abs(total - by_token) < 1e-12) == (logits_of is own_logits)


@pytest.mark.claim("thm-prefix-baseline")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_baseline_may_look_back(logits_of, size, seed):
    theta, rng = draw(seed, size)
    model, returns = Strings(logits_of, theta), rng.normal(size=len(WALKS))
    b = dict(zip(BEGINNINGS, rng.normal(size=len(BEGINNINGS)), strict=True))
    looks_back = np.array([[b[w[:t]] if t < len(w) else 0 for t in range(LONGEST)] for w in WALKS])
    truth = slope_of_J(logits_of, theta, returns)
    for weights in (returns[:, None] * REAL, returns[:, None] - looks_back):
        assert np.allclose(model.mean(weights), truth, atol=1e-12)
    pairs = sum(  # the other answer's return, mixed with what was written so far
        model.pi[i] * model.pi[j] * ((returns[i] - returns[j] * looks_back[i]) @ model.scores[i])
        for i in range(len(WALKS))
        for j in range(len(WALKS))
    )
    assert np.allclose(pairs, truth, atol=1e-12)


@pytest.mark.claim("thm-prefix-baseline")
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_policy_of_a_transformer_has_the_exact_gradient(temperature):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    from ostrl import lm

    names = [".", "a", "b", "?"]
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({name: i for i, name in enumerate(names)}))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("[ab?.]"), "isolated")
    words.decoder = tokenizers.decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=".", pad_token=".")
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=4, n_embd=8, n_layer=1, n_head=2, n_positions=8, bos_token_id=None, eos_token_id=0,
        attn_implementation="eager", initializer_range=0.5,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).double()
    policy = lm.LanguageModelPolicy(model, tokenizer, max_new_tokens=3, temperature=temperature)
    walks = [
        w
        for n in range(1, 4)
        for w in itertools.product(range(4), repeat=n)
        if 0 not in w[:-1] and (n == 3 or w[-1] == 0)
    ]
    assert len(walks) == 40
    actions = torch.tensor([w + (0,) * (3 - len(w)) for w in walks])[None]
    mask = torch.arange(3) < torch.tensor([len(w) for w in walks])[:, None]
    returns = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = list(model.parameters())

    def listed():
        """π(a), one answer at a time, from the model's own logits."""
        chances = []
        for walk in walks:
            logits = model(torch.tensor([[3, *walk]])).logits[0, :-1] / temperature
            chances.append(logits.log_softmax(-1).gather(1, torch.tensor(walk)[:, None]).sum().exp())
        return torch.stack(chances)

    pi = listed()
    assert abs(float(pi.sum().detach()) - 1) < 1e-12
    truth = torch.autograd.grad(pi @ returns, parameters)
    pi = pi.detach()
    prompts = torch.rand(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    looks_back = torch.stack([prompts[0, :1].expand(40), prompts[actions[0, :, 0], 1], prompts[actions[0, :, 1], 2]], 1)
    for weights in (returns[:, None].expand(40, 3), returns[:, None] - looks_back):
        log_prob = policy.log_prob(["?"], actions, mask[None])
        loss = ostrl.surrogate_loss(log_prob, (pi[:, None] * weights)[None], 1.0, mask[None])
        for got, want in zip(torch.autograd.grad(loss, parameters), truth, strict=True):
            assert torch.allclose(-got, want, rtol=0, atol=1e-12)


@pytest.mark.claim("prop-best-prefix-baseline")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_baseline_of_every_token(seed):
    theta, rng = draw(seed, 3 * len(BEGINNINGS))
    model, returns = Strings(own_logits, theta), rng.uniform(size=len(WALKS)) + 1
    size = (model.scores**2).sum(-1)
    best = np.zeros(REAL.shape)
    for i, t in np.argwhere(REAL):
        alike = [j for j, w in enumerate(WALKS) if w[:t] == WALKS[i][:t] and len(w) > t]
        mass = model.pi[alike] * size[alike, t]
        best[i, t] = mass @ returns[alike] / mass.sum()
    least = model.noise(returns[:, None] - best)
    for trial in range(5):
        b = dict(zip(BEGINNINGS, np.random.default_rng(trial).normal(1.5, 0.5, len(BEGINNINGS)), strict=True))
        other = np.array([[b[w[:t]] if t < len(w) else 0 for t in range(LONGEST)] for w in WALKS])
        excess = np.einsum("a,at->", model.pi, (other - best) ** 2 * size * REAL)
        assert abs(model.noise(returns[:, None] - other) - least - excess) < 1e-12
    whole = (model.scores.sum(1) ** 2).sum(1)
    of_the_prompt = (model.pi * whole) @ returns / (model.pi @ whole)
    assert least < model.noise((returns - of_the_prompt)[:, None]) - 1e-6
    assert model.noise((returns - of_the_prompt)[:, None]) <= model.noise((returns - of_the_prompt - 0.1)[:, None])


@pytest.mark.claim("prop-later-baseline")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_baseline_may_not_look_at_its_token(logits_of, size, seed):
    theta, rng = draw(seed, size)
    model, returns = Strings(logits_of, theta), rng.normal(size=len(WALKS))
    truth = slope_of_J(logits_of, theta, returns)
    b = rng.normal(size=REAL.shape)  # a function of the whole answer
    given = np.stack([model.value(b[:, t], t + 1) for t in range(LONGEST)], 1)  # its mean given the token
    assert np.allclose(model.mean(returns[:, None] - b), truth - model.mean(given), atol=1e-12)
    assert np.abs(model.mean(given)).max() > 1e-3
    values = model.values(returns)
    assert np.allclose(model.mean(returns[:, None] - values[:, :-1]), truth, atol=1e-12)
    assert np.abs(model.mean(returns[:, None] - values[:, 1:])).max() < 1e-12  # one place too late
    two_late = np.stack([values[:, min(t + 2, LONGEST)] for t in range(LONGEST)], 1)
    assert np.abs(model.mean(returns[:, None] - two_late)).max() < 1e-12
    assert np.abs(truth).max() > 1e-3


# Dividing by the length


def slope(pi, scores, u):
    return (pi * u) @ scores


@pytest.mark.claim("thm-length")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("c", [0.0, 0.3, 1.0])
def test_where_length_tells_no_more_than_the_grade(logits_of, size, c):
    theta, rng = draw(5, size)
    model = Strings(logits_of, theta)
    s = model.scores.sum(1)
    returns = (rng.random(len(WALKS)) < 0.5).astype(float)
    plus, minus = 3.0, 7.0
    truth = slope_of_J(logits_of, theta, returns)
    lengths = np.where(returns == 1, plus, minus)
    want = (1 - c) / plus + c / minus
    assert np.allclose(slope(model.pi, s, (returns - c) / lengths), want * truth, atol=1e-12)
    other = lengths + (np.arange(len(WALKS)) % 2)  # two lengths among the right and among the wrong
    got = slope(model.pi, s, (returns - c) / other)
    assert np.abs(got - (got @ truth) / (truth @ truth) * truth).max() > 1e-4
    if c == 0:  # then the lengths of the wrong answers don't matter
        only_wrong = np.where(returns == 1, plus, other)
        assert np.allclose(slope(model.pi, s, returns / only_wrong), truth / plus, atol=1e-12)
    graded = rng.uniform(size=len(WALKS))
    alpha, beta = 0.4, 0.2
    affine = (graded - 2.0) / (alpha + beta * graded)  # may be negative: the identity holds all the same
    truth = slope_of_J(logits_of, theta, graded)
    assert np.allclose(slope(model.pi, s, (graded - 2.0) / affine), beta * truth, atol=1e-12)


@pytest.mark.claim("thm-length")
@pytest.mark.parametrize("seed", range(8))
def test_otherwise_some_parametrization_turns_around(seed):
    rng = np.random.default_rng(seed)
    pi = rng.dirichlet(np.ones(6))
    r = rng.uniform(size=6) if seed % 2 else np.array([1.0, 1, 0, 0, 1, 0])
    lengths, c = rng.integers(1, 9, size=6).astype(float), pi @ r
    if seed == 6:  # a baseline above every return, and long wrong answers: exactly the other way
        lengths, c = np.where(r == 1, 1.0, 8.0), 2.0
    u = (r - c) / lengths
    r0, u0 = r - pi @ r, u - pi @ u

    def inner(f, h):
        return pi @ (f * h)

    opposite = abs(inner(r0, u0) + math.sqrt(inner(r0, r0) * inner(u0, u0))) < 1e-12
    f = r0 if opposite else r0 / math.sqrt(inner(r0, r0)) - u0 / math.sqrt(inner(u0, u0))

    def family(x):
        return softmax(np.log(pi) + x[0] * f)

    score = jacobian(lambda x: np.log(family(x)), np.zeros(1))[:, 0]
    assert np.allclose(family(np.zeros(1)), pi, atol=1e-12)
    assert pi @ (r * score) > 1e-6
    assert pi @ (u * score) < -1e-6
    assert opposite == (seed == 6)


def two_ways(q, memory=0.6, worked=0.8):
    pi = np.array([(1 - q) * memory, (1 - q) * (1 - memory), q * worked, q * (1 - worked)])
    score = np.array([-q, -q, 1 - q, 1 - q])
    return pi, score, np.array([1.0, 0.0, 1.0, 0.0])


@pytest.mark.claim("thm-length")
@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_the_two_ways_of_the_opening_paragraph(q):
    pi, score, r = two_ways(q)
    lengths = np.array([2.0, 6.0, 6.0, 2.0])
    J = pi @ r
    assert pi @ ((r - J) * score) > 0 > pi @ ((r - J) / lengths * score)
    assert pi @ (r * score) > 0 > pi @ (r / lengths * score)


def groups(pi, size):
    for group in itertools.product(range(len(pi)), repeat=size):
        yield math.prod(pi[a] for a in group), list(group)


def z_scores(r, eps=1e-4):
    return (r - r.mean()) / (r.std(ddof=1) + eps)


@pytest.mark.claim("cor-length-grpo")
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_grpo_divided_by_the_length(size, seed):
    rng = np.random.default_rng(seed)
    pi, r, lengths = rng.dirichlet(np.ones(5)), np.array([1.0, 0, 1, 0, 0]), rng.integers(1, 9, size=5)
    scores = rng.normal(size=(5, 7))
    scores = scores - pi @ scores  # any scores have mean zero
    got = sum(prob * (z_scores(r[a]) / lengths[a] / size) @ scores[a] for prob, a in groups(pi, size))
    p = pi @ r
    omega = sum(
        math.comb(size, k) * p**k * (1 - p) ** (size - k) * k * (size - k)
        / (size**2 * (math.sqrt(k * (size - k) / (size * (size - 1))) + 1e-4))
        for k in range(1, size)
    ) / (p * (1 - p))  # fmt: skip
    assert omega > 0
    assert np.allclose(got, omega * (pi * (r - p) / lengths) @ scores, atol=1e-12)
    package = exact.omega(ostrl.METHODS["grpo"], torch.tensor([p]), size)
    assert abs(float(package[0]) - omega) < 1e-9


@pytest.mark.claim("cor-length-grpo")
def test_the_rows_divide_as_the_text_says():
    mask = torch.tensor([[[True, True, False], [True, False, False]]])
    zeros = torch.zeros(1, 2, 3, dtype=torch.float64)
    rewards = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    batch = ostrl.Batch(
        prompts=["?"], actions=torch.zeros(1, 2, 3, dtype=torch.long), rewards=rewards,
        source=torch.zeros(1, 2, dtype=torch.long), log_prob=zeros, behavior_log_prob=zeros, mask=mask,
    )  # fmt: skip
    for name, want in {"grpo": [[4.0, 2.0]], "dapo": 3.0, "dr_grpo": 2.0, "rloo": 2.0}.items():
        row = ostrl.METHODS[name]
        assert torch.equal(
            torch.as_tensor(row.normalize(batch, row.weights(batch))).double(), torch.tensor(want).double()
        )


@pytest.mark.claim("prop-common-divisor")
@pytest.mark.parametrize("weigh", [lambda r: r - r.mean(), z_scores], ids=["centered", "grpo"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_common_divisor_never_points_downhill_in_a_table(weigh, seed):
    rng = np.random.default_rng(seed)
    pi, r = rng.dirichlet(np.ones(5)), np.array([1.0, 0, 1, 0, 1])
    lengths = rng.integers(1, 30, size=5)
    truth = pi * (r - pi @ r)
    scores = np.eye(5) - pi
    for size in (2, 3):
        for _, a in groups(pi, size):
            for Z in (lengths[a].sum(), lengths[a].max(), rng.uniform(0.01, 10)):
                assert (weigh(r[a]) @ scores[a] / Z) @ truth >= -1e-15


@pytest.mark.claim("prop-common-divisor")
def test_own_lengths_turn_a_table_around_and_a_shared_parameter_turns_pairs_around():
    pi, r = np.array([0.8, 0.075, 0.075, 0.05]), np.array([1.0, 1, 1, 0])
    lengths = np.array([50.0, 1, 1, 50])
    truth, u = pi * (r - pi @ r), (r - pi @ r) / lengths
    assert truth @ (pi * (u - pi @ u)) < 0
    pi, score, r = two_ways(0.5)
    lengths = np.array([2.0, 6.0, 6.0, 2.0])

    def over_all_tokens(size):
        total = 0.0
        for prob, a in groups(pi, size):
            total += prob * (r[a] - r[a].mean()) @ score[a] / lengths[a].sum()
        return total

    assert over_all_tokens(2) < 0 < over_all_tokens(3) < over_all_tokens(6)


@pytest.mark.claim("prop-length-natural")
@pytest.mark.parametrize("seed", range(8))
def test_centered_and_natural_it_never_falls(seed):
    rng = np.random.default_rng(seed)
    pi, lengths = rng.dirichlet(np.ones(6)), rng.integers(1, 40, size=6)

    def rise(r, c):
        """dJ/dt when the logits move with velocity (r − c)/T."""
        return jacobian(lambda t: softmax(np.log(pi) + t[0] * (r - c) / lengths) @ r, np.zeros(1))[0]

    r = rng.normal(size=6)
    J = pi @ r
    assert abs(rise(r, J) - pi @ ((r - J) ** 2 / lengths)) < 1e-12
    assert rise(r, J) > 0
    binary = np.array([1.0, 0, 0, 1, 1, 0])
    assert all(rise(binary, c) >= 0 for c in (0.0, 0.2, 0.9, 1.0))


@pytest.mark.claim("prop-length-natural")
def test_not_centered_it_can_fall():
    pi, r, lengths = np.array([0.5, 0.5]), np.array([1.0, 2.0]), np.array([1.0, 4.0])
    velocity = r / lengths
    assert pi @ ((r - pi @ r) * velocity) < 0


# Temperature and truncation


@pytest.mark.claim("thm-temperature-mismatch")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("T", [0.5, 1.7])
@pytest.mark.parametrize("seed", SEEDS)
def test_sampled_at_one_temperature_scored_at_another(logits_of, size, T, seed):
    theta, rng = draw(seed, size)
    model, sampler = Strings(logits_of, theta), Strings(logits_of, theta, temperature=T)
    q, returns = sampler.pi, rng.normal(size=len(WALKS))

    def divergence(x):
        z = logits_of(x)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        return sum(
            p * (math.log(p) - sum(log_p[BEGINNINGS.index(w[:t]), a] for t, a in enumerate(w)))
            for w, p in zip(WALKS, q, strict=True)
        )

    drift = model.mean(2.0 * REAL, q)
    assert np.allclose(drift, -2.0 * jacobian(divergence, theta), atol=1e-12)
    assert np.abs(drift).max() > 1e-3
    assert np.abs(slope_of_J(logits_of, theta, np.full(len(WALKS), 2.0), T)).max() < 1e-12
    truth = T * slope_of_J(logits_of, theta, returns, T)
    values = sampler.values(returns)
    assert np.allclose(model.mean(returns[:, None] - values[:, :-1], q), truth, atol=1e-12)
    centered = model.mean(returns - q @ returns, q)
    more = np.zeros(size)
    for t in range(LONGEST):
        mu = np.stack([sampler.value(model.scores[:, t, k], t) for k in range(size)], 1)
        more += (q * (returns - q @ returns)) @ mu
    assert np.allclose(centered, truth + more, atol=1e-12)
    assert np.abs(more).max() > 1e-3
    first = rng.normal(size=VOCABULARY)[[w[0] for w in WALKS]]  # the return depends on one token, and on it alone
    one = np.einsum("a,a,ap->p", q, first - q @ first, model.scores[:, 0])
    assert np.allclose(one, T * slope_of_J(logits_of, theta, first, T), atol=1e-12)


@pytest.mark.claim("thm-temperature-mismatch")
@pytest.mark.parametrize("weigh", [ostrl.weighting.leave_one_out, ostrl.weighting.group_normalized])
def test_centered_equal_returns_have_weight_zero(weigh):
    assert (weigh(torch.full((3, 4), 0.1)) == 0).all()


@pytest.mark.claim("prop-truncated")
@pytest.mark.parametrize("logits_of, size", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_truncated_sampling(logits_of, size, seed):
    theta, rng = draw(seed, size)
    table = logits_of(theta)
    kept = table > table.min(1, keepdims=True)  # top-k with k = V − 1
    model, sampler = Strings(logits_of, theta), Strings(logits_of, theta, kept=kept)
    q, returns = sampler.pi, rng.normal(size=len(WALKS))

    def log_kept(x):
        return np.log((softmax(logits_of(x)) * kept).sum(1))

    rows = jacobian(log_kept, theta)
    reached = [
        sum(p for w, p in zip(WALKS, q, strict=True) if w[: len(x)] == x and len(w) > len(x)) for x in BEGINNINGS
    ]
    drift = model.mean(3.0 * REAL, q)
    assert np.allclose(drift, 3.0 * np.array(reached) @ rows, atol=1e-12)
    assert np.abs(drift).max() > 1e-3

    def J(x):
        p = softmax(logits_of(x)) * kept
        p = p / p.sum(1, keepdims=True)
        return sum(
            r * np.prod([p[BEGINNINGS.index(w[:t]), a] for t, a in enumerate(w)])
            for w, r in zip(WALKS, returns, strict=True)
        )

    values = np.zeros((len(WALKS), LONGEST))
    for i, w in enumerate(WALKS):
        for t in range(len(w)):
            alike = [j for j, other in enumerate(WALKS) if other[:t] == w[:t]]
            values[i, t] = q[alike] @ returns[alike] / q[alike].sum() if q[alike].sum() > 0 else 0
    assert np.allclose(model.mean(returns[:, None] - values, q), jacobian(J, theta), atol=1e-12)
