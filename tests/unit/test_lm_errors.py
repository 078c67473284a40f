"""Bad input to language models and their tasks gets an error that names it."""

import pytest
import tiny_models as tiny
import torch
from tiny_models import PROMPTS, generator

from ostrl import lm


def policy_of(**changes):
    base = tiny.load("llama")
    return lm.LanguageModelPolicy(**{"model": base.model, "tokenizer": base.tokenizer} | changes)


def scored(prompts=PROMPTS[:1], actions=None, mask=None, **changes):
    actions = torch.tensor([[[5, 2]]]) if actions is None else actions
    mask = torch.ones_like(actions, dtype=torch.bool) if mask is None else mask
    return tiny.load("llama").at(**changes).log_prob(prompts, actions, mask)


def endless():
    words = tiny.tokenizer("llama")
    model = tiny.network("llama", words)
    words.eos_token = model.generation_config.eos_token_id = None
    return {"model": model, "tokenizer": words}


def recurrent():
    transformers = tiny.transformers
    return transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=46, hidden_size=8, num_hidden_layers=1))


def without_positions():
    transformers = tiny.transformers
    shape = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
    return transformers.BartForCausalLM(transformers.BartConfig(vocab_size=46, **shape))


LONG = torch.tensor([[[5, 6, 2]]])
ERRORS = {
    "model": (lambda: policy_of(model="gpt2"), TypeError, "model must be of class Module, got str 'gpt2'"),
    "module": (lambda: policy_of(model=torch.nn.Linear(2, 2)), TypeError, "causal language model .*got Linear"),
    "tokenizer": (lambda: policy_of(tokenizer=None), TypeError, "tokenizer must be .*got NoneType"),
    "recurrent": (
        lambda: policy_of(model=recurrent()),
        TypeError,
        "model must take .*past_key_values.*MambaForCausalLM",
    ),
    "positions": (lambda: policy_of(model=without_positions()), TypeError, "position_ids.*BartForCausalLM"),
    "vocabulary": (
        lambda: policy_of(model=tiny.network("gpt2", tiny.tokenizer("llama"), vocab_size=20)),
        ValueError,
        "tokenizer and model must belong together: one knows 46 tokens, the other 20",
    ),
    "no end": (lambda: policy_of(**endless()), ValueError, r"end_ids must be tokens .*at least one; the model .*\[\]"),
    "empty ends": (lambda: policy_of(end_ids=[]), ValueError, r"end_ids must be .*0 to 45, at least one; got \[\]"),
    "end out of range": (lambda: policy_of(end_ids=[46]), ValueError, r"end_ids .*0 to 45.*got \[46\]"),
    "end of words": (lambda: policy_of(end_ids=["<eos>"]), TypeError, r"end_ids must be a list of token ids, got \['<"),
    "end alone": (lambda: policy_of(end_ids=2), TypeError, "end_ids must be a list of token ids, got 2"),
    "temperature": (lambda: policy_of(temperature=-1), ValueError, "temperature must not be negative, got -1"),
    "temperature NaN": (lambda: policy_of(temperature=float("nan")), ValueError, "temperature must be finite, got nan"),
    "temperature word": (
        lambda: policy_of(temperature="hot"),
        TypeError,
        "temperature must be a number, got str 'hot'",
    ),
    "budget": (lambda: policy_of(max_new_tokens=0), ValueError, "max_new_tokens must be at least 1, got 0"),
    "top_k": (lambda: policy_of(top_k=0), ValueError, "top_k must be at least 1, got 0"),
    "top_k float": (lambda: policy_of(top_k=2.0), TypeError, "top_k must be an int, got float 2.0"),
    "top_p": (lambda: policy_of(top_p=0), ValueError, "top_p must be greater than 0 and at most 1, got 0"),
    "top_p high": (lambda: policy_of(top_p=1.5), ValueError, "top_p must be greater than 0 and at most 1, got 1.5"),
    "micro-batch": (lambda: policy_of(micro_batch_size=0), ValueError, "micro_batch_size must be at least 1, got 0"),
    "side": (lambda: policy_of(padding_side="top"), ValueError, "padding_side must be \"left\" or .*got 'top'"),
    "autocast": (lambda: policy_of(autocast="bf16"), ValueError, "autocast must be torch.bfloat16.*got 'bf16'"),
    "no setting": (
        lambda: policy_of().at(beta=1),
        TypeError,
        "'beta' is no setting that can be changed; .*temperature",
    ),
    "changed setting": (lambda: policy_of().at(top_p=0), ValueError, "top_p must be greater than 0"),
    "prompt alone": (lambda: scored("2+2="), TypeError, "prompts must be a list of strings, got '2"),
    "prompt tensor": (lambda: scored(torch.tensor([1])), TypeError, r"prompts must be a list of strings, got tensor"),
    "prompt number": (lambda: scored([4]), TypeError, r"prompts must be a list of strings, got \[4\]"),
    "no prompts": (lambda: scored([]), ValueError, "prompts must hold at least one prompt"),
    "empty prompt": (
        lambda: tiny.load("gpt2").sample(["2", ""], 1, generator()),
        ValueError,
        "prompts must each have at least one token, got an empty prompt",
    ),
    "unknown character": (lambda: scored(["2 × 2"]), ValueError, "does not know some of the characters of '2 × 2'"),
    "actions 2-d": (
        lambda: scored(actions=LONG[0]),
        ValueError,
        r"actions must have shape \[B, G, T\].*got shape \[1, 3\]",
    ),
    "actions float": (lambda: scored(actions=LONG.float()), TypeError, "actions must be an integer tensor.*float32"),
    "actions out of range": (
        lambda: scored(actions=LONG + 44),
        ValueError,
        "actions must be indices of tokens in 0 … 45, got 50",
    ),
    "groups": (lambda: scored(actions=LONG.expand(2, 1, 3)), ValueError, "one group a prompt: got 2 for 1 prompts"),
    "mask shape": (
        lambda: scored(actions=LONG, mask=LONG[..., :2] > 0),
        ValueError,
        r"mask must have shape that of actions, \[1, 1, 3\], got \[1, 1, 2\]",
    ),
    "mask ints": (lambda: scored(actions=LONG, mask=LONG), TypeError, "mask must be boolean, got torch.int64"),
    "mask list": (lambda: scored(actions=LONG, mask=[1]), TypeError, "mask must be a torch.Tensor, got list"),
    "mask hole": (lambda: scored(actions=LONG, mask=LONG != 6), ValueError, "mask must hold the first so many tokens"),
    "greedy scores": (lambda: scored(temperature=0), ValueError, "temperature must be greater than 0 to score"),
    "decode 2-d": (
        lambda: policy_of().decode(LONG[0], LONG[0] > 0),
        ValueError,
        r"actions must have shape \[B, G, T\]",
    ),
    "decode mask": (lambda: policy_of().decode(LONG, LONG[0] > 0), ValueError, "mask must have shape"),
    "ragged answers": (lambda: policy_of().encode([["a"], ["a", "b"]]), ValueError, r"groups of one size.*\[1, 2\]"),
    "no answers": (lambda: policy_of().encode([]), ValueError, "groups of one size, at least 1"),
    "answers of numbers": (
        lambda: policy_of().encode([[85]]),
        TypeError,
        "every answer must be of class str, got int 85",
    ),
    "unknown answer": (lambda: policy_of().encode([["é"]]), ValueError, "does not know some of the characters of 'é'"),
    "end inside": (
        lambda: policy_of().encode([["8<eos>5"]]),
        ValueError,
        "must not hold the token that ends them, got '8<eos>5'",
    ),
    "group": (lambda: policy_of().sample(PROMPTS, 0, generator()), ValueError, "group_size must be at least 1, got 0"),
    "generator": (
        lambda: policy_of().sample(PROMPTS, 1, None),
        TypeError,
        "generator must be a torch.Generator, got No",
    ),
    "seed": (lambda: policy_of().sample(PROMPTS, 1, 0), TypeError, "generator must be a torch.Generator, got int 0"),
    "asked budget": (
        lambda: policy_of().sample(PROMPTS, 1, generator(), max_new_tokens=0),
        ValueError,
        "max_new_tokens must be at least 1, got 0",
    ),
    "asked temperature": (
        lambda: policy_of().sample(PROMPTS, 1, generator(), temperature=-1),
        ValueError,
        "temperature must not be negative",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_arguments_are_named(case):
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        call()
