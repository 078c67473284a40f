"""Small language models as policies: any causal language model of Hugging Face, and the one that ships.

>>> from ostrl import lm
>>> policy = lm.load()  # the class's homework model
"""

try:
    import transformers  # noqa: F401
except ImportError as error:
    raise ImportError('language models need transformers; install it with pip install "ostrl[lm]"') from error

from ostrl.lm.checkpoint import load, save, shipped
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask

__all__ = ["LanguageModelPolicy", "TextTask", "load", "save", "shipped"]
