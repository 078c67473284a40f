"""What a language model answers along training, kept small enough to be stored with a page and browsed there.

::

    recording = record(policy, task, prompts, 4, generator, step=0)
    ...  # training
    recording = record(policy, task, prompts, 4, generator, step=20, earlier=recording)
    ostrl.live.Samples(recording)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ostrl import checks
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask

END = "⏎"
"""How the token that ends an answer is written in a recording."""


def record(
    policy: LanguageModelPolicy,
    task: TextTask,
    prompts: Sequence[str],
    samples: int,
    generator: torch.Generator,
    *,
    step: int = 0,
    accuracy: float | None = None,
    method: str = "",
    kind: Callable[[str], str] | None = None,
    key: Callable[[str], str] | None = None,
    note: Callable[[str, str], str | None] | None = None,
    earlier: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw answers, have them graded, and note how likely each of their tokens was.

    The same policy and the same state of the generator give the same recording.

    Args:
        policy: who answers, as it is at this step.
        task: the teacher who grades.
        prompts: the prompts, each answered ``samples`` times; they need not be the task's.
        samples: answers to a prompt, at least 1.
        generator: the source of randomness, on the policy's device.
        step: of training, at least 0; after all steps of ``earlier``.
        accuracy: how often the policy is right at this step, from 0 to 1, if it was measured on more answers than
            these; otherwise the share of these with a return of 1 or more.
        method: what it is trained with, for the title.
        kind: names the kind of a prompt, such as :func:`ostrl.lm.homework.kind`; without it all are of one kind.
        key: the right answer to a prompt, such as :func:`ostrl.lm.homework.solve`.
        note: names the mistake in an answer, or gives ``None``, such as :func:`ostrl.lm.students.mistake`.
        earlier: the recording of earlier steps, with the same prompts; it is left as it is.

    Returns:
        A dictionary for JSON: ``steps``, ``accuracy``, ``method``, and for each of the ``prompts`` its ``prompt``,
        ``kind``, ``key`` and ``samples``, a list of answers for each step. An answer has its ``tokens`` (with
        ``END`` where it ended), their ``probs`` to three digits, its ``reward``, and a ``note`` where there is one.

    Raises:
        TypeError: for a wrong kind of argument.
        ValueError: for numbers out of range, a step that is not after the earlier ones, or other prompts than theirs.
    """
    checks.instance("task", task, TextTask)
    checks.positive_int("samples", samples)
    if checks.number("step", step) < 0 or step != int(step):
        raise ValueError(f"step must be a whole number, at least 0, got {step}")
    if accuracy is not None and not 0 <= checks.number("accuracy", accuracy) <= 1:
        raise ValueError(f"accuracy must be from 0 to 1, got {accuracy}")
    task.check_policy(policy)
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise TypeError(f"prompts must be a list of strings, got {prompts!r:.80}")
    asked = list(prompts)
    actions, mask = policy.sample(asked, samples, generator)
    with torch.no_grad():
        probs = policy.log_prob(asked, actions, mask).double().exp()
    texts = policy.decode(actions, mask)
    rewards = task.reward(asked, texts)
    answers = [
        [
            _answer(policy, actions[b, g], mask[b, g], probs[b, g], float(rewards[b, g]))
            | ({"note": mistake} if note and (mistake := note(prompt, texts[b][g])) else {})
            for g in range(samples)
        ]
        for b, prompt in enumerate(asked)
    ]
    right = float((rewards >= 1).double().mean()) if accuracy is None else float(accuracy)
    now = {
        "steps": [int(step)],
        "accuracy": [_rounded(right)],
        "method": method,
        "prompts": [
            {"prompt": prompt, "kind": kind(prompt) if kind else "", "key": key(prompt) if key else "", "samples": [of]}
            for prompt, of in zip(asked, answers, strict=True)
        ],
    }
    return now if earlier is None else _joined(earlier, now)


def _joined(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Two recordings of the same prompts as one."""
    if not isinstance(earlier, dict) or not {"steps", "accuracy", "prompts"} <= earlier.keys():
        raise TypeError(f"earlier must be a recording, as record() gives it, got {type(earlier).__name__}")
    if earlier["steps"] and now["steps"][0] <= earlier["steps"][-1]:
        last = earlier["steps"][-1]
        raise ValueError(f"step must be after {last}, the last of the earlier ones, got {now['steps'][0]}")
    if [old["prompt"] for old in earlier["prompts"]] != [new["prompt"] for new in now["prompts"]]:
        raise ValueError("prompts must be those of the earlier recording, in the same order")
    pairs = zip(earlier["prompts"], now["prompts"], strict=True)
    return {
        "steps": earlier["steps"] + now["steps"],
        "accuracy": earlier["accuracy"] + now["accuracy"],
        "method": now["method"] or earlier.get("method", ""),
        "prompts": [old | {"samples": old["samples"] + new["samples"]} for old, new in pairs],
    }


def _answer(
    policy: LanguageModelPolicy, actions: torch.Tensor, mask: torch.Tensor, probs: torch.Tensor, reward: float
) -> dict[str, Any]:
    return {
        "tokens": pieces(policy, actions[mask].tolist()),
        "probs": [_rounded(p) for p in probs[mask].tolist()],
        "reward": _rounded(reward),
    }


def _rounded(number: float) -> float:
    """To three digits, and a whole number as one."""
    short = float(f"{number:.3g}")
    return int(short) if short.is_integer() else short


def pieces(policy: LanguageModelPolicy, tokens: list[int]) -> list[str]:
    """Each token's own part of the text, so that the parts make the whole; ``END`` for the token that ends it.

    A token that holds only the first bytes of a character has no text yet: it is written as a replacement character.
    """

    def text(ids: list[int]) -> str:
        return str(policy.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    parts, before = [], ""
    for count, token in enumerate(tokens, start=1):
        if token in policy.end_ids:
            parts.append(END)
            continue
        after = text(tokens[:count])
        whole = after.rstrip("\ufffd")
        if after.startswith(before) and len(whole) > len(before):
            parts.append(whole[len(before) :])
            before = whole
        else:
            parts.append("\ufffd" if after != whole else text([token]) or "\ufffd")
            before = before if after != whole else after
    return parts
