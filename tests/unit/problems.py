"""Random problems for tests: several prompts, P(o) that is not uniform, rewards of every kind."""

import numpy as np
import torch

import ostrl

REWARD_KINDS = ["binary", "graded", "negative", "tied", "large"]


def problem(kind, num_prompts, num_answers, seed):
    """Policy, task, and the same numbers as NumPy arrays."""
    rng = np.random.default_rng(seed)
    shape = (num_prompts, num_answers)
    rewards = {
        "binary": lambda: rng.integers(0, 2, shape).astype(float),
        "graded": lambda: rng.uniform(0, 2, shape),
        "negative": lambda: rng.normal(size=shape) - 2,
        "tied": lambda: np.full(shape, 1.0) + (rng.random(shape) < 0.3),
        "large": lambda: 1e4 + 100 * rng.normal(size=shape),
    }[kind]()
    logits = rng.normal(size=shape)
    prompt_probs = rng.dirichlet(np.ones(num_prompts))
    demonstrations = rng.dirichlet(np.ones(num_answers), size=num_prompts)
    policy = ostrl.CategoricalPolicy(torch.from_numpy(logits))
    task = ostrl.TableTask(*(torch.from_numpy(x) for x in (rewards, prompt_probs, demonstrations)))
    return policy, task, (logits, rewards, prompt_probs, demonstrations)
