"""Record chapter 9's run for its live figure: answers along training, written to ``ostrl/results/samples.json``.

    python tools/record_samples.py

A minute on one core. The run is that of the chapter: leave-one-out, 64 prompts and 4 answers to each a step.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

import ostrl
from ostrl.lm import homework, students, studies
from ostrl.lm.recording import record
from ostrl.results import provenance

OUT = Path(ostrl.__file__).parent / "results" / "samples.json"
STEPS = [0, 3, 6, 10, 15, 20, 30, 40, 60, 80, 100, 120, 150, 180]
EACH, SAMPLES, SEED = 3, 4, 0


def main() -> None:
    torch.set_num_threads(1)
    held_out = homework.prompts("held_out")
    others = homework.prompts("kinds")
    prompts = ["sort 5515:"]  # the chapter's first example, neither practiced nor homework
    for kind in homework.KINDS:
        prompts += [p for p in (*held_out, *others) if homework.kind(p) == kind][:EACH]

    arm = studies.Arm("rloo")
    budget = studies.Budget(labels=STEPS[-1] * arm.labels)
    recording = None
    for spent, _, policy in studies.train(arm, 7e-4, SEED, budget):
        step = spent // arm.labels
        if step not in STEPS:
            continue
        recording = record(
            policy,
            homework.task("train"),
            prompts,
            SAMPLES,
            torch.Generator(policy.device).manual_seed(SEED),
            step=step,
            accuracy=studies.success_rates(policy, held_out).mean().item(),
            method="leave-one-out",
            kind=homework.kind,
            key=homework.solve,
            note=students.mistake,
            earlier=recording,
        )
        print(step, recording["accuracy"][-1])
    how = provenance("python tools/record_samples.py", ("torch", "transformers", "tokenizers", "numpy"), seeds=[SEED])
    OUT.write_text(json.dumps({"provenance": how, "recording": recording}, separators=(",", ":")) + "\n", "utf-8")
    print(OUT, f"{OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
