"""Between words and tokens: what a tokenizer makes of prompts and answers, and which tokens end an answer."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from ostrl import checks


def check_tokenizer(tokenizer: Any, vocab_size: int) -> None:
    """Require a tokenizer whose tokens the model knows.

    Raises:
        TypeError: for anything but a tokenizer of transformers.
        ValueError: for one with more tokens than the model.
    """
    checks.instance("tokenizer", tokenizer, PreTrainedTokenizerBase)
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"tokenizer and model must belong together: one knows {len(tokenizer)} tokens, the other {vocab_size}"
        )


def end_tokens(model: Any, tokenizer: Any, vocab_size: int, given: list[int] | None) -> list[int]:
    """The tokens that end an answer: those given, or those that the model's generation settings and the tokenizer name.

    Raises:
        TypeError: for anything but a list of token ids.
        ValueError: for none, or one that the model does not know.
    """
    if given is None:
        named = (getattr(model, "generation_config", None) or model.config).eos_token_id
        several = named if isinstance(named, list | tuple) else [named]
        ends = list(dict.fromkeys(token for token in [*several, tokenizer.eos_token_id] if token is not None))
    else:
        if not isinstance(given, list | tuple) or not all(isinstance(token, int) for token in given):
            raise TypeError(f"end_ids must be a list of token ids, got {given!r:.80}")
        ends = list(given)
    if not ends or not all(0 <= token < vocab_size for token in ends):
        what = "the model and the tokenizer name" if given is None else "got"
        raise ValueError(f"end_ids must be tokens of the model, 0 to {vocab_size - 1}, at least one; {what} {ends}")
    return ends


def prompt_tokens(tokenizer: Any, prompts: list[str], end_ids: list[int]) -> list[list[int]]:
    """Prompts as tokens: in the chat template if there is one, otherwise with the special tokens put in front.

    Raises:
        TypeError: for anything but a list of strings.
        ValueError: for no prompts, an empty one, or one that the tokenizer cannot write.
    """
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise TypeError(f"prompts must be a list of strings, got {prompts!r:.80}")
    if not prompts:
        raise ValueError("prompts must hold at least one prompt, got none")
    if tokenizer.chat_template:
        turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
        rows = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    else:
        rows = tokenizer(prompts)["input_ids"]
        # Some tokenizers put an end behind every text, too; an answer is to follow.
        rows = [row[:-1] if len(row) > 1 and row[-1] in end_ids else row for row in rows]
    for row, prompt in zip(rows, prompts, strict=True):
        _check_known(tokenizer, row, prompt)
        if not row:
            raise ValueError("prompts must each have at least one token, got an empty prompt")
    return rows


def answer_tokens(tokenizer: Any, texts: list[str], end_ids: list[int]) -> list[list[int]]:
    """Answers as tokens, each with an end token behind it.

    Raises:
        TypeError: for anything but strings.
        ValueError: for a text that the tokenizer cannot write, or with an end token inside.
    """
    for text in texts:
        checks.instance("every answer", text, str)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in end_ids else end_ids[0]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    for row, text in zip(rows, texts, strict=True):
        _check_known(tokenizer, row, text)
        if not set(end_ids).isdisjoint(row):
            raise ValueError(f"answers must not hold the token that ends them, got {text!r:.80}")
    return [[*row, end] for row in rows]


def _check_known(tokenizer: Any, row: list[int], text: str) -> None:
    unknown = tokenizer.unk_token_id
    if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id):  # it has another meaning, then (GPT-2, OPT)
        return
    if unknown in row:
        raise ValueError(f"the tokenizer does not know some of the characters of {text!r:.80}")
