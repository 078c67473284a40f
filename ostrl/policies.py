"""Policies small enough that every answer to every prompt can be listed."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ostrl import checks

MAX_STRINGS = 1_000_000


class TablePolicy(nn.Module):
    """A policy over a finite table of O prompts and A answers.

    A subclass says how its parameters make the table, in :meth:`log_probs`; everything else follows from that.
    Prompts may share parameters or not.
    """

    def log_probs(self) -> Float[Tensor, "O A"]:
        """``log π(a|o)`` (nats) of every answer to every prompt, with a graph."""
        raise NotImplementedError(f"{type(self).__name__} must define log_probs() -> Float[Tensor, 'O A']")

    def probs(self) -> Float[Tensor, "O A"]:
        """``π(a|o)`` of every answer to every prompt, with a graph."""
        return self.log_probs().exp()

    def log_prob(self, prompts: Int[Tensor, "B"], actions: Int[Tensor, "B G"]) -> Float[Tensor, "B G"]:
        """Log-probability (nats) of some answers, with a graph.

        Args:
            prompts: indices of prompts, ``[B]``.
            actions: indices of answers, ``[B, G]``.

        Raises:
            TypeError: if they are not integer tensors.
            ValueError: if they are out of range, empty, or their shapes do not fit.
        """
        table = self.log_probs()
        prompts, actions = check_pairs(prompts, actions, tuple(table.shape), table)
        return table[prompts[:, None], actions]

    def sample(self, prompts: Int[Tensor, "B"], group_size: int, generator: torch.Generator) -> Int[Tensor, "B G"]:
        """Draw ``group_size`` independent answers to each prompt.

        Args:
            prompts: indices of prompts, ``[B]``.
            group_size: G, at least 1.
            generator: the source of randomness, on the policy's device.

        Raises:
            TypeError: for a missing generator or prompts that are not integers.
            ValueError: for prompts out of range or a group size below 1.
        """
        with torch.no_grad():
            return draw(self.probs(), prompts, group_size, generator)


class CategoricalPolicy(TablePolicy):
    """A softmax over a table of logits: each prompt has its own row, ``π(a|o) = softmax(logits[o])[a]``.

    Implements ``eq-softmax``.

    Args:
        logits: ``[O, A]``, finite, floating point (float64 for exact answers). The values are copied.

    Raises:
        TypeError: if logits are not a floating-point tensor.
        ValueError: if they are not a non-empty, finite ``[O, A]``.
    """

    def __init__(self, logits: Float[Tensor, "O A"]) -> None:
        super().__init__()
        checks.ndim("logits", checks.floating("logits", logits), 2, "[O, A] (prompts, answers)")
        self.logits = nn.Parameter(checks.finite("logits", logits).detach().clone())

    def log_probs(self) -> Float[Tensor, "O A"]:
        return _log_softmax(checks.finite("logits", self.logits))


class LinearPolicy(TablePolicy):
    """A softmax over scores that are linear in the parameters: ``π(a|o) = softmax(features[o] @ theta)[a]``.

    Prompts and answers with similar features share parameters, as in a network: what is learned on one prompt moves
    the others.

    Args:
        features: ``[O, A, P]``, finite, floating point; held constant.
        theta: ``[P]``, in the same dtype. The values are copied.

    Raises:
        TypeError: if either is not a floating-point tensor, or they differ in dtype.
        ValueError: if either is not finite, or their shapes do not fit.
    """

    def __init__(self, features: Float[Tensor, "O A P"], theta: Float[Tensor, "P"]) -> None:
        super().__init__()
        checks.ndim("features", checks.floating("features", features), 3, "[O, A, P] (prompts, answers, parameters)")
        checks.shape("theta", checks.finite("theta", theta), (features.shape[2],), "[P] =")
        checks.like("theta", theta, "features", features)
        self.register_buffer("features", checks.finite("features", features).detach().clone())
        self.theta = nn.Parameter(theta.detach().clone())

    def log_probs(self) -> Float[Tensor, "O A"]:
        features = self.features
        assert isinstance(features, Tensor)
        return _log_softmax(checks.finite("theta", features @ self.theta))


class StringPolicy(TablePolicy):
    """A toy autoregressive language model: next-token logits that depend on the prompt and the previous token.

    Token 0 ends a string, and in the place of the previous token it stands for the start. A string has at most
    ``max_length`` tokens, the final 0 counted; one that is cut there is complete as it is. The answers are whole
    strings, numbered as in :meth:`strings`, so a ``StringPolicy`` answers a :class:`~ostrl.tasks.TableTask` like
    any other table. Implements ``eq-chain-rule``.

    Args:
        num_prompts: O, the prompts in the table.
        vocab_size: V, the end token counted; at least 2.
        max_length: most tokens in a string, the end token counted.
        generator: draws standard normal logits; without one all logits are 0.
        dtype: of the logits.

    Attributes:
        logits: ``[O, V, V]``: prompt, previous token, next token.

    Raises:
        TypeError: for sizes that are not ints.
        ValueError: for sizes below these, or more than a million strings (their number is given).
    """

    def __init__(
        self,
        num_prompts: int,
        vocab_size: int,
        max_length: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        checks.positive_int("num_prompts", num_prompts)
        checks.positive_int("max_length", max_length)
        if checks.positive_int("vocab_size", vocab_size) < 2:
            raise ValueError(f"vocab_size must be at least 2 (the end token and another), got {vocab_size}")
        count = count_strings(vocab_size, max_length)
        if count > MAX_STRINGS:
            raise ValueError(
                f"vocab_size {vocab_size} and max_length {max_length} make {count:,} strings; "
                f"at most {MAX_STRINGS:,} can be listed"
            )
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")
        if generator is not None:
            checks.instance("generator", generator, torch.Generator)
        sizes = (num_prompts, vocab_size, vocab_size)
        if generator is None:
            logits = torch.zeros(sizes, dtype=dtype)
        else:
            logits = torch.randn(sizes, generator=generator, dtype=dtype, device=generator.device)
        self.logits = nn.Parameter(logits)
        self.max_length = max_length
        strings = _list_strings(vocab_size, max_length).to(logits.device)
        self.register_buffer("_strings", strings, persistent=False)

    def strings(self) -> Int[Tensor, "A T"]:
        """Every string, one a row, ``T = max_length``; what follows the first 0 is padding."""
        return self._buffer().clone()

    def _buffer(self) -> Tensor:
        strings = self._strings
        assert isinstance(strings, Tensor)
        return strings

    def token_log_probs(self) -> Float[Tensor, "O A T"]:
        """``log π(token | prompt, tokens before)`` of every token of every string; 0 on padding."""
        table = _log_softmax(checks.finite("logits", self.logits))
        strings = self._buffer()
        previous = torch.nn.functional.pad(strings[:, :-1], (1, 0))
        log_prob = table[:, previous, strings]
        return torch.where(real_tokens(strings), log_prob, 0.0)

    def log_probs(self) -> Float[Tensor, "O A"]:
        return self.token_log_probs().sum(-1)

    def sample_strings(
        self, prompts: Int[Tensor, "B"], group_size: int, generator: torch.Generator
    ) -> Int[Tensor, "B G T"]:
        """Draw answers token by token, as a language model does; the arguments are those of :meth:`sample`."""
        with torch.no_grad():
            table = torch.softmax(checks.finite("logits", self.logits), dim=-1)
            prompts = checks.ndim("prompts", checks.indices("prompts", prompts, len(table), "prompts"), 1, "[B]")
            prompts = prompts.repeat_interleave(checks.positive_int("group_size", group_size))
            checks.generator(generator, table.device)
            token = torch.zeros_like(prompts)
            running = torch.ones_like(prompts, dtype=torch.bool)
            tokens = []
            for _ in range(self.max_length):
                token = torch.multinomial(table[prompts, token], 1, generator=generator).squeeze(1)
                token = torch.where(running, token, 0)
                running = running & (token != 0)
                tokens.append(token)
            return torch.stack(tokens, dim=1).unflatten(0, (-1, group_size))

    def sample(self, prompts: Int[Tensor, "B"], group_size: int, generator: torch.Generator) -> Int[Tensor, "B G"]:
        """Draw answers token by token and return their numbers in :meth:`strings`, ``[B, G]``."""
        drawn = self.sample_strings(prompts, group_size, generator)
        base = self.logits.shape[-1] ** torch.arange(self.max_length - 1, -1, -1, device=drawn.device)
        codes = (self._buffer() * base).sum(-1)
        return torch.searchsorted(codes, (drawn * base).sum(-1))


def _log_softmax(logits: Tensor) -> Tensor:
    # Not torch.log_softmax: its backward pass has no batching rule, and would loop over thousands of estimates.
    below_top = logits - logits.amax(-1, keepdim=True).detach()  # large offsets would cost digits
    return below_top - below_top.logsumexp(-1, keepdim=True)


def real_tokens(strings: Int[Tensor, "*batch T"]) -> Tensor:
    """Which tokens belong to their string: all up to and with the first 0. Same shape, boolean.

    It goes by the position of the first end token, never by ``token == padding``: the end token is a token, and often
    the padding, too.
    """
    ends = (strings == 0).long()
    return ends.cumsum(-1) - ends == 0


def count_strings(vocab_size: int, max_length: int) -> int:
    """How many strings there are: those that end, of 1 to T tokens, and those cut at T. Implements ``eq-count``."""
    words = vocab_size - 1
    return sum(words**length for length in range(max_length)) + words**max_length


def _list_strings(vocab_size: int, max_length: int) -> Tensor:
    """Every string in the order of its digits, so that a string's number can be looked up."""
    running = torch.zeros(1, 0, dtype=torch.long)
    for _ in range(max_length):
        ended = (running == 0).any(1)
        open_ones = running[~ended]
        grown = torch.cat(
            [open_ones.repeat_interleave(vocab_size, 0), torch.arange(vocab_size).repeat(len(open_ones))[:, None]], 1
        )
        done = torch.nn.functional.pad(running[ended], (0, 1))
        running = torch.cat([done, grown])
    base = vocab_size ** torch.arange(max_length - 1, -1, -1)
    return running[(running * base).sum(-1).argsort()]


def check_pairs(prompts: object, actions: object, sizes: tuple[int, ...], table: Tensor) -> tuple[Tensor, Tensor]:
    """Require prompts ``[B]`` and actions ``[B, G]`` that index a table ``[O, A]`` on its device."""
    p = checks.indices("prompts", prompts, sizes[0], "prompts")
    a = checks.indices("actions", actions, sizes[1], "answers")
    checks.ndim("prompts", p, 1, "[B]")
    checks.ndim("actions", a, 2, "[B, G]")
    if a.shape[0] != p.shape[0]:
        raise ValueError(f"actions must have one row a prompt: got {checks.shape_of(a)} for {p.shape[0]} prompts")
    checks.same_device("prompts", p, "the table", table)
    checks.same_device("actions", a, "the table", table)
    return p, a


def draw(
    probs: Float[Tensor, "O A"], prompts: Int[Tensor, "B"], group_size: int, generator: torch.Generator
) -> Int[Tensor, "B G"]:
    """Draw ``group_size`` independent column indices from each prompted row of a table of probabilities."""
    p = checks.indices("prompts", prompts, probs.shape[0], "prompts")
    checks.ndim("prompts", p, 1, "[B]")
    checks.same_device("prompts", p, "the table", probs)
    checks.positive_int("group_size", group_size)
    checks.generator(generator, probs.device)
    cumulative = probs.double().cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]
    u = torch.rand(len(p), group_size, dtype=torch.float64, device=probs.device, generator=generator)
    # Inverse of the distribution function: the first column whose cumulative probability exceeds u, by bisection
    # within each row. torch.multinomial would copy a row of A probabilities for every prompt.
    answers = probs.shape[1]
    column = torch.zeros_like(u, dtype=torch.long)
    for power in reversed(range(answers.bit_length())):
        ahead = column + 2**power
        below = cumulative[p[:, None], (ahead - 1).clamp_max(answers - 1)] <= u
        column = torch.where(below, ahead, column)
    return column
