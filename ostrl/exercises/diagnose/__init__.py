"""What is wrong with an estimator: a reader's function is compared with the right one, and the cause is named.

Three doors, one for each way to write an estimator. Each takes the reader's function and a right one *with the
same inputs and output*, and returns ``None`` or a sentence::

    diagnose.weights(answer, weighting.leave_one_out)                      # rewards [B, G] -> weights [B, G]
    diagnose.weights(answer, weighting.threshold, ("rewards", "tau"))      # a setting that differs from batch to batch
    diagnose.weights(answer, weighting.group_normalized, eps=1e-4)         # a setting that the reader is told
    diagnose.loss(answer, lambda log_prob, rewards: surrogate_loss(log_prob, leave_one_out(rewards), rewards.numel()))
    diagnose.loss(answer, right, ("log_prob", "rewards", "mask"))          # tokens: log_prob is [B, G, T]
    diagnose.estimator(answer, right)                                      # probs [A], actions, rewards -> [A]
    diagnose.estimator(answer, right, ("rewards", "scores"))               # scores [B, G, A]
    diagnose.estimator(answer, right, flat=True)                           # no groups: actions and rewards are [N]

Inputs are named as the fields of ``Case`` in ``cases.py``: ``rewards``, ``log_prob``,
``behavior_log_prob``, ``ref_log_prob``, ``mask``, ``baseline``, ``probs``, ``logits``, ``actions``, ``scores``,
``lengths``, ``tau``, ``k``, ``beta``, ``eps``, ``clip``. A reader's function of one argument called ``batch`` gets a
:class:`~ostrl.batch.Batch`. Whatever is equal to the right one on every batch passes, however it is written; the
search for a cause begins only where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ostrl.exercises.diagnose import calling
from ostrl.exercises.diagnose.calling import Door, Function, Mistake
from ostrl.exercises.diagnose.cases import Case, cases
from ostrl.exercises.diagnose.explain import explain
from ostrl.exercises.diagnose.search import close

Mistakes = Mapping[str, Function]
"""Further wrong functions, with the right one's inputs, by their diagnosis."""


def weights(
    answer: object,
    right: Function | Sequence[Function],
    inputs: Sequence[str] = ("rewards",),
    mistakes: Mistakes | None = None,
    *,
    flat: bool = False,
    **settings: Any,
) -> str | None:
    """Compare a function that gives a weight to every answer.

    Args:
        answer: the reader's.
        right: a right one, or several that are all right; the first is what is asked for.
        inputs: what they get, in this order.
        mistakes: wrong functions that are typical of this exercise, by what to say; they are tried first.
        flat: whether there are no groups: returns ``[N]`` in, weights ``[N]`` out.
        settings: values of ``tau``, ``k``, ``beta``, ``eps`` or ``clip`` that are the same in every batch.
    """

    def run(function: Function, case: Case) -> Tensor:
        out = calling.as_tensor(calling.call(function, case, inputs))
        shape = case.fields["rewards"].shape
        return calling.fitted(out, shape, case, "one weight for each answer").reshape(case.rewards.shape)

    return _compare(Door("weights", inputs, run), answer, right, mistakes, cases(flat=flat, **settings))


def loss(
    answer: object,
    right: Function | Sequence[Function],
    inputs: Sequence[str] = ("log_prob", "rewards"),
    mistakes: Mistakes | None = None,
    *,
    flat: bool = False,
    padding: float | None = None,
    **settings: Any,
) -> str | None:
    """Compare a surrogate loss by its gradient; the loss's value is free, as long as it is finite.

    What counts is ``-d loss / d log_prob``, the coefficient of every ``∇ log π``. With ``mask`` among the inputs,
    log-probabilities are those of tokens, ``[B, G, T]``, and ``padding`` may say which number stands behind the end
    of an answer, for example NaN. Other arguments as for :func:`weights`.
    """

    def run(function: Function, case: Case) -> Tensor:
        slope = calling.minus_slope(function, case, inputs)
        slope = calling.fitted(slope, slope.shape, case, "the loss's gradient")
        return slope[None] if flat else slope

    batches = cases(tokens="mask" in inputs, flat=flat, padding=padding, **settings)
    verdict = _compare(Door("loss", inputs, run), answer, right, mistakes, batches)
    if verdict is None and callable(answer) and calling.trains_baseline(answer, batches[0], inputs):
        return "right, but a gradient flows into the baseline, too: is it detached?"
    return verdict


def estimator(
    answer: object,
    right: Function | Sequence[Function],
    inputs: Sequence[str] = ("probs", "actions", "rewards"),
    mistakes: Mistakes | None = None,
    *,
    flat: bool = False,
    **settings: Any,
) -> str | None:
    """Compare a gradient estimate ``[A]`` for a softmax policy over A answers, with respect to its logits.

    Every group answers the same prompt. Arguments as for :func:`weights`.
    """

    def run(function: Function, case: Case) -> Tensor:
        out = calling.as_tensor(calling.call(function, case, inputs))
        return calling.fitted(out, case.fields["probs"].shape, case, "one number for each possible answer")

    return _compare(Door("estimator", inputs, run), answer, right, mistakes, cases(flat=flat, **settings))


def _compare(
    door: Door,
    answer: object,
    right: Function | Sequence[Function],
    mistakes: Mistakes | None,
    batches: Sequence[Case],
) -> str | None:
    if not callable(answer):
        return f"expected a function of ({', '.join(door.inputs)}), got {type(answer).__name__}."
    rights = [right] if callable(right) else list(right)
    wants = [[door.run(function, case) for case in batches] for function in rights]
    try:
        gots, broken = _outputs(door, answer, batches)
        if not gots or any(mistake.kind == "" for mistake in broken):
            raise broken[0]
        if any(all(close(got, want[i], batches[i]) for i, got in gots.items()) for want in wants):
            if broken:
                raise broken[0]
            return None
    except Mistake as mistake:
        return str(mistake)
    for diagnosis, function in (mistakes or {}).items():
        if all(close(got, door.run(function, batches[i]), batches[i]) for i, got in gots.items()):
            return diagnosis
    triples = [[(batches[i], got, want[i]) for i, got in gots.items()] for want in wants]
    diagnosis = explain(door, answer, rights, triples)
    return f"{diagnosis} Besides, {broken[0]}" if broken else diagnosis


def _outputs(door: Door, answer: Function, batches: Sequence[Case]) -> tuple[dict[int, Tensor], list[Mistake]]:
    """What the reader's function gives by the number of the batch, and what went wrong on the others.

    It is asked twice, the second time in another order.
    """
    gots: dict[int, Tensor] = {}
    broken = []
    for i, case in enumerate(batches):
        try:
            gots[i] = door.run(answer, case)
        except Mistake as mistake:
            broken.append(mistake)
    for i in reversed(gots):
        if not torch.allclose(door.run(answer, batches[i]), gots[i], rtol=1e-9, atol=1e-12):
            raise Mistake(
                "the same batch gives another result the second time: "
                "is something random, or kept from one call to the next?"
            )
    return gots, broken
