"""Live figures: in a notebook with a kernel, and on the pages of the built book without one.

Each is a widget whose values move both ways: drag the policy, and ``figure.probs`` follows; set ``figure.probs``, and
the picture follows. On the page the same module runs by itself. They need the extra ``notebooks``, so ``import ostrl``
leaves them out: write ``from ostrl import live``.
"""

from ostrl.live.figure import LiveFigure
from ostrl.live.monte_carlo import MonteCarlo
from ostrl.live.objective import Objective
from ostrl.live.omega import Omega
from ostrl.live.samples import Samples
from ostrl.live.three_answers import ThreeAnswers

__all__ = ["LiveFigure", "MonteCarlo", "Objective", "Omega", "Samples", "ThreeAnswers"]
