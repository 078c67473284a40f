"""The truth, by summing over every prompt, every answer and every batch.

Gradients are flat vectors in the order of ``torch.nn.utils.parameters_to_vector``.
"""

from ostrl.exact.comparison import QUANTITIES, SUCCESS_RATES, Entry, Ledger, Row, ledger
from ostrl.exact.difficulty import omega
from ostrl.exact.enumeration import Moments, moments
from ostrl.exact.problems import Problem, panel
from ostrl.exact.selection import best_of_n, filtered
from ostrl.exact.values import fisher, gradient, optimal_baseline, scores, value

__all__ = [
    "QUANTITIES",
    "SUCCESS_RATES",
    "Entry",
    "Ledger",
    "Moments",
    "Problem",
    "Row",
    "best_of_n",
    "filtered",
    "fisher",
    "gradient",
    "ledger",
    "moments",
    "omega",
    "optimal_baseline",
    "panel",
    "scores",
    "value",
]
