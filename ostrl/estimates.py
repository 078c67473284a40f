"""From a pile of batches to their gradient estimates, many at a time."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.batch import Batch
from ostrl.methods import Method
from ostrl.policies import TablePolicy
from ostrl.surrogate import divide, valid

_MANY = 20_000


def coefficients(method: Method, pile: Batch, num_prompts: int) -> Float[Tensor, "N B G"]:
    """``w / Z`` for every label, when ``pile`` is cut into N independent batches of ``num_prompts`` prompts.

    The method's functions see one ordinary batch ``[B, G]`` at a time: :func:`torch.vmap` runs them over all N
    at once, and where a function branches on values, which vmap cannot follow, they are run one by one.

    Raises:
        TypeError: if the weights have another dtype than the rewards.
        ValueError: if the weights have another shape than the rewards or are not finite, Z is not positive, or the
            functions are not pure: they give something else the second time, or change the batch in place.
    """
    count = pile.rewards.shape[0] // num_prompts
    fields = {f.name: getattr(pile, f.name) for f in dataclasses.fields(pile)}
    stacked = {
        name: value.contiguous().unflatten(0, (-1, num_prompts)) for name, value in fields.items() if value is not None
    }

    def one(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        batch = Batch(**tensors)
        weights = method.weights(batch)
        normalizer = method.normalize(batch, weights)
        return divide(weights, normalizer), valid(normalizer).all()

    def alone(i: int) -> tuple[Tensor, Tensor]:
        return one({name: value[i] for name, value in stacked.items()})

    versions = {name: value._version for name, value in stacked.items()}
    first = alone(0)  # by itself, so that what is wrong with a method is said in plain words; and once more below
    try:
        result, allowed = torch.vmap(one)(stacked)
    except Exception as error:  # something that vmap cannot follow; a real error comes again below
        if count > _MANY:
            warnings.warn(
                f"{method.name!r} runs on {count:,} batches one by one, which is slow: it does something that "
                f"torch.vmap cannot follow ({str(error).splitlines()[0][:120]})",
                stacklevel=2,
            )
        results = [alone(i) for i in range(count)]
        result, allowed = torch.stack([r[0] for r in results]), torch.stack([r[1] for r in results])
    if any(value._version != versions[name] for name, value in stacked.items()):
        raise ValueError(f"{method.name!r} changes its batch in place; it must leave it as it is")
    near: Any = {"rtol": 1e-4, "atol": 1e-6 * float(first[0].abs().max()), "equal_nan": True}
    if not torch.allclose(first[0], result[0], **near):
        raise ValueError(
            f"{method.name!r} gives other weights for the same batch the second time: it must be a pure function, "
            "without randomness and without memory"
        )
    if not bool(allowed.all()):
        raise ValueError(
            f"the normalizer of {method.name!r} must be positive and finite, "
            f"got another in {int((~allowed).sum())} of {count} batches"
        )
    return checks.finite(f"the weights of {method.name!r} over its normalizer", result)


def stack(batches: Sequence[Batch]) -> Batch:
    """One batch of all the prompts of several, one after another."""
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Batch):
        values = [getattr(batch, field.name) for batch in batches]
        joined[field.name] = None if values[0] is None else torch.cat(values)
    return Batch(**joined)


@torch.enable_grad()
def gradient_estimates(method: Method, policy: TablePolicy, pile: Batch, num_prompts: int) -> Float[Tensor, "N P"]:
    """The N estimates ``(1/Z) Σ w ∇ log π`` from a pile cut as in :func:`coefficients`.

    Implements ``eq-weighted-scores``; with the weights of REINFORCE it is ``eq-reinforce``.

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
    checks.differentiable()
    parameters = list(policy.parameters())
    trained = [p for p in parameters if p.requires_grad]
    if not trained or not table.requires_grad:
        raise ValueError("policy must have a parameter that requires grad and that log_probs() depends on")
    parts = iter(torch.autograd.grad(table, trained, cotangents, is_grads_batched=True, allow_unused=True))
    count, columns = len(cotangents), []
    for p in parameters:
        part = next(parts) if p.requires_grad else None
        if part is None:  # a frozen or unused parameter has slope zero
            part = cotangents.new_zeros(count, p.numel())
        columns.append(part.reshape(count, -1).to(table.dtype))
    return torch.cat(columns, dim=1)
