"""Checks of the exercises of chapter 08."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ostrl.exercises import compare
from ostrl.policies import StringPolicy, real_tokens


def _masks(tokens: Tensor, end: int) -> Tensor:
    ends = (tokens == end).long()
    return (ends.cumsum(-1) - ends == 0).double()


def what_counts(answer: object) -> str | None:
    """8.1: the mask up to and with the first end token."""
    rows = [[3, 1, 2, 2], [2, 2, 2, 2], [1, 2, 3, 2], [4, 1, 3, 1], [1, 4, 2, 4]]
    inputs = [(torch.tensor(rows), end) for end in (2, 1, 4)]
    return compare.function(
        answer,
        _masks,
        inputs,
        {
            "the end token itself must count: a model that is never told that it stopped does not learn to.": (
                lambda tokens, end: ((tokens == end).long().cumsum(-1) == 0).double()
            ),
            "that drops every end token, the first one, too; and keeps what follows it.": (
                lambda tokens, end: (tokens != end).double()
            ),
            "that is the padding; the mask is true for what counts.": (
                lambda tokens, end: 1 - _masks(tokens, end)
            ),
            "that keeps the first token after the end, too.": (
                lambda tokens, end: ((tokens == end).long().cumsum(-1) <= 1).double()
            ),
            "that ends at the last end token; what follows the first one does not count.": (
                lambda tokens, end: ((tokens == end).flip(-1).long().cumsum(-1).flip(-1) > 0).double()
            ),
        },
    )  # fmt: skip


def _read(logits: Tensor, tokens: Tensor, start: int, shift: int) -> Tensor:
    return logits[start - shift : len(tokens) - shift].gather(1, tokens[start:, None]).sum()


def answer_score(answer: object) -> str | None:
    """8.2: the log-probability of an answer from the logits of prompt and answer together."""

    def expected(logits: Tensor, tokens: Tensor, prompt_length: int, temperature: float) -> Tensor:
        return _read((logits / temperature).log_softmax(-1), tokens, prompt_length, 1)

    def per_token(logits: Tensor, tokens: Tensor, prompt_length: int, temperature: float) -> Tensor:
        return expected(logits, tokens, prompt_length, temperature) / (len(tokens) - prompt_length)

    generator = torch.Generator().manual_seed(82)
    inputs = [
        (torch.randn(length, 5, generator=generator, dtype=torch.float64),
         torch.randint(5, (length,), generator=generator), prompt, temperature)
        for length, prompt, temperature in ((6, 2, 1.0), (7, 3, 0.5), (5, 1, 2.0), (9, 4, 0.8))
    ]  # fmt: skip
    return compare.function(
        answer,
        expected,
        inputs,
        {
            "logits at a place predict the NEXT token: read them one place earlier.": (
                lambda logits, tokens, prompt_length, temperature: _read(
                    (logits / temperature).log_softmax(-1), tokens, prompt_length, 0
                )
            ),
            "the temperature is missing: divide the logits by it.": (
                lambda logits, tokens, prompt_length, temperature: _read(
                    logits.log_softmax(-1), tokens, prompt_length, 1
                )
            ),
            "the temperature divides the logits before the softmax; log-probabilities divided by it afterwards do not "
            "belong to probabilities that sum to 1.": (
                lambda logits, tokens, prompt_length, temperature: _read(
                    logits.log_softmax(-1) / temperature, tokens, prompt_length, 1
                )
            ),
            "divide the logits by the temperature, do not multiply them.": (
                lambda logits, tokens, prompt_length, temperature: _read(
                    (logits * temperature).log_softmax(-1), tokens, prompt_length, 1
                )
            ),
            "that is the mean over the answer's tokens; its log-probability is the sum.": per_token,
            "that counts the prompt's tokens, too; the prompt is given.": (
                lambda logits, tokens, prompt_length, temperature: _read(
                    (logits / temperature).log_softmax(-1), tokens, 1, 1
                )
            ),
            "that is the probability; its logarithm is asked for.": (
                lambda logits, tokens, prompt_length, temperature: expected(
                    logits, tokens, prompt_length, temperature
                ).exp()
            ),
        },
    )


def unlearning_to_stop(answer: object) -> str | None:
    """8.3: the push on the end token's logit when its own term is masked out, for two teachers."""
    return compare.value(
        answer,
        torch.tensor([-0.16, 0.08]),
        {
            "the sign: the other tokens' scores push the end token down where paid, up where fined.": (
                torch.tensor([0.16, -0.08])
            ),
            "those are what the ends would have added, and they are masked out.": torch.tensor([0.16, 0.08]),
            "the first teacher pays 2.": torch.tensor([-0.08, 0.08]),
            "the beginning is reached in half of the cases only.": torch.tensor([-0.32, 0.16]),
            "that would be so with the end token counted.": torch.tensor([0.0, 0.16]),
            "the second one is right only with the end token counted: it is masked out.": torch.tensor([-0.16, 0.16]),
            "who goes on earns 0 in the second case, but the baseline is 1: the weight is 0 − 1.": (
                torch.tensor([-0.16, 0.0])
            ),
            "how often does the model NOT stop there? Only then is a token counted.": torch.tensor([-0.8, 0.4]),
            "the entry of the end token is −0.8, not −0.2, each time another token is written.": (
                torch.tensor([-0.04, 0.02])
            ),
            "each token that is not the end adds −0.8 to the end token's entry: that factor is missing.": (
                torch.tensor([-0.2, 0.1])
            ),
        },
        tol=1e-6,
    )


def content_with_everything(answer: object) -> str | None:
    """8.4: the drift for a constant return, sampled at temperature 1/2 and scored at 1."""
    pi = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    cold, hot = pi**2 / (pi**2).sum(), pi.sqrt() / pi.sqrt().sum()
    return compare.value(
        answer,
        cold - pi,
        {
            "that is zero, and would be right if answers were scored at the temperature they were sampled at.": 0 * pi,
            "that is temperature 2: dividing logits by 1/2 doubles them.": hot - pi,
            "the sign: what is sampled more often than scored moves up.": pi - cold,
            "those are the probabilities at temperature 1/2; subtract what the model expects, π.": cold,
            "the squares have to be divided by their sum.": pi**2 - pi,
            "the score at temperature 1 has no factor 2.": 2 * (cold - pi),
        },
        tol=5e-3,
    )


def turning_length(answer: object) -> str | None:
    """8.5: the length from which division by length turns the choice around."""

    def parts(m: float, w: float, q: float) -> tuple[float, float, float]:
        return m, w, (1 - q) * m + q * w

    def expected(m: float, w: float, q: float) -> float:
        m, w, J = parts(m, w, q)
        return (w * (1 - J) + (1 - m) * J) / (m * (1 - J) + (1 - w) * J)

    def swapped(m: float, w: float, q: float) -> float:
        return expected(m, w, 1 - q)

    return compare.function(
        answer,
        expected,
        [(m, w, q) for m, w in ((0.6, 0.8), (0.2, 0.5), (0.5, 0.9), (0.05, 0.1)) for q in (0.1, 0.5, 0.8)],
        {
            "that is without a baseline: the weights are R − J.": lambda m, w, q: w / m,
            "that is the inverse.": lambda m, w, q: 1 / expected(m, w, q),
            "J: the share of the answers that are worked out is q, so J = (1 − q) m + q w.": swapped,
            "J is the model's mean return, (1 − q) m + q w, not one half of m + w.": (
                lambda m, w, q: expected(m, w, 0.5)
            ),
            "that is where right answers alone are balanced; wrong ones have a weight, too, −J.": (
                lambda m, w, q: w * (1 - parts(m, w, q)[2]) / (m * (1 - parts(m, w, q)[2]))
            ),
        },
    )


@cache
def _listed() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """All strings of a model in which every beginning has its own logits.

    Probabilities, returns, values [A, T + 1], token scores [A, T, P], gradient, mask.
    """
    strings = StringPolicy(1, 3, 3).strings()
    mask = real_tokens(strings)
    first, second = strings[:, 0], strings[:, 1]
    beginnings = torch.stack([0 * first, first, 2 * first + second], 1) * mask  # nothing, one token (1, 2), two (3-6)
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(86), dtype=torch.float64)
    chances = logits.softmax(1)
    own = torch.eye(7, dtype=torch.float64)[beginnings][..., None]  # [A, T, 7, 1]
    token_scores = (torch.eye(3, dtype=torch.float64)[strings] - chances[beginnings]) * mask[..., None]  # [A, T, 3]
    scores = (own * token_scores[:, :, None]).flatten(2)
    pi = chances[beginnings, strings].where(mask, 1.0).prod(1)
    returns = torch.rand(len(pi), generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    values = []
    for t in range(strings.shape[1] + 1):
        alike = (strings[:, None, :t] == strings[None, :, :t]).all(-1) * pi
        values.append(alike @ returns / alike.sum(1))
    gradient = (pi * returns) @ scores.sum(1)
    return pi, returns, torch.stack(values, 1), scores, gradient, mask


def what_the_token_changed(answer: object) -> str | None:
    """8.6: weights for tokens that are right on average and less noisy than R minus the value before."""
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    pi, returns, values, scores, gradient, mask = _listed()
    try:
        got = compare.as_tensor(answer(returns.clone(), values.clone()))
    except Exception as error:  # the reader's own code: say what it raised
        return f"your function raised {type(error).__name__}: {error}. It is called with (R, V), in this order."
    if isinstance(got, str):
        return got
    if got.shape != mask.shape:
        return f"expected weights [N, T] = {list(mask.shape)}, got {list(got.shape)}."

    def moments(weights: Tensor) -> tuple[Tensor, float]:
        g = torch.einsum("at,atp->ap", weights, scores)
        mean = pi @ g
        return mean, float(pi @ g.square().sum(1) - mean.square().sum())

    mean, noise = moments(got)
    before = returns[:, None] - values[:, :-1]
    if float(mean.norm()) < 1e-9:
        return "the expected gradient is zero: the baseline of a token may not know the token, V[:, t + 1] is too late."
    if not torch.allclose(mean, gradient, rtol=0, atol=1e-9):
        wrong = compare.direction(mean, gradient, 1e-6)
        return f"on average that is not the policy gradient: {wrong}"
    limit = moments(before)[1]
    if noise > limit * (1 - 1e-9):
        return (
            f"right on average, but its noise is {noise:.4f}, and R − V(before) has {limit:.4f}: what comes after the "
            "token is still in it."
        )
    return None


def turned_around(answer: object) -> str | None:
    """8.7: a table in which dividing by each answer's own length turns the gradient around."""
    if not isinstance(answer, Sequence) or isinstance(answer, str) or len(answer) != 3:
        return "expected three lists: probabilities, returns, lengths."
    lists: list[Any] = [compare.as_tensor(part) for part in answer]
    for part in lists:
        if isinstance(part, str):
            return part
        if part.ndim != 1 or part.shape != lists[0].shape or not 2 <= len(part) <= 6:
            return "expected three lists of the same length, from two to six numbers each."
    pi, r, T = lists
    if bool((pi <= 0).any()) or abs(float(pi.sum()) - 1) > 1e-6:
        return "the probabilities must be positive and sum to 1."
    if not bool(((r == 0) | (r == 1)).all()) or float(r.min()) == float(r.max()):
        return "the returns must be 0 or 1, and both must occur."
    if bool((T < 1).any()) or bool((T > 1000).any()) or bool((T.round() != T).any()):
        return "the lengths must be whole numbers of tokens, from 1 to 1,000."
    p = pi @ r
    true, u = pi * (r - p), (r - p) / T
    divided = pi * (u - pi @ u)
    cosine = float(true @ divided / (true.norm() * divided.norm()))
    if cosine < -0.5:
        return None
    lengths = {float(grade): T[r == grade].unique() for grade in (0.0, 1.0)}
    if all(len(several) == 1 for several in lengths.values()):
        return (
            f"the cosine is {cosine:.3f}: if all right answers have one length and all wrong ones, too, the direction "
            "is never changed."
        )
    return f"the cosine is {cosine:.3f}; it has to be below −0.5. Which answer pays for the pushes on the others?"


CHECKS: dict[str, Callable[[object], str | None]] = {
    "8.1": what_counts,
    "8.2": answer_score,
    "8.3": unlearning_to_stop,
    "8.4": content_with_everything,
    "8.5": turning_length,
    "8.6": what_the_token_changed,
    "8.7": turned_around,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
