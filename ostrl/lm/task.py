"""Tasks in words: prompts, a function that grades answers, and perhaps demonstrators who write some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ostrl import checks


class TextTask:
    """Prompts as strings, a teacher who grades strings, demonstrators who write strings.

    The twin of :class:`~ostrl.tasks.TableTask` for language models: it knows nothing of tokens. The policy turns its
    answers into text for the teacher, and the demonstrators' text into tokens for itself.

    Args:
        prompts: the prompts that users ask, each equally often.
        grade: the teacher: ``grade(prompt, answer)`` is the return, a finite number.
        demonstrations: what the demonstrators write: ``demonstrations(prompt)`` maps each of their answers to its
            probability. Needed only by methods that learn from demonstrators.

    Attributes:
        prompts: all prompts, a list.

    Raises:
        TypeError: for prompts that are not strings, or a teacher or demonstrators that cannot be called.
        ValueError: for no prompts.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        grade: Callable[[str, str], float],
        demonstrations: Callable[[str], Mapping[str, float]] | None = None,
    ) -> None:
        listed = isinstance(prompts, Sequence) and not isinstance(prompts, str)
        if not listed or not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError(f"prompts must be a list of strings, got {prompts!r:.80}")
        self.prompts = list(prompts)
        if not self.prompts:
            raise ValueError("prompts must hold at least one prompt, got none")
        for name, function in {"grade": grade, "demonstrations": demonstrations}.items():
            if not callable(function) and not (name == "demonstrations" and function is None):
                raise TypeError(f"{name} must be a function, got {type(function).__name__}")
        self.grade = grade
        self._demonstrations = demonstrations

    def check_policy(self, policy: object) -> None:
        """Require a policy that writes and reads text, such as a language model.

        Raises:
            TypeError: for another one, for example a table of answers.
        """
        if not all(callable(getattr(policy, name, None)) for name in ("sample", "log_prob", "decode", "encode")):
            raise TypeError(
                "policy must write text, as an ostrl.lm.LanguageModelPolicy does (sample, log_prob, decode, encode), "
                f"got {type(policy).__name__}"
            )

    def sample_prompts(self, batch_size: int, generator: torch.Generator) -> list[str]:
        """Draw ``batch_size`` prompts with replacement."""
        checks.positive_int("batch_size", batch_size)
        checks.instance("generator", generator, torch.Generator)
        chosen = torch.randint(len(self.prompts), (batch_size,), generator=generator, device=generator.device)
        return [self.prompts[index] for index in chosen.tolist()]

    def reward(self, prompts: list[str], answers: list[list[str]]) -> Float[Tensor, "B G"]:
        """The teacher's grades of G answers to each prompt, on the CPU in float32.

        Raises:
            TypeError: if the teacher gives something other than a number.
            ValueError: for a grade that is NaN or infinite, or answers that are not one group of G to each prompt.
        """
        sizes = [len(group) for group in answers]
        if len(sizes) != len(prompts) or len(set(sizes)) != 1:
            raise ValueError(f"answers must be one group of G to each of {len(prompts)} prompts, got groups of {sizes}")
        grades = [
            [checks.number("what grade returns", self.grade(prompt, answer)) for answer in group]
            for prompt, group in zip(prompts, answers, strict=True)
        ]
        return torch.tensor(grades, dtype=torch.float32)

    def demonstrations(self, prompt: str) -> dict[str, float]:
        """What the demonstrators write for a prompt, with probabilities.

        Raises:
            TypeError: for anything but a mapping from strings.
            ValueError: where nobody demonstrates, or for probabilities that are negative or do not sum to 1.
        """
        if self._demonstrations is None:
            raise ValueError("this task has no demonstrators: pass demonstrations=..., a function of the prompt")
        written = self._demonstrations(prompt)
        if not isinstance(written, Mapping) or not all(isinstance(answer, str) for answer in written):
            raise TypeError(f"demonstrations({prompt!r}) must map strings to probabilities, got {written!r:.200}")
        chances = [checks.number(f"a probability of demonstrations({prompt!r})", p) for p in written.values()]
        if not chances or min(chances) < 0 or abs(sum(chances) - 1) > 1e-6:
            raise ValueError(
                f"demonstrations({prompt!r}) must map answers to probabilities that sum to 1, got {written!r:.200}"
            )
        return dict(zip(written, chances, strict=True))

    def demonstrate(self, prompts: list[str], group_size: int, generator: torch.Generator) -> list[list[str]]:
        """Draw ``group_size`` independent answers of the demonstrators to each prompt.

        Raises:
            TypeError: for a missing generator.
            ValueError: as :meth:`demonstrations`, or for a group size below 1.
        """
        checks.positive_int("group_size", group_size)
        checks.instance("generator", generator, torch.Generator)
        drawn = []
        for prompt in prompts:
            written = self.demonstrations(prompt)
            chances = torch.tensor(list(written.values()), dtype=torch.float64, device=generator.device)
            picks = torch.multinomial(chances, group_size, replacement=True, generator=generator)
            drawn.append([list(written)[pick] for pick in picks.tolist()])
        return drawn

    def demonstration_log_prob(self, prompts: list[str], actions: Int[Tensor, "B G T"]) -> Float[Tensor, "B G T"]:
        """NaN for every token: with which probability a person would have written it is not known."""
        return torch.full(actions.shape, torch.nan, device=actions.device)
