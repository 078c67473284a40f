"""Checks of the exercises of chapter 09."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from ostrl.exercises import compare

CLASS = (0.3, 0.5, 0.05, 0.05, 0.05, 0.05)
"""What the class of 9.1 writes, the right answer first."""


def _majority(students: int, lot: Callable[[Sequence[int], Sequence[int]], float]) -> float:
    """How often the right answer wins; ``lot(answers, leaders)`` decides where no answer is alone in front."""
    total = 0.0
    for answers in itertools.product(range(len(CLASS)), repeat=students):
        votes = [answers.count(a) for a in range(len(CLASS))]
        leaders = [a for a, count in enumerate(votes) if count == max(votes)]
        won = float(leaders == [0]) if len(leaders) == 1 else lot(answers, leaders)
        total += math.prod(CLASS[a] for a in answers) * won
    return total


def _ask_three(answer: object) -> str | None:
    return compare.value(
        answer,
        _majority(3, lambda _, leaders: (0 in leaders) / len(leaders)),
        {
            "if all three differ, one of them is chosen by lot, and it may be the right one.": _majority(
                3, lambda *_: 0.0
            ),
            "if all three differ, the right one wins the lot only one time in three.": _majority(
                3, lambda _, leaders: float(0 in leaders)
            ),
            "that is the probability that at least one of three is right, pass@3.": 1 - 0.7**3,
            "that is the probability that the majority decides for 75.": sum(
                math.comb(3, i) * 0.5**i * 0.5 ** (3 - i) for i in (2, 3)
            ),
            "that is one student. Three can outvote each other.": 0.3,
            "if two say the same wrong thing, there is no lot: they are the majority.": (
                0.3**3 + 3 * 0.3**2 * 0.7 + 0.3 * 0.7**2
            ),
        },
        tol=2e-3,
    )


@cache
def _tempered_class() -> list[tuple[Tensor, int]]:
    """The patterns of the class's probabilities on the held-out prompts, and how often each occurs."""
    from ostrl.lm import homework, students

    seen: dict[tuple[float, ...], int] = {}
    for prompt in homework.prompts("held_out"):
        pattern = tuple(share for share in students.distribution(prompt).values() if share > 0)
        seen[pattern] = seen.get(pattern, 0) + 1
    return [(torch.tensor(pattern, dtype=torch.float64).log(), count) for pattern, count in seen.items()]


def _best_temperature(answer: object) -> str | None:
    got = compare.as_tensor(answer)
    if isinstance(got, str):
        return got
    if got.numel() != 1:
        return f"expected a single number, a temperature, got {got.numel()} of them."
    T = float(got)
    if T < 0:
        return "a temperature is not negative."
    if T == 0:
        return "at 0 only the most likely answer is left, and on more than a third of the prompts it is wrong."
    patterns = _tempered_class()

    def accuracy(temperature: float) -> float:
        right = sum(count * float(torch.softmax(z / temperature, 0)[0]) for z, count in patterns)
        return right / sum(count for _, count in patterns)

    best = max((0.2 + 0.005 * i for i in range(61)), key=accuracy)
    if abs(T - best) <= 0.0151:
        return None
    if abs(1 / T - best) <= 0.0151:
        return "that is 1/T, the exponent."
    at = f"at T = {T:.3g} the class is right with {accuracy(T):.4f}" if T > 1e-3 else "that is nearly T = 0"
    return f"{at}; there is a better temperature, {'above' if best > T else 'below'} yours."


_COUNTS = [(0, 4, 2), (1, 4, 2), (3, 4, 2), (4, 4, 4), (5, 16, 3), (16, 16, 8), (2, 10, 3), (7, 9, 1)]


def _every_time(answer: object) -> str | None:
    return compare.function(
        answer,
        lambda c, n, k: math.comb(c, k) / math.comb(n, k),
        _COUNTS,
        {
            "the plug-in (c/n)^k is too high: the same answer may be chosen twice.": lambda c, n, k: (c / n) ** k,
            "that is pass@k, at least one right; asked is all of them.": (
                lambda c, n, k: 1 - math.comb(n - c, k) / math.comb(n, k)
            ),
            "that is the plug-in for pass@k, at least one right.": lambda c, n, k: 1 - (1 - c / n) ** k,
            "that is the probability that all k are wrong.": lambda c, n, k: math.comb(n - c, k) / math.comb(n, k),
            "that is the complement: not all of them right.": lambda c, n, k: 1 - math.comb(c, k) / math.comb(n, k),
            "choose k out of the c right ones, in proportion to the choices of k out of n.": (
                lambda c, n, k: float(c >= k)
            ),
        },
    )


def _best_of_k(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        ([0.2, 0.9, 0.4], 2),
        ([1.0, 0.0, 0.0, 1.0, 0.0], 3),
        ([-3.0, -1.0, -2.0, -2.0], 2),
        ([0.5, 0.5, 0.1, -1.0, 2.0, 0.7], 4),
        ([3.0, 1.0, 2.0], 1),
        ([3.0, 1.0, 2.0], 3),
    ]

    def exact(returns: list[float], k: int) -> float:
        return _mean([max(chosen) for chosen in itertools.combinations(returns, k)])

    def replaced(returns: list[float], k: int) -> float:
        return _mean([max(chosen) for chosen in itertools.product(returns, repeat=k)])

    return compare.function(
        answer,
        exact,
        inputs,
        {
            "that draws the k answers with replacement: the same answer twice is one try.": replaced,
            "that is the best of all n.": lambda returns, k: max(returns),
            "that is the best of the first k: unbiased, but it throws the other answers away.": (
                lambda returns, k: max(returns[:k])
            ),
            "that is the mean of one answer.": lambda returns, k: _mean(returns),
            "that is the mean of the k best ones.": lambda returns, k: _mean(sorted(returns)[-k:]),
            "that is the mean of the worst of k.": lambda returns, k: _mean(
                [min(chosen) for chosen in itertools.combinations(returns, k)]
            ),
            "sort the returns in rising order first: the i-th is the best of those before it.": lambda returns, k: (
                sum(r * math.comb(i, k - 1) for i, r in enumerate(returns)) / math.comb(len(returns), k)
            ),
        },
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_RIGHT = [("85", ("85", " 85", "85 ", "   00085  ", "0" * 5000 + "85")), ("0", ("0", "000"))]
_JUNK = [
    ("", "85", ("75", "850", "5")),
    ("an empty answer", "85", ("", "  ")),
    ("an empty answer is not 0", "0", ("", "  ")),
    ("a sign", "85", ("+85", "-85")),
    ("a sign", "0", ("-0",)),
    ("an underscore, as int() takes it", "85", ("8_5",)),
    ("a line break", "85", ("85\n", "\n85")),
    ("a tab", "85", ("\t85",)),
    ("a no-break space: strip spaces only", "85", ("85\u00a0",)),
    ("full-width digits", "85", ("\uff18\uff15",)),
    ("digits of another script", "85", ("\u0668\u0665",)),
    ("a superscript", "2", ("\u00b2",)),
    ("a space inside", "85", ("8 5",)),
    ("a decimal point", "85", ("85.0", "85.")),
    ("an exponent", "85", ("8.5e1",)),
    ("another base", "85", ("0x55", "0b1010101")),
    ("arithmetic: was it evaluated?", "85", ("47+38",)),
    ("code: was it evaluated?", "85", ("len('" + 85 * "x" + "')",)),
    ("two answers at once", "85", ("85 or 75", "75 85")),
    ("words around it", "85", ("The answer is 85",)),
    ("a very long number", "85", ("1" * 5000,)),
]
"""What is the matter, the right number, answers."""


def _forgiving(answer: object) -> str | None:
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    cases = [(right, text, 1.0, "") for right, texts in _RIGHT for text in texts]
    cases += [(right, text, 0.0, what) for what, right, texts in _JUNK for text in texts]
    for right, text, grade, what in cases:
        shown = repr(text) if len(text) < 100 else f"{text[:12]!r}… ({len(text)} characters)"
        try:
            given = compare.as_tensor(answer(right, text))
        except Exception as error:  # the reader's own code: say what it raised
            return f"your function raised {type(error).__name__} on the answer {shown}: a teacher must stand anything."
        if isinstance(given, str) or given.numel() != 1:
            return f"expected the grade 1.0 or 0.0 for the answer {shown}, got something else."
        if float(given) != grade:
            verdict = "is right" if grade else "is not right"
            reason = f" ({what})" if what else ""
            return f"{shown} {verdict} where the number is {right}{reason}; you gave {float(given):g}."
    return None


def _entropy(probs: Tensor) -> float:
    return float(torch.special.entr(probs).sum())


def _turning_point(answer: object) -> str | None:
    def given_wrong(probs: Tensor, right: int) -> Tensor:
        wrong = torch.cat([probs[:right], probs[right + 1 :]])
        return wrong / wrong.sum()

    def unnormalized(probs: Tensor, right: int) -> float:
        return 1 / (1 + math.exp(_entropy(torch.cat([probs[:right], probs[right + 1 :]]))))

    inputs: list[tuple[object, ...]] = [
        (torch.tensor([0.32, 0.43, 0.07, 0.07, 0.05, 0.06], dtype=torch.float64), 0),
        (torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64), 1),
        (torch.tensor([0.9, 0.1], dtype=torch.float64), 1),
        (torch.tensor([0.125] * 8, dtype=torch.float64), 7),
    ]
    return compare.function(
        answer,
        lambda probs, right: 1 / (1 + math.exp(_entropy(given_wrong(probs, right)))),
        inputs,
        {
            "the wrong answers' probabilities must be divided by their sum before their entropy is taken.": (
                unnormalized
            ),
            "that holds if all wrong answers are equally likely; weigh them by their entropy.": lambda probs, right: (
                1 / len(probs)
            ),
            "e^-H, with the entropy of all answers, is the border at this one policy, not the turning point.": (
                lambda probs, right: math.exp(-_entropy(probs))
            ),
            "that is the share of wrong answers there: 1 minus the answer.": lambda probs, right: (
                1 - 1 / (1 + math.exp(_entropy(given_wrong(probs, right))))
            ),
            "that is the success rate now; the entropy is largest elsewhere along the flow.": lambda probs, right: (
                probs[right]
            ),
            "the entropy is in nats: e, not 2, to its power.": lambda probs, right: (
                1 / (1 + 2 ** _entropy(given_wrong(probs, right)))
            ),
        },
    )


def _first_lead(before: Tensor, after: Tensor, least: int = 1, limit: int = 5000) -> float:
    k = torch.arange(least, limit + 1, dtype=torch.float64)[:, None]
    ahead = ((1 - after) ** k).sum(1) > (1 + 1e-9) * ((1 - before) ** k).sum(1)  # both sums become very small
    return float(k[ahead][0]) if bool(ahead.any()) else math.inf


def _crossing(answer: object) -> str | None:
    def rates(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    inputs: list[tuple[object, ...]] = [
        (rates(0.32, 0.54, 0.7, 0.24), rates(0.99, 0.99, 0.99, 0.0)),
        (rates(0.5, 0.5), rates(0.9, 0.05)),
        (rates(0.3, 0.3), rates(0.6, 0.6)),
        (rates(0.3, 0.6), rates(0.6, 0.3)),
        (rates(0.9, 0.2), rates(0.5, 0.5)),
        (rates(0.02, 0.5), rates(0.98, 0.01)),
        (rates(0.0, 0.4), rates(0.0, 1.0)),
        (rates(0.3, 0.3), rates(0.9, 0.295)),
        (rates(0.5, 0.5), rates(0.9, 0.498)),
    ]

    def on_average(before: Tensor, after: Tensor) -> float:
        return _first_lead(before.mean()[None], after.mean()[None])

    def bound(before: Tensor, after: Tensor) -> float:
        share = float((after < before).double().mean())
        m, eps = float(before.min()), float(after.min())
        return math.ceil(math.log(share) / math.log((1 - m) / (1 - eps))) if share and eps < m else math.inf

    return compare.function(
        _finite(answer),
        lambda before, after: min(_first_lead(before, after), 1e9),
        inputs,
        {
            "that is pass@k of the mean success rate; asked is the mean over the prompts of pass@k.": (
                lambda before, after: min(on_average(before, after), 1e9)
            ),
            "that is the bound of the proposition: the first crossing may come much earlier.": (
                lambda before, after: min(bound(before, after), 1e9)
            ),
            "k begins at 1.": lambda before, after: min(_first_lead(before, after, least=2), 1e9),
            "that is one more than the smallest k.": lambda before, after: min(_first_lead(before, after) + 1, 1e9),
            "that is one less than the smallest k.": lambda before, after: min(_first_lead(before, after) - 1, 1e9),
            "the roles are exchanged: asked is where the first policy is ahead.": (
                lambda before, after: min(_first_lead(after, before), 1e9)
            ),
        },
    )


def _finite(answer: object) -> object:
    """The reader's function with infinity (or None, for "none") as a large number."""
    if not callable(answer):
        return answer
    given: Callable[[Tensor, Tensor], object] = answer

    def large(before: Tensor, after: Tensor) -> object:
        k = given(before, after)
        return 1e9 if k is None or (isinstance(k, int | float) and k == math.inf) else k

    return large


CHECKS: dict[str, Callable[[object], str | None]] = {
    "9.1": _ask_three,
    "9.2": _best_temperature,
    "9.3": _every_time,
    "9.4": _best_of_k,
    "9.5": _forgiving,
    "9.6": _turning_point,
    "9.7": _crossing,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
