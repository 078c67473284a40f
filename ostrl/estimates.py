"""From a pile of batches to their gradient estimates, many at a time."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.batch import Batch
from ostrl.methods import Method
from ostrl.policies import TablePolicy
from ostrl.surrogate import divide


def coefficients(method: Method, pile: Batch, num_prompts: int) -> Float[Tensor, "N B G"]:
    """``w / Z`` for every label, when ``pile`` is cut into N independent batches of ``num_prompts`` prompts.

    The method's functions see one ordinary batch ``[B, G]`` at a time: :func:`torch.vmap` runs them over all N
    at once, and where a function branches on values, which vmap cannot follow, they are run one by one.

    Raises:
        ValueError: if the weights have another shape than the rewards, or are not finite.
    """
    fields = {f.name: getattr(pile, f.name) for f in dataclasses.fields(pile)}
    stacked = {
        name: value.contiguous().unflatten(0, (-1, num_prompts)) for name, value in fields.items() if value is not None
    }

    def one(tensors: dict[str, Tensor]) -> Tensor:
        batch = Batch(**tensors)
        weights = checks.floating(f"the weights of {method.name!r}", method.weigh(batch))
        checks.shape(f"the weights of {method.name!r}", weights, tuple(batch.rewards.shape), "[B, G] =")
        return divide(weights, method.normalize(batch, weights))

    try:
        result = torch.vmap(one)(stacked)
    except RuntimeError:
        count = pile.rewards.shape[0] // num_prompts
        result = torch.stack([one({name: value[i] for name, value in stacked.items()}) for i in range(count)])
    return checks.finite(f"the weights of {method.name!r} over its normalizer", result)


@torch.enable_grad()
def gradient_estimates(method: Method, policy: TablePolicy, pile: Batch, num_prompts: int) -> Float[Tensor, "N P"]:
    """The N estimates ``(1/Z) Σ w ∇ log π`` from a pile cut as in :func:`coefficients`.

    Coefficients of equal labels are added up first, so one backward pass through the table of log-probabilities
    serves every estimate. Columns are in the order of ``torch.nn.utils.parameters_to_vector``.
    """
    coefficient = coefficients(method, pile, num_prompts).flatten(1)
    table = policy.log_probs()
    if not isinstance(pile.prompts, Tensor):
        raise TypeError("prompts must be indices of a table's rows, got a list of strings")
    cells = (pile.prompts[:, None] * table.shape[1] + pile.actions).view(coefficient.shape)
    per_cell = coefficient.new_zeros(len(coefficient), table.numel()).scatter_add_(1, cells, coefficient)
    return pull_back(policy, table, per_cell.view(-1, *table.shape))


def pull_back(policy: TablePolicy, table: Tensor, cotangents: Float[Tensor, "N O A"]) -> Float[Tensor, "N P"]:
    """``Σ_{o,a} c[n, o, a] ∇ table[o, a]`` for every n, by reverse-mode differentiation of the table."""
    parameters = list(policy.parameters())
    parts = torch.autograd.grad(table, parameters, cotangents, is_grads_batched=True, allow_unused=True)
    count = len(cotangents)
    return torch.cat(
        [
            cotangents.new_zeros(count, parameter.numel()) if part is None else part.reshape(count, -1)
            for parameter, part in zip(parameters, parts, strict=True)
        ],
        dim=1,
    )
