"""A task with a finite table: prompts and how often users ask them, grades, and what demonstrators write."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ostrl import checks
from ostrl.policies import TablePolicy, check_pairs, draw


class TableTask:
    """O prompts, A answers, and a teacher whose grade of each answer is known.

    Args:
        rewards: ``r(a, o)``, ``[O, A]``, floating point (float64 for exact answers), any finite numbers.
        prompt_probs: ``P(o)``, ``[O]``, how often users ask each prompt; ``None`` means equally often.
        demonstrations: ``[O, A]``, the distribution of the demonstrators' answers, each row summing to 1; needed
            only by methods that learn from demonstrators.

    Raises:
        TypeError: for integer rewards or another wrong kind of argument, or mixed dtypes.
        ValueError: for an empty table, wrong shapes, NaN or infinite entries, rewards that require grad,
            probabilities that are negative or do not sum to 1, or mixed devices.
    """

    def __init__(
        self,
        rewards: Float[Tensor, "O A"],
        prompt_probs: Float[Tensor, "O"] | None = None,
        demonstrations: Float[Tensor, "O A"] | None = None,
    ) -> None:
        checks.ndim("rewards", checks.floating("rewards", rewards), 2, "[O, A] (prompts, answers)")
        self.rewards = checks.finite("rewards", checks.no_graph("rewards", rewards)).clone()
        num_prompts, num_answers = rewards.shape
        if prompt_probs is None:
            prompt_probs = torch.full_like(rewards[:, 0], 1 / num_prompts)
        checks.probabilities("prompt_probs", prompt_probs, (num_prompts,), "[O] =")
        checks.like("prompt_probs", prompt_probs, "rewards", rewards)
        self.prompt_probs = prompt_probs.clone()
        self._demonstrations: Tensor | None = None
        if demonstrations is not None:
            checks.probabilities("demonstrations", demonstrations, (num_prompts, num_answers), "[O, A] =")
            checks.like("demonstrations", demonstrations, "rewards", rewards)
            self._demonstrations = demonstrations.clone()

    @property
    def demonstrations(self) -> Float[Tensor, "O A"]:
        """What the demonstrators write; a ``ValueError`` where nobody demonstrates."""
        if self._demonstrations is None:
            raise ValueError(
                "this task has no demonstrators: pass demonstrations=Float[Tensor, 'O A'] "
                "(each row a distribution over answers) to TableTask"
            )
        return self._demonstrations

    def check_policy(self, policy: TablePolicy) -> None:
        """Require a policy over the same prompts and answers, on the same device and in the same dtype.

        Raises:
            TypeError: if it is not a policy over a table, or has another dtype.
            ValueError: if its table has another shape, lives on another device, or holds no distributions.
        """
        checks.instance("policy", policy, TablePolicy)
        with torch.no_grad():
            table = checks.floating("the policy's log_probs()", policy.log_probs()).detach()
        checks.shape("the policy's table", table, tuple(self.rewards.shape), "that of the task's rewards,")
        checks.like("the policy's table", table, "the task's rewards", self.rewards)
        error = float((table.double().exp().sum(-1) - 1).abs().max())
        if not error <= 1e3 * torch.finfo(table.dtype).eps:  # NaN fails too
            raise ValueError(
                "the policy's log_probs() must be log-probabilities: the probabilities of each prompt must sum to 1, "
                f"got a sum that is off by {error:.3g}"
            )

    def sample_prompts(self, batch_size: int, generator: torch.Generator) -> Int[Tensor, "B"]:
        """Draw ``batch_size`` prompts from P(o), as users supply them."""
        checks.positive_int("batch_size", batch_size)
        checks.generator(generator, self.prompt_probs.device)
        one_row = torch.zeros(1, dtype=torch.long, device=self.prompt_probs.device)
        return draw(self.prompt_probs[None], one_row, batch_size, generator)[0]

    def reward(self, prompts: Int[Tensor, "B"], actions: Int[Tensor, "B G"]) -> Float[Tensor, "B G"]:
        """The teacher's grades ``R = r(a, o)``.

        Raises:
            TypeError: if prompts or actions are not integer tensors.
            ValueError: if they are out of range, empty, or their shapes do not fit.
        """
        p, a = check_pairs(prompts, actions, tuple(self.rewards.shape), self.rewards)
        return self.rewards[p[:, None], a]

    def demonstrate(self, prompts: Int[Tensor, "B"], group_size: int, generator: torch.Generator) -> Int[Tensor, "B G"]:
        """Draw ``group_size`` of the demonstrators' answers to each prompt.

        Raises:
            ValueError: if the task has no demonstrators, or as :meth:`ostrl.policies.TablePolicy.sample`.
        """
        return draw(self.demonstrations, prompts, group_size, generator)

    def demonstration_log_prob(self, prompts: Int[Tensor, "B"], actions: Int[Tensor, "B G"]) -> Float[Tensor, "B G"]:
        """Log-probability (nats) of answers under the demonstrators; ``-inf`` for what they never write.

        Raises:
            ValueError: if the task has no demonstrators, or as :meth:`reward`.
        """
        p, a = check_pairs(prompts, actions, tuple(self.rewards.shape), self.rewards)
        return self.demonstrations[p[:, None], a].log()
