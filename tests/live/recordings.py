"""Recordings of answers that nobody gave: for tests of the figure that shows them."""

import random

KINDS, STEPS = ("add", "sort"), (0, 2, 5, 10)


def recording(prompts=4, samples=3, steps=STEPS, seed=0):
    """Answers that nobody gave, all numbers drawn: no two of them can be mixed up unnoticed."""
    draw = random.Random(seed)

    def answer():
        tokens = [draw.choice("0123456789") for _ in range(draw.randint(1, 4))] + ["⏎"]
        reward = draw.choice([0, 1])
        note = {} if reward else {"note": draw.choice(["forgot the carry", "off by ten", "swapped digits"])}
        probs = [float(f"{draw.random() ** 2:.3g}") for _ in tokens]
        return {"tokens": tokens, "probs": probs, "reward": reward} | note

    return {
        "steps": list(steps),
        "accuracy": [round(draw.random(), 3) for _ in steps],
        "method": "rloo",
        "prompts": [
            {
                "prompt": f"{KINDS[i % 2]} {draw.randint(10, 99)} {i}:",
                "kind": KINDS[i % 2],
                "key": str(draw.randint(10, 99)),
                "samples": [[answer() for _ in range(samples)] for _ in steps],
            }
            for i in range(prompts)
        ],
    }


def chosen(data, step, kind="all"):
    """The answers that are to be on show, in order."""
    place = data["steps"].index(step)
    return [a for p in data["prompts"] if kind in ("all", p["kind"]) for a in p["samples"][place]]
