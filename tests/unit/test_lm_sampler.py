"""What a language model writes has the probabilities that it says, and costs no more than it must."""

import pytest
import tiny_models as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DEVICES, KINDS, PROMPTS, generator

import ostrl
from ostrl import lm
from ostrl.batch import DEMONSTRATOR, OLD, SELF
from ostrl.lm.sampler import draw_tokens, log_softmax, rectangle, until_end

SOON = {"smollm2": [2, *range(60, 120)], "qwen2": [2, 0, *range(60, 120)]}
"""More tokens that end an answer, so that those of models with many tokens end sooner or later."""


def ending(kind, device="cpu", **settings):
    return tiny.load(kind, device, **{"end_ids": SOON.get(kind)} | settings)


def p_value(counts, probs):
    """Of Pearson's chi-squared test that counts are drawn from probabilities; rare cells are put together."""
    total, order = counts.sum(), probs.argsort()
    counts, probs = counts[order].double(), probs[order].double()
    rare = max(int((probs * total < 5).sum()), int((probs.cumsum(0) * total < 5).sum()) + 1)
    counts, probs = (torch.cat([x[:rare].sum()[None], x[rare:]]) for x in (counts, probs))
    assert len(counts) >= 2 and (probs * total >= 5).all()
    statistic = ((counts - total * probs) ** 2 / (total * probs)).sum()
    half = torch.tensor((len(counts) - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(half, statistic / 2).item()


# Frequencies


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "how", [{}, {"temperature": 0.5}, {"temperature": 1.7}, {"top_k": 2}, {"top_p": 0.7}, {"top_k": 3, "top_p": 0.9}]
)
def test_strings_come_as_often_as_their_probabilities_say(kind, how, device):
    """Every string of two prompts, 4,000 answers to each; each of the 24 tests rings falsely once in 10,000 seeds."""
    policy = tiny.abc(kind, device, **how)
    count, prompts = 4000, ["a", "bca"]
    drawn, _ = policy.sample(prompts, count, generator(11, device))
    actions, mask = tiny.strings(device)
    score = policy.behavior_log_prob if policy.truncated else policy.log_prob
    probs = score(prompts, actions.expand(2, -1, -1), mask.expand(2, -1, -1)).detach().sum(-1).exp()
    torch.testing.assert_close(probs.sum(1), torch.ones_like(probs[:, 0]), rtol=0, atol=1e-10)
    for answers, p in zip(drawn, probs, strict=True):
        counts = (answers[:, None] == actions).all(-1).sum(0)  # a string is padded with its end on both sides
        assert counts.sum() == count
        assert (counts[p == 0] == 0).all()
        possible = p > 0
        assert p_value(counts[possible], p[possible]) > 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_first_tokens_come_as_often_as_their_probabilities_say(kind, device):
    """Of models with hundreds of tokens; each test rings falsely once in 10,000 seeds."""
    policy = tiny.load(kind, device, temperature=1.3, max_new_tokens=1)
    drawn, _ = policy.sample(PROMPTS[:2], 3000, generator(5, device))
    every = torch.arange(policy.vocab_size, device=device)[None, :, None].expand(2, -1, -1)
    probs = policy.log_prob(PROMPTS[:2], every, torch.ones_like(every, dtype=torch.bool)).detach().exp()[..., 0]
    for answers, p in zip(drawn, probs, strict=True):
        assert p_value(answers[:, 0].bincount(minlength=policy.vocab_size), p) > 1e-4


def test_the_frequencies_of_another_temperature_are_noticed():
    """The power of the test above: what is sampled at 1 is not what is scored at 0.8."""
    policy = tiny.abc("gpt2")
    drawn, _ = policy.sample(["a"], 4000, generator(11))
    actions, mask = tiny.strings()
    counts = (drawn[0][:, None] == actions).all(-1).sum(0)
    probs = policy.at(temperature=0.8).log_prob(["a"], actions[None], mask[None]).detach().sum(-1).exp()[0]
    assert p_value(counts, probs) < 1e-6


# The cache


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("kind", [*KINDS, "mistral"])
def test_every_token_is_the_one_that_its_random_number_picks_without_a_cache(kind, top_k, device):
    """In float64, from the model's own forward pass over one answer: the number lies in the token's interval."""
    if kind == "mistral":  # attention sees a window of 5 tokens
        words = tiny.tokenizer("llama")
        model = tiny.network("mistral", words, sliding_window=5).double().to(device)
        policy = lm.LanguageModelPolicy(model, words, temperature=0.7)
    else:
        policy = ending(kind, device, temperature=0.7, dtype=torch.float64)
    prompts = [tiny.plain_tokens(policy, prompt) for prompt in PROMPTS]
    uniform = torch.rand(3, 4, 8, dtype=torch.float64, generator=generator(2)).to(device)
    rows = rectangle(prompts, "left", torch.device(device))
    drawn = draw_tokens(policy.model, rows, uniform, temperature=0.7, end_ids=policy.end_ids, top_k=top_k)
    lengths = until_end(drawn, policy.end_ids).sum(-1)
    assert lengths.min() < 8 and len(set(lengths.flatten().tolist())) >= 2  # answers end at different places
    for i, prompt in enumerate(prompts):
        for g in range(4):
            length = int(lengths[i, g])
            answer = drawn[i, g, :length]
            logits = policy.model(torch.tensor([[*prompt, *answer.tolist()]], device=device)).logits[0].detach()
            below = log_softmax(logits[len(prompt) - 1 : -1], 0.7, top_k).exp().cumsum(-1)
            upper = below.gather(-1, answer[:, None])[:, 0]
            lower = torch.where(answer > 0, below.gather(-1, (answer - 1).clamp_min(0)[:, None])[:, 0], 0.0)
            number = uniform[i, g, :length]
            assert ((lower - 1e-9 <= number) & (number <= upper + 1e-9)).all()


class Passes(list):
    """Rows and columns of every forward pass of a policy's model."""

    def __init__(self, policy):
        super().__init__()
        policy.model.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, model, args, inputs):
        self.append(tuple(inputs["input_ids"].shape))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_read_once_a_group_and_finished_answers_leave(kind):
    policy = ending(kind)
    passes = Passes(policy)
    _, mask = policy.sample(PROMPTS, 5, generator(1))
    width = max(len(tiny.plain_tokens(policy, prompt)) for prompt in PROMPTS)
    lengths = mask.sum(-1).flatten()
    assert lengths.min() < lengths.max()
    # After the prompts, one token of each answer that has not ended; the last token of none is read.
    going = [int((lengths > step).sum()) for step in range(1, int(lengths.max()))]
    assert passes == [(3, width), *((rows, 1) for rows in going)]


def test_scoring_reads_a_prompt_once_for_all_of_its_answers():
    policy = ending("gpt2")
    actions, mask = policy.sample([*PROMPTS, PROMPTS[0]], 5, generator(1))
    passes = Passes(policy)
    policy.log_prob([*PROMPTS, PROMPTS[0]], actions, mask)
    width = max(len(tiny.plain_tokens(policy, prompt)) for prompt in PROMPTS)
    assert passes == [(3, width), (20, actions.shape[-1] - 1)]  # the last token predicts nothing


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 12, 99])
def test_no_pass_has_more_rows_than_a_micro_batch(cut):
    policy = tiny.load("gpt2", dtype=torch.float64)
    expected = policy.sample(PROMPTS, 5, generator(1))
    other = policy.at(micro_batch_size=cut)
    passes = Passes(policy)
    got = other.sample(PROMPTS, 5, generator(1))
    assert torch.equal(got.actions, expected.actions) and torch.equal(got.mask, expected.mask)
    other.log_prob(PROMPTS, *got)
    assert max(rows for rows, _ in passes) <= cut


# Neighbors


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_do_not_depend_on_their_neighbors(kind, device):
    policy = ending(kind, device, temperature=0, padding_side="right")
    together = policy.sample(PROMPTS, 2, generator(0, device))
    texts = policy.decode(*together)
    for i, prompt in enumerate(PROMPTS):
        alone = policy.sample([prompt], 1, generator(7, device))
        assert policy.decode(*alone) == [[texts[i][0]]] and texts[i][0] == texts[i][1]
        answer, length = alone.actions[0, 0].tolist(), int(alone.mask[0, 0].sum())
        tokens = tiny.plain_tokens(policy, prompt)
        for place in range(length):  # and they are the most likely tokens
            logits = policy.model(torch.tensor([[*tokens, *answer[:place]]], device=device)).logits[0, -1]
            assert logits[answer[place]] > logits.max() - 1e-5


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(data=st.data())
def test_an_answer_depends_on_its_prompt_and_its_random_numbers_alone(kind, data):
    policy = ending(kind, dtype=torch.float64)
    prompts = [tiny.plain_tokens(policy, prompt) for prompt in PROMPTS]
    uniform = torch.rand(3, 4, 6, dtype=torch.float64, generator=generator(data.draw(st.integers(0, 99))))

    def drawn(rows, columns):
        chosen = rectangle([prompts[i] for i in rows], "left", torch.device("cpu"))
        return draw_tokens(policy.model, chosen, uniform[rows][:, columns], temperature=1.0, end_ids=policy.end_ids)

    some = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)
    rows, columns = data.draw(some), data.draw(some)
    assert torch.equal(drawn(rows, columns), drawn([0, 1, 2], [0, 1, 2, 3])[rows][:, columns])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_answers_and_no_other_randomness_is_touched(kind):
    policy = tiny.load(kind)
    state = torch.get_rng_state()
    a, b, c = (policy.sample(PROMPTS, 4, generator(seed)).actions for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert a.shape != c.shape or not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_answers_of_a_group_differ_and_carry_no_graph():
    actions, mask = tiny.load("gpt2").sample(["2+2="], 8, generator())
    assert len({tuple(row) for row in actions[0].tolist()}) > 4
    assert not actions.requires_grad and actions.dtype == torch.long and mask.dtype == torch.bool


# Ends


@pytest.mark.parametrize("kind", KINDS)
def test_answers_end_with_their_first_end_token_and_the_rectangle_with_the_longest(kind):
    policy = ending(kind, max_new_tokens=7)
    for seed in range(5):
        actions, mask = policy.sample(PROMPTS, 4, generator(seed))
        lengths = mask.sum(-1)
        assert actions.shape == mask.shape == (3, 4, int(lengths.max()))
        for answer, length in zip(actions.flatten(0, 1).tolist(), lengths.flatten().tolist(), strict=True):
            ends = [token in policy.end_ids for token in answer]
            assert not any(ends[: length - 1])
            assert ends[length - 1] or length == 7  # an answer that is cut is complete as it is
            assert all(ends[length:])


def test_all_answers_may_end_at_once():
    policy = tiny.load("llama", end_ids=list(range(46)))
    passes = Passes(policy)
    actions, mask = policy.sample(PROMPTS, 3, generator())
    assert actions.shape == (3, 3, 1) and mask.all() and len(passes) == 1


def test_one_token_and_one_answer():
    actions, mask = tiny.load("smollm2").sample(["2+2="], 1, generator(), max_new_tokens=1)
    assert actions.shape == (1, 1, 1) and mask.all()


# Settings


def test_a_temperature_that_is_asked_for_stays():
    policy = tiny.load("llama")
    policy.sample(PROMPTS, 1, generator(), temperature=0.4)
    assert policy.temperature == 0.4
    policy.at(temperature=2.0).sample(PROMPTS, 1, generator())
    policy.sample(PROMPTS, 1, generator())
    assert policy.temperature == 0.4


@pytest.mark.parametrize(
    "how, source", [({}, SELF), ({"top_k": 3}, OLD), ({"top_p": 0.5}, OLD), ({"top_p": 1.0}, SELF)]
)
def test_truncated_answers_are_marked_as_anothers(how, source):
    policy = tiny.load("gpt2", temperature=1.5, **how)
    task = lm.TextTask(PROMPTS, lambda prompt, answer: 1.0, lambda prompt: {"4": 1.0})
    batch = ostrl.METHODS["reinforce"].label.sample(policy, task, 4, 3, generator())
    assert (batch.source == source).all()
    own, behavior = (x.sum(-1) for x in (batch.log_prob, batch.behavior_log_prob))
    if source == SELF:
        assert torch.equal(own, behavior)
    else:
        assert behavior.isfinite().all() and (behavior > own + 0.01).all()
    mixed = ostrl.METHODS["self_training"].label.sample(policy, task, 4, 4, generator())
    assert mixed.source.tolist() == [[DEMONSTRATOR, DEMONSTRATOR, source, source]] * 4


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("top_k", [None, 2])
def test_the_ends_of_the_unit_interval_pick_possible_tokens(number, top_k):
    policy = tiny.abc("gpt2", top_k=top_k)
    rows = rectangle([[1]], "left", torch.device("cpu"))
    uniform = torch.full((1, 1, 3), number, dtype=torch.float64)
    drawn = draw_tokens(policy.model, rows, uniform, temperature=0.1, end_ids=[0], top_k=top_k)
    assert policy.at(temperature=0.1).behavior_log_prob(["a"], drawn, until_end(drawn, [0])).isfinite().all()


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_model_that_gives_nan_is_named(temperature):
    policy = tiny.load("llama", temperature=temperature)
    with torch.no_grad():
        policy.model.lm_head.weight[3] = torch.nan
    with pytest.raises(ValueError, match="logits are NaN: its weights are damaged, or its training diverged"):
        policy.sample(PROMPTS, 2, generator())


def test_a_memory_that_cannot_be_shared_is_refused():
    transformers = tiny.transformers
    words = tiny.tokenizer("llama")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.Lfm2Config(
        vocab_size=46, layer_types=["conv", "full_attention"], num_hidden_layers=2, **shape
    )
    policy = lm.LanguageModelPolicy(transformers.Lfm2ForCausalLM(config), words)
    with pytest.raises(TypeError, match=r"keep its past as keys and values.*Lfm2ForCausalLM does not"):
        policy.sample(PROMPTS, 2, generator())
    with pytest.raises(TypeError, match=r"keep its past as keys and values.*Lfm2ForCausalLM does not"):
        policy.log_prob(["2"], torch.tensor([[[5, 6]]]), torch.ones(1, 1, 2, dtype=torch.bool))


# Parts


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), side=st.sampled_from(["left", "right"]))
def test_a_rectangle_holds_every_sequence_at_its_side(lengths, side):
    sequences = [list(range(1, length + 1)) for length in lengths]
    rows = rectangle(sequences, side, torch.device("cpu"))
    assert rows.tokens.shape == rows.real.shape == rows.positions.shape == (len(lengths), max(lengths))
    for row, sequence in enumerate(sequences):
        real = rows.real[row]
        assert rows.tokens[row][real].tolist() == sequence
        assert rows.positions[row][real].tolist() == list(range(len(sequence)))
        assert real.tolist() == sorted(real.tolist(), reverse=side == "right")


def test_a_log_sum_exp_is_taken_in_float32_or_better():
    logits = torch.randn(2, 300, generator=generator()) * 4
    for dtype, expected in [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2]:
        scores = log_softmax(logits.to(dtype), 0.9)
        assert scores.dtype == expected
        torch.testing.assert_close(scores.exp().sum(-1), torch.ones(2, dtype=expected), rtol=0, atol=1e-5)
