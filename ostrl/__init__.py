"""One-step reinforcement learning and policy gradients, with every estimator checked against its enumerated truth.

Every method is one line, ``gradient = (1/Z) Σ w ∇ log π``, and three answers: who writes the labels
(:mod:`ostrl.labeling`), how each is weighted (:mod:`ostrl.weighting`), what is divided by
(:mod:`ostrl.surrogate`).
"""

from ostrl import diagnostics, exact, labeling, methods, surrogate, weighting
from ostrl.batch import DEMONSTRATOR, OLD, SELF, Batch
from ostrl.custom import own
from ostrl.labeling import Labeler
from ostrl.methods import METHODS, Method
from ostrl.policies import CategoricalPolicy, LinearPolicy, StringPolicy, TablePolicy
from ostrl.surrogate import surrogate_loss
from ostrl.tasks import TableTask
from ostrl.training import Record, grow_improve, train_steps

__version__ = "0.1.0"

__all__ = [
    "DEMONSTRATOR",
    "METHODS",
    "OLD",
    "SELF",
    "Batch",
    "CategoricalPolicy",
    "Labeler",
    "LinearPolicy",
    "Method",
    "Record",
    "StringPolicy",
    "TablePolicy",
    "TableTask",
    "diagnostics",
    "exact",
    "grow_improve",
    "labeling",
    "methods",
    "own",
    "surrogate",
    "surrogate_loss",
    "train_steps",
    "weighting",
]
