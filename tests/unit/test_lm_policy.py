"""Scores of a language model are its own, whatever stands beside them; words become tokens and come back."""

import copy

import pytest
import tiny_models as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DEVICES, KINDS, PROMPTS, generator

import ostrl
from ostrl import lm
from ostrl.batch import SELF, Batch
from ostrl.lm.sampler import until_end


def answers(policy, group_size=3, length=7, seed=0, count=3):
    """Random tokens, most of them unlikely, in answers of all lengths; what stands behind their end is random, too."""
    draw = generator(seed)
    actions = torch.randint(policy.vocab_size, (count, group_size, length), generator=draw)
    ends = torch.randint(1, length + 1, (count, group_size, 1), generator=draw)
    ends[-1, -1] = length
    actions.scatter_(2, ends - 1, policy.end_ids[0])
    return actions.to(policy.device), (torch.arange(length) < ends).to(policy.device)


def gradient(policy, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(policy.parameters()))])


# Scores are the model's own


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_are_those_of_the_plain_forward_pass(kind, side, attention, device):
    policy = tiny.load(kind, device, padding_side=side, temperature=0.7)
    policy.model.set_attn_implementation(attention)
    actions, mask = answers(policy)
    got = policy.log_prob(PROMPTS, actions, mask)
    torch.testing.assert_close(got, tiny.plain(policy, PROMPTS, actions, mask), rtol=0, atol=1e-5)
    assert got.shape == actions.shape and got.dtype == torch.float32
    assert torch.equal(got[~mask], torch.zeros_like(got[~mask]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_and_gradients_are_exact_in_float64(kind, side, device):
    policy = tiny.load(kind, device, padding_side=side, dtype=torch.float64, micro_batch_size=4)
    actions, mask = answers(policy)
    got, expected = policy.log_prob(PROMPTS, actions, mask), tiny.plain(policy, PROMPTS, actions, mask)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    if kind == "gpt2":  # the others compute their norms, and their gradients, in float32
        weight = torch.randn(got.shape, dtype=torch.float64, generator=generator(1)).to(device)
        slopes = [gradient(policy, (weight * scores).sum()) for scores in (got, expected)]
        torch.testing.assert_close(*slopes, rtol=0, atol=1e-10)


def test_a_window_of_attention_counts_tokens_and_not_padding():
    words = tiny.tokenizer("llama")
    model = tiny.network("mistral", words, sliding_window=5).double()
    for side in ("left", "right"):
        policy = lm.LanguageModelPolicy(model, words, padding_side=side)
        actions, mask = answers(policy)
        expected = tiny.plain(policy, PROMPTS, actions, mask)
        torch.testing.assert_close(policy.log_prob(PROMPTS, actions, mask), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(data=st.data())
def test_padding_side_order_and_cuts_change_nothing(kind, data):
    policy = tiny.load(kind)
    texts = st.text("0123456789+ abcxyz", min_size=1, max_size=12)
    prompts = data.draw(st.lists(texts, min_size=1, max_size=5))
    actions, mask = answers(policy, 2, 6, data.draw(st.integers(0, 99)), len(prompts))
    expected = policy.log_prob(prompts, actions, mask).detach()
    other = policy.at(
        padding_side=data.draw(st.sampled_from(["left", "right"])),
        micro_batch_size=data.draw(st.none() | st.integers(1, 11)),
    )
    order = data.draw(st.permutations(range(len(prompts))))
    got = other.log_prob([prompts[i] for i in order], actions[order].flip(1), mask[order].flip(1)).flip(1)
    torch.testing.assert_close(got, expected[order], rtol=0, atol=1e-5)


def test_what_stands_behind_an_answer_changes_nothing():
    policy = tiny.load("gpt2")
    actions, mask = answers(policy)
    others = torch.where(mask, actions, (actions + 1) % policy.vocab_size)
    wider = torch.nn.functional.pad(others, (0, 4), value=5), torch.nn.functional.pad(mask, (0, 4))
    expected = policy.log_prob(PROMPTS, actions, mask)
    assert torch.equal(policy.log_prob(PROMPTS, others, mask), expected)
    assert torch.equal(policy.log_prob(PROMPTS, *wider), torch.nn.functional.pad(expected, (0, 4)))


def test_the_temperature_is_that_of_the_sampler():
    policy = tiny.load("llama", temperature=0.5)
    actions, mask = answers(policy)
    cold = policy.log_prob(PROMPTS, actions, mask)
    policy.sample(PROMPTS, 1, generator(), temperature=2.0)
    hot = policy.log_prob(PROMPTS, actions, mask)
    torch.testing.assert_close(hot, tiny.plain(policy.at(temperature=2.0), PROMPTS, actions, mask), rtol=0, atol=1e-5)
    assert (hot - cold).abs().max() > 1


def test_int32_actions_are_scored_as_they_are():
    policy = tiny.load("llama")
    actions, mask = answers(policy)
    assert torch.equal(policy.log_prob(PROMPTS, actions.int(), mask), policy.log_prob(PROMPTS, actions, mask))


# Exact: every string there is


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_probabilities_of_all_strings_sum_to_one(kind, temperature, device):
    policy = tiny.abc(kind, device, temperature=temperature)
    actions, mask = (x.expand(2, -1, -1) for x in tiny.strings(device))
    assert actions.shape == (2, 40, 3)
    total = policy.log_prob(["a", "bca"], actions, mask).sum(-1).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def exact(policy, prompt, returns):
    """∇J at one prompt, from the model's own forward pass over every string, and the strings' probabilities."""
    actions, mask = tiny.strings(policy.device)
    scores = [
        tiny.plain_log_prob(policy, policy.tokenizer(prompt)["input_ids"], answer[real].tolist()).sum()
        for answer, real in zip(actions, mask, strict=True)
    ]
    probs = torch.stack(scores).exp()
    return gradient(policy, (probs * returns).sum()), probs.detach()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "kind, temperature, tolerance", [("gpt2", 1.0, 1e-10), ("gpt2", 0.6, 1e-10), ("llama", 0.6, 1e-5)]
)
def test_the_expected_estimate_of_reinforce_is_the_gradient(kind, temperature, tolerance, device):
    """The mean over every string, each through weights, normalizer, surrogate and backward pass of its own.

    A Llama of transformers computes its norms, and their gradients, in float32 whatever its weights are.
    """
    policy = tiny.abc(kind, device, temperature=temperature)
    actions, mask = tiny.strings(device)
    returns = torch.randn(len(actions), dtype=torch.float64, generator=generator(1)).to(device)
    expected, probs = exact(policy, "bca", returns)
    method, mean = ostrl.METHODS["reinforce"], torch.zeros_like(expected)
    for p, answer, real, grade in zip(probs, actions, mask, returns, strict=True):
        log_prob = policy.log_prob(["bca"], answer[None, None], real[None, None])
        batch = one_batch(["bca"], answer[None, None], real[None, None], grade[None, None], log_prob.detach())
        weights = method.weights(batch)
        loss = ostrl.surrogate_loss(log_prob, weights, method.normalize(batch, weights), batch.mask)
        mean -= p * gradient(policy, loss)
    torch.testing.assert_close(mean, expected, rtol=0, atol=tolerance)
    assert expected.norm() > 0.01


def one_batch(prompts, actions, mask, rewards, log_prob):
    source = torch.full_like(actions[..., 0], SELF)
    return Batch(prompts, actions, rewards, source, log_prob, log_prob, mask=mask)


@pytest.mark.parametrize("name, scale", [("rloo", 1.0), ("dr_grpo", 0.5)])
def test_the_expected_estimate_of_every_pair(name, scale):
    """All 1,600 groups of two: leave-one-out is unbiased, the group's mean halves the gradient."""
    policy = tiny.abc("gpt2")
    actions, mask = tiny.strings()
    returns = torch.randn(len(actions), dtype=torch.float64, generator=generator(1))
    expected, probs = exact(policy, "bca", returns)
    pairs = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    log_prob = policy.log_prob(["bca"], actions[None], mask[None])[0][pairs]
    batch = one_batch(["bca"] * 1600, actions[pairs], mask[pairs], returns[pairs], log_prob.detach())
    weights = ostrl.METHODS[name].weights(batch)
    chance = probs[pairs].prod(1, keepdim=True)
    loss = ostrl.surrogate_loss(log_prob, weights * chance, 2.0, batch.mask)
    torch.testing.assert_close(-gradient(policy, loss), scale * expected, rtol=0, atol=1e-10)


# Masks and gradients


def test_the_end_token_is_learned_even_where_it_is_the_padding():
    policy = tiny.load("smollm2")
    end = policy.end_ids[0]
    assert end == policy.tokenizer.pad_token_id == policy.tokenizer.eos_token_id
    actions, mask = policy.encode([["47"], ["2"], ["the"]])
    last = mask.sum(-1, keepdim=True) - 1
    assert (actions.gather(-1, last) == end).all()
    before = policy.log_prob(PROMPTS, actions, mask).gather(-1, last)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-4)
    ostrl.surrogate_loss(before, torch.ones_like(before), 1.0).backward()
    optimizer.step()
    after = policy.log_prob(PROMPTS, actions, mask).gather(-1, last)
    assert after.sum() > before.sum()


class Wrapped(torch.nn.Module):
    """A wrapper that passes on whatever it is given, and overwrites logits: ``bad(places)`` is ``[N, places]``."""

    def __init__(self, model, value=0.0, bad=None):
        super().__init__()
        self.model, self.value, self.bad, self.config = model, value, bad, model.config

    def get_input_embeddings(self):
        return self.model.get_input_embeddings()

    def forward(self, **inputs):
        output = self.model(**inputs)
        if self.bad is not None:
            output.logits = output.logits.masked_fill(self.bad(output.logits.shape[1])[..., None], self.value)
        return output


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_masked_logits_that_are_not_finite_never_reach_a_gradient(value, side):
    """Everything behind the last token that counts is overwritten, whether prompts are read apart or in one piece."""
    healthy = tiny.load("gpt2", padding_side=side)
    actions, _ = answers(healthy, group_size=1, length=4)
    lengths = torch.tensor([1, 2, 4])[:, None]
    mask = (torch.arange(4) < lengths)[:, None]
    last = torch.tensor([[len(tiny.plain_tokens(healthy, prompt))] for prompt in PROMPTS]) + lengths - 2
    overwritten = []

    def bad(places):
        here = torch.arange(places)[None]
        chosen = here > last if side == "right" else here >= lengths - 1 if places > 1 else here.expand(3, 1) < 0
        overwritten.append(int(chosen.sum()))
        return chosen

    wrapped = Wrapped(healthy.model, value, bad)
    policy = lm.LanguageModelPolicy(wrapped, healthy.tokenizer, end_ids=healthy.end_ids, padding_side=side)
    scores = [p.log_prob(PROMPTS, actions, mask) for p in (policy, healthy)]
    assert sum(overwritten) >= 5 and torch.equal(*scores)
    losses = [ostrl.surrogate_loss(x, torch.ones(3, 1), 3.0, mask) for x in scores]
    assert torch.equal(*(gradient(healthy, loss) for loss in losses))


def test_a_log_prob_that_is_not_finite_and_counts_is_refused_by_the_loss():
    policy = tiny.load("gpt2")
    actions, mask = answers(policy, group_size=1, length=4)
    broken = Wrapped(policy.model, torch.nan, lambda places: torch.arange(3)[:, None].expand(3, places) == 2)
    scores = lm.LanguageModelPolicy(broken, policy.tokenizer, end_ids=[0]).log_prob(PROMPTS, actions, mask)
    with pytest.raises(ValueError, match="log_prob must be finite"):
        ostrl.surrogate_loss(scores, torch.ones(3, 1), 3.0, mask)


def test_a_wrapper_passes_mask_and_positions_on():
    policy = tiny.load("gpt2")
    other = lm.LanguageModelPolicy(Wrapped(policy.model), policy.tokenizer, end_ids=policy.end_ids, max_new_tokens=6)
    actions, mask = answers(policy)
    assert torch.equal(other.log_prob(PROMPTS, actions, mask), policy.log_prob(PROMPTS, actions, mask))
    assert torch.equal(
        other.sample(PROMPTS, 2, generator()).actions, policy.sample(PROMPTS, 2, generator(), max_new_tokens=6).actions
    )


@pytest.mark.parametrize("ends", [[0], [0, 3, 7], [5]])
@given(tokens=st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=4))
def test_a_mask_ends_with_the_first_end_token(ends, tokens):
    expected = []
    for row in tokens:
        found = [place for place, token in enumerate(row) if token in ends]
        length = found[0] + 1 if found else len(row)
        expected.append([place < length for place in range(6)])
    assert until_end(torch.tensor(tokens), ends).tolist() == expected


# Truncated sampling


@pytest.mark.parametrize("top_k, top_p", [(2, None), (None, 0.6), (3, 0.8)])
def test_behavior_is_the_truncated_distribution(top_k, top_p):
    policy = tiny.abc("gpt2", top_k=top_k, top_p=top_p, temperature=0.8)
    assert policy.truncated
    actions = torch.arange(4)[None, :, None]  # every token as an answer of its own
    mask = torch.ones_like(actions, dtype=torch.bool)
    probs = policy.log_prob(["bca"], actions, mask).detach().flatten().exp()
    ranked = probs.sort(descending=True)
    keep = list(range(4 if top_k is None else top_k))
    if top_p is not None:  # of what top-k leaves, the fewest that hold the share
        share = ranked.values[keep] / ranked.values[keep].sum()
        keep = keep[: int((share.cumsum(0) < top_p).sum()) + 1]
    assert len(keep) < 4
    expected = torch.zeros(4, dtype=torch.float64)
    expected[ranked.indices[keep]] = ranked.values[keep] / ranked.values[keep].sum()
    got = policy.behavior_log_prob(["bca"], actions, mask)
    torch.testing.assert_close(got.flatten().exp(), expected, rtol=0, atol=1e-12)
    assert (got.flatten()[expected == 0] == -torch.inf).all() and not got.requires_grad


@pytest.mark.parametrize("more", [{}, {"top_p": 1.0}, {"top_k": 4}, {"top_k": 99, "top_p": 1.0}])
def test_settings_that_cut_nothing_are_on_policy(more):
    policy = tiny.abc("llama", **more)
    actions, mask = (x[None] for x in tiny.strings())
    assert not policy.truncated
    assert torch.equal(policy.behavior_log_prob(["a"], actions, mask), policy.log_prob(["a"], actions, mask))


# Precision


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_multiplies_in_bfloat16_and_sums_in_float32(kind, device):
    policy = tiny.load(kind, device)
    half = policy.at(autocast=torch.bfloat16)
    every = torch.arange(policy.vocab_size, device=device)[None, :, None]
    mask = torch.ones_like(every, dtype=torch.bool)
    exact, rough = (p.log_prob(PROMPTS[1:2], every, mask) for p in (policy, half))
    assert rough.dtype == torch.float32
    assert 1e-4 < (rough - exact).abs().max() < 0.25  # bfloat16 has three digits
    torch.testing.assert_close(rough.exp().sum(), torch.ones((), device=device), rtol=0, atol=1e-5)
    slope = gradient(policy, rough.sum())
    assert slope.dtype == torch.float32 and slope.isfinite().all()
    assert half.sample(PROMPTS, 2, generator(0, device)).mask.any()


def test_weights_in_bfloat16_are_scored_in_float32():
    policy = tiny.load("llama", dtype=torch.bfloat16)
    every = torch.arange(policy.vocab_size)[None, :, None]
    scores = policy.log_prob(PROMPTS[1:2], every, torch.ones_like(every, dtype=torch.bool))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.exp().sum(), torch.ones(()), rtol=0, atol=1e-5)


# Words and tokens


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_encoded_comes_back(kind, data):
    policy = tiny.load(kind)
    text = st.text("0123456789+-= abcdefgh", max_size=8)
    size = data.draw(st.integers(1, 3))
    groups = data.draw(st.lists(st.lists(text, min_size=size, max_size=size), min_size=1, max_size=3))
    actions, mask = policy.encode(groups)
    assert policy.decode(actions, mask) == groups
    assert torch.equal(mask, until_end(actions, policy.end_ids))  # what is behind the end reads as an end
    lengths = [[len(policy.tokenizer(x, add_special_tokens=False)["input_ids"]) + 1 for x in group] for group in groups]
    assert mask.sum(-1).tolist() == lengths and actions.shape[-1] == max(map(max, lengths))


def test_decoding_leaves_out_ends_and_what_is_masked_and_nothing_else():
    policy = tiny.load("llama")
    pad, bos, eos = 0, 1, 2
    a, b = policy.tokenizer.convert_tokens_to_ids(["a", "b"])
    actions = torch.tensor([[[a, eos, b], [a, b, a]], [[bos, pad, eos], [eos, a, a]]])
    mask = until_end(actions, [eos])
    assert policy.decode(actions, mask) == [["a", "aba"], ["<bos><pad>", ""]]
    assert policy.decode(actions, mask & (torch.arange(3) < 2)) == [["a", "ab"], ["<bos><pad>", ""]]


def test_a_token_that_the_tokenizer_lacks_can_be_written_and_read():
    words = tiny.tokenizer("llama")
    policy = lm.LanguageModelPolicy(tiny.network("llama", words, vocab_size=60), words)
    actions = torch.tensor([[[5, 59, 2]]])
    assert policy.decode(actions, actions >= 0) == [[words.decode([5])]]
    assert policy.log_prob(["2"], actions, actions >= 0).isfinite().all()


@pytest.mark.parametrize("kind", ["smollm2", "qwen2"])
def test_a_prompt_is_a_turn_of_the_user(kind):
    policy = tiny.load(kind)
    seen = []
    hook = policy.model.register_forward_pre_hook(lambda _, args, inputs: seen.append(inputs), with_kwargs=True)
    policy.sample(["2+2="], 1, generator(), max_new_tokens=1)
    hook.remove()
    text = "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\n2+2=<|im_end|>\n<|im_start|>assistant\n"
    assert policy.tokenizer.decode(seen[0]["input_ids"][0]) == text
    assert seen[0]["input_ids"][0].tolist().count(policy.tokenizer.convert_tokens_to_ids("<|im_start|>")) == 3


def test_ends_of_every_kind():
    assert tiny.load("qwen2").end_ids == [2, 0]  # the model names two, the tokenizer one of them
    assert tiny.load("llama").end_ids == [2]
    policy = tiny.load("qwen2", end_ids=[7])
    actions, mask = policy.encode([["a"]])
    assert actions[0, 0, -1] == 7 and mask.all()


def test_an_end_that_a_tokenizer_puts_behind_prompts_is_left_out():
    words = tiny.tokenizer("llama")
    words.backend_tokenizer.post_processor = tiny.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    plain = tiny.load("llama")
    policy = lm.LanguageModelPolicy(plain.model, words)
    assert words("2")["input_ids"][-1] == 2
    actions, mask = answers(policy)
    assert torch.equal(policy.log_prob(PROMPTS, actions, mask), plain.log_prob(PROMPTS, actions, mask))


def test_one_token_for_beginning_end_and_unknown_is_no_reason_to_refuse_a_prompt():
    """OPT's tokenizer puts ``</s>`` in front, which is its end and its unknown token, too."""
    words = tiny.letters("abc", ["</s>"], front="</s>", bos_token="</s>", eos_token="</s>", unk_token="</s>")
    policy = lm.LanguageModelPolicy(tiny.network("gpt2", words), words)
    actions, mask = policy.encode([["a", "bb"]])
    got = policy.log_prob(["abc"], actions, mask)
    torch.testing.assert_close(got, tiny.plain(policy, ["abc"], actions, mask), rtol=0, atol=1e-5)


# The module


def test_dropout_stays_off():
    policy = tiny.load("gpt2")
    actions, mask = answers(policy)
    expected = policy.log_prob(PROMPTS, actions, mask)
    assert any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in policy.modules())
    assert policy.train() is policy
    assert not any(module.training for module in policy.modules())
    assert torch.equal(policy.log_prob(PROMPTS, actions, mask), expected)


def test_other_settings_share_the_weights_and_copies_do_not():
    policy = tiny.load("llama")
    other, apart = policy.at(temperature=0.5, max_new_tokens=3), copy.deepcopy(policy)
    assert (policy.temperature, policy.max_new_tokens) == (1.0, 10)
    assert (other.temperature, other.max_new_tokens) == (0.5, 3)
    assert [p.data_ptr() for p in other.parameters()] == [p.data_ptr() for p in policy.parameters()]
    actions, mask = answers(policy)
    before = apart.log_prob(PROMPTS, actions, mask)
    with torch.no_grad():
        next(policy.parameters()).mul_(2)
    assert torch.equal(apart.log_prob(PROMPTS, actions, mask), before)
    assert not torch.equal(policy.log_prob(PROMPTS, actions, mask), before)


def test_a_graph_where_it_is_wanted():
    policy = tiny.load("llama")
    actions, mask = answers(policy)
    assert policy.log_prob(PROMPTS, actions, mask).requires_grad
    with torch.no_grad():
        assert not policy.log_prob(PROMPTS, actions, mask).requires_grad
    assert not policy.behavior_log_prob(PROMPTS, actions, mask).requires_grad


def test_the_longest_answers_that_fit_and_one_token_more():
    words = tiny.tokenizer("gpt2")
    policy = lm.LanguageModelPolicy(tiny.network("gpt2", words, room=16), words, max_new_tokens=12, end_ids=[264])
    assert policy.sample(["2+2="], 1, generator()).actions.shape[-1] <= 12  # a prompt of 4 tokens
    with pytest.raises(ValueError, match=r"max_new_tokens must be shorter.* 17 tokens.* at most 16"):
        policy.sample(["2+2=="], 1, generator())
    with pytest.raises(ValueError, match=r"17 tokens.* at most 16"):
        policy.log_prob(["2+2="], torch.zeros(1, 1, 13, dtype=torch.long), torch.ones(1, 1, 13, dtype=torch.bool))
    wide = torch.zeros(1, 1, 99, dtype=torch.long)
    assert policy.log_prob(["2+2="], wide, torch.arange(99)[None, None] < 12).isfinite().all()  # masked: no room needed


def test_a_call_that_fails_changes_no_setting():
    policy = tiny.load("llama")
    for arguments in [("2", 1, generator()), (PROMPTS, 0, generator()), (PROMPTS, 1, None)]:
        with pytest.raises((TypeError, ValueError)):
            policy.sample(*arguments, temperature=0.3)
    assert policy.temperature == 1.0


if "cuda" in DEVICES:

    def test_a_generator_of_another_device_is_refused():
        with pytest.raises(ValueError, match="generator is on cpu"):
            tiny.load("llama", "cuda").sample(PROMPTS, 1, generator())
