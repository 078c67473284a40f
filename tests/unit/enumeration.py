"""A second, slow enumeration in plain Python and NumPy: nothing of ``ostrl`` is used to compute it.

The policy is a softmax table. Weights and normalizers are written out again, one group at a time, with loops.
"""

import itertools

import numpy as np


def softmax(logits):
    z = np.exp(logits - logits.max(-1, keepdims=True))
    return z / z.sum(-1, keepdims=True)


def score(logits, prompt, action):
    s = np.zeros_like(logits)
    s[prompt] = -softmax(logits)[prompt]
    s[prompt, action] += 1
    return s.ravel()


def mean(xs):
    return sum(xs) / len(xs)


def leave_one_out(rs):
    return [r - mean([q for j, q in enumerate(rs) if j != i]) for i, r in enumerate(rs)]


def z_scores(rs, eps=1e-4):
    m = mean(rs)
    sd = (sum((r - m) ** 2 for r in rs) / (len(rs) - 1)) ** 0.5
    return [(r - m) / (sd + eps) for r in rs]


def best(rs):
    winner = max(range(len(rs)), key=lambda i: (rs[i], -i))
    return [float(i == winner) for i in range(len(rs))]


def shares(rs):
    e = [np.exp(r - max(rs)) for r in rs]
    return [x / sum(e) for x in e]


def kept(rs):
    return [float(r >= 1) for r in rs]


WEIGHTS = {
    "reinforce": lambda rs: list(rs),
    "rloo": leave_one_out,
    "dr_grpo": lambda rs: [r - mean(rs) for r in rs],
    "grpo": z_scores,
    "dapo": z_scores,
    "sft": lambda rs: [1.0 for _ in rs],
    "self_training": lambda rs: [1.0 for _ in rs],
    "rest": kept,
    "rest_per_prompt": kept,
    "raft": best,
    "rwr": shares,
}


def divisors(name, weights):
    """Z of every group, given the weights of every group of the batch."""
    count, size = len(weights), len(weights[0])
    if name == "rest":
        return [max(sum(map(sum, weights)), 1)] * count
    if name == "rest_per_prompt":
        return [count * max(sum(w), 1) for w in weights]
    if name in ("raft", "rwr"):
        return [count] * count
    return [count * size] * count


def slot_distributions(name, logits, demonstrations, group_size):
    own = softmax(logits)
    shown = {"sft": group_size, "self_training": group_size // 2}.get(name, 0)
    return [demonstrations if slot < shown else own for slot in range(group_size)]


def moments(name, logits, rewards, prompt_probs, demonstrations, group_size, num_prompts):
    """Mean and covariance of a method's estimate, by summing over every batch."""
    slots = slot_distributions(name, logits, demonstrations, group_size)
    num_o, num_a = rewards.shape
    groups = []
    for prompt in range(num_o):
        for actions in itertools.product(range(num_a), repeat=group_size):
            prob = prompt_probs[prompt] * np.prod([slots[g][prompt, a] for g, a in enumerate(actions)])
            weights = WEIGHTS[name]([rewards[prompt, a] for a in actions])
            scores = [score(logits, prompt, a) for a in actions]
            groups.append((prob, weights, sum(w * s for w, s in zip(weights, scores, strict=True))))
    probs, estimates = [], []
    for batch in itertools.product(groups, repeat=num_prompts):
        z = divisors(name, [weights for _, weights, _ in batch])
        probs.append(np.prod([prob for prob, _, _ in batch]))
        estimates.append(sum(total / divisor for (_, _, total), divisor in zip(batch, z, strict=True)))
    probs, estimates = np.array(probs), np.array(estimates)
    center = probs @ estimates
    centered = estimates - center
    return center, (probs[:, None] * centered).T @ centered


def value(logits, rewards, prompt_probs):
    return sum(
        prompt_probs[o] * softmax(logits)[o, a] * rewards[o, a]
        for o in range(rewards.shape[0])
        for a in range(rewards.shape[1])
    )


def gradient(logits, rewards, prompt_probs):
    """The derivative of a softmax, written out: P(o) π(a|o) (r(a, o) - J_o)."""
    pi = softmax(logits)
    return (prompt_probs[:, None] * pi * (rewards - (pi * rewards).sum(1, keepdims=True))).ravel()
