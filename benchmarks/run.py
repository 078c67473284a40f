"""What a Monte Carlo gradient costs: ostrl beside other implementations, in one process, turn by turn.

    python benchmarks/run.py                 # writes ostrl/results/timings.json
    python benchmarks/run.py --repeats 3 --output build/timings.json

One prompt, a softmax over A answers, N answers sampled and graded, one gradient estimate of plain REINFORCE: first
against N at 16 answers, then against A at 10,000 samples. Every implementation takes its turn in every round, so
whatever else the machine does falls on all of them, and what counts is the ratio to plain PyTorch in the same round.
Before it is timed, each one's estimate is compared with the exact gradient. Peers that are not installed are left
out, and the result says so (``pip install -e ".[bench]"`` brings them).

A run replaces the stored rows of the same device and keeps those of others, so a machine with a GPU adds its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ostrl
from ostrl.results import provenance

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "torch"
MOST_ENTRIES = 20_000_000  # implementations that build an [N, A] table are left out above this


@dataclass(frozen=True)
class Problem:
    """One prompt and its A answers, of which a tenth are right (at least one)."""

    logits: Tensor
    returns: Tensor
    samples: int

    @classmethod
    def make(cls, answers: int, samples: int, device: torch.device) -> Problem:
        generator = torch.Generator().manual_seed(answers)
        logits = torch.randn(answers, generator=generator, dtype=torch.float64)
        returns = torch.zeros(answers, dtype=torch.float64)
        returns[: max(1, answers // 10)] = 1.0
        return cls(logits.to(device), returns.to(device), samples)

    def groups(self) -> tuple[int, int]:
        """Prompts and answers to each; with a single prompt in the table only their product matters."""
        group = math.gcd(self.samples, 1000)
        return self.samples // group, group

    def truth(self) -> tuple[Tensor, Tensor]:
        """The exact gradient, and each coordinate's standard deviation for one answer."""
        probs = torch.softmax(self.logits, 0)
        value = probs @ self.returns
        mean = probs * (self.returns - value)
        # coordinate k of R·s is R (1[a = k] - π_k), so its second moment is a sum over two kinds of answers
        square = probs * self.returns**2
        second = square * (1 - probs) ** 2 + (square.sum() - square) * probs**2
        return mean, (second - mean**2).sqrt()


Estimate = Callable[[], Any]
"""Samples, grades, and returns a gradient estimate (or several, one a row); called again, another one."""


def ostrl_estimates(problem: Problem, replicas: int) -> Estimate:
    policy = ostrl.CategoricalPolicy(problem.logits[None])
    task = ostrl.TableTask(problem.returns[None])
    generator = torch.Generator(problem.logits.device).manual_seed(0)
    prompts, group = problem.groups()
    method = ostrl.METHODS["reinforce"]
    return lambda: ostrl.diagnostics.estimate_gradient(method, policy, task, prompts, group, replicas, generator)


def ostrl_bulk(problem: Problem) -> Estimate:
    estimates = ostrl_estimates(problem, 1)
    return lambda: estimates()[0]


def ostrl_hundred(problem: Problem) -> Estimate:
    return ostrl_estimates(problem, 100)


def torch_autograd(problem: Problem) -> Estimate:
    logits = problem.logits.clone().requires_grad_()
    generator = torch.Generator(logits.device).manual_seed(0)

    def estimate() -> Tensor:
        log_probs = torch.log_softmax(logits, 0)
        answers = torch.multinomial(log_probs.detach().exp(), problem.samples, replacement=True, generator=generator)
        objective = (problem.returns[answers] * log_probs[answers]).mean()
        return torch.autograd.grad(objective, logits)[0]

    return estimate


def torch_one_by_one(problem: Problem) -> Estimate:
    logits = problem.logits.clone().requires_grad_()
    generator = torch.Generator(logits.device).manual_seed(0)

    def estimate() -> Tensor:
        total = torch.zeros_like(logits)
        for _ in range(problem.samples):
            log_probs = torch.log_softmax(logits, 0)
            answer = torch.multinomial(log_probs.detach().exp(), 1, generator=generator)
            total += torch.autograd.grad((problem.returns[answer] * log_probs[answer]).sum(), logits)[0]
        return total / problem.samples

    return estimate


def exact_sum(problem: Problem) -> Estimate:
    policy = ostrl.CategoricalPolicy(problem.logits[None])
    task = ostrl.TableTask(problem.returns[None])
    return lambda: ostrl.exact.gradient(policy, task)


def rlax_loss(problem: Problem) -> Estimate:
    import jax
    import jax.numpy as jnp
    import rlax

    jax.config.update("jax_enable_x64", True)
    logits, returns = jnp.asarray(problem.logits.cpu().numpy()), jnp.asarray(problem.returns.cpu().numpy())
    ones = jnp.ones(problem.samples)

    def loss(x: Any, answers: Any) -> Any:
        rows = jnp.broadcast_to(x, (problem.samples, len(x)))
        return -rlax.policy_gradient_loss(rows, answers, returns[answers], ones)

    @jax.jit
    def one(key: Any) -> Any:
        answers = jax.random.categorical(key, logits, shape=(problem.samples,))
        return jax.grad(loss)(logits, answers)

    keys = iter(range(10**9))
    return lambda: jax.block_until_ready(one(jax.random.key(next(keys))))


def storchastic_score(problem: Problem) -> Estimate:
    import storch
    from torch.distributions import Categorical

    logits = problem.logits.clone().requires_grad_()
    torch.manual_seed(0)

    @storch.deterministic
    def grade(answers: Tensor) -> Tensor:
        return problem.returns[answers]

    def estimate() -> Tensor:
        method = storch.method.ScoreFunction("answers", n_samples=problem.samples)
        storch.add_cost(grade(method(Categorical(logits=logits))), "return")
        storch.backward()
        gradient = logits.grad
        logits.grad = None
        assert gradient is not None
        return gradient

    return estimate


@dataclass(frozen=True)
class Implementation:
    name: str
    build: Callable[[Problem], Estimate]
    most_samples: int = 10**9
    most_entries: int = 10**18
    package: str | None = None  # an optional peer
    sampled: bool = True
    estimates: int = 1  # a call

    def why_not(self, answers: int, samples: int, device: torch.device) -> str | None:
        """Why this one is not measured on such a problem; ``None`` if it is."""
        if self.package == "rlax" and device.type != "cpu":
            return "measured on the CPU only: jax is installed without a GPU"
        if samples > self.most_samples:
            return f"measured up to {self.most_samples:,} samples"
        if answers * samples > self.most_entries:
            return f"it builds a table of samples x answers; measured up to {self.most_entries:,} entries"
        return None


IMPLEMENTATIONS = [
    Implementation("ostrl", ostrl_bulk),
    Implementation("ostrl, 100 estimates at once", ostrl_hundred, most_samples=10_000, estimates=100),
    Implementation(REFERENCE, torch_autograd),
    Implementation("torch, one answer at a time", torch_one_by_one, most_samples=1000),
    Implementation("exact sum", exact_sum, sampled=False),
    Implementation("rlax", rlax_loss, most_entries=MOST_ENTRIES, package="rlax"),
    Implementation("storchastic", storchastic_score, most_entries=MOST_ENTRIES, package="storchastic"),
]


def check(implementation: Implementation, device: torch.device) -> float:
    """An estimate from 100,000 answers, or as many as allowed: its largest |z| against the exact gradient."""
    samples = min(100_000, implementation.most_samples)
    problem = Problem.make(16, samples, device)
    mean, deviation = (x.cpu() for x in problem.truth())
    got = torch.as_tensor(implementation.build(problem)()).detach().cpu().double().reshape(-1, 16)[0]
    error = (got - mean).abs()
    if not implementation.sampled:
        worst = float((error / 1e-12).max())
    else:
        worst = float((error / (deviation / samples**0.5)).max())
    if worst > 6:
        raise RuntimeError(f"{implementation.name} is not within 6 standard errors of the exact gradient: {worst:.1f}")
    return worst


def timed(estimate: Estimate, calls: int, device: torch.device) -> float:
    """Seconds a call, over ``calls`` calls."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        estimate()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / calls


def quartiles(values: list[float]) -> list[float]:
    """First quartile, median, third quartile, to four digits."""
    cuts = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return [float(f"{x:.4g}") for x in cuts]


def measure(
    chosen: list[Implementation], answers: int, samples: int, sweep: str, repeats: int, device: torch.device
) -> list[dict[str, Any]]:
    """All implementations on one problem, ``repeats`` rounds, each round in another order."""
    problem = Problem.make(answers, samples, device)
    running = {}
    for implementation in chosen:
        if implementation.why_not(answers, samples, device) is None:
            estimate = implementation.build(problem)
            estimate()  # compiles, allocates
            calls = max(1, min(200, int(0.01 / max(timed(estimate, 1, device), 1e-7))))
            running[implementation.name] = (estimate, calls)
    seconds: dict[str, list[float]] = {name: [] for name in running}
    names = list(running)
    estimates = {i.name: i.estimates for i in chosen}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            estimate, calls = running[name]
            seconds[name].append(timed(estimate, calls, device) / estimates[name])
    reference = seconds[REFERENCE]
    return [
        {
            "sweep": sweep,
            "implementation": name,
            "samples": samples,
            "answers": answers,
            "seconds": quartiles(own),
            "ratio": quartiles([x / y for x, y in zip(own, reference, strict=True)]),
            "calls": running[name][1],
        }
        for name, own in seconds.items()
    ]


def device_name(device: torch.device, cores: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {cores} core{'s' * (cores > 1)}"


def keep_to(cores: int) -> None:
    """Give every implementation, whatever its own thread pool would like, the same few cores."""
    torch.set_num_threads(cores)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def run(args: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(args.device)
    present = [i for i in IMPLEMENTATIONS if i.package is None or installed(i.package)]
    chosen = []
    left_out: dict[str, str] = {i.name: "not installed" for i in IMPLEMENTATIONS if i not in present}
    worst = {}
    for implementation in present:
        if reason := implementation.why_not(16, 1, device):
            left_out[implementation.name] = reason
            continue
        worst[implementation.name] = round(check(implementation, device), 2)
        chosen.append(implementation)
    rows = []
    settings = [("samples", 16, n) for n in args.samples] + [("answers", a, 10_000) for a in args.answers]
    for sweep, answers, samples in settings:
        print(f"{samples:>9,} samples of {answers:>6,} answers", file=sys.stderr, flush=True)
        rows += measure(chosen, answers, samples, sweep, args.repeats, device)
        for implementation in chosen:
            if reason := implementation.why_not(answers, samples, device):
                left_out[f"{implementation.name}, N = {samples:,}, A = {answers:,}"] = reason
    return {
        "device": device_name(device, args.cores),
        "provenance": provenance(
            " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
            ["torch", "numpy", "jax", "rlax", "storchastic"],
            dtype="float64",
            repeats=args.repeats,
            note="seconds and ratios are [first quartile, median, third quartile] over the rounds; the machine may "
            "have been shared, so compare ratios",
        ),
        "largest_z_against_exact": worst,
        "left_out": left_out,
        "rows": rows,
    }


def merge(path: Path, new: dict[str, Any]) -> dict[str, Any]:
    """The stored runs, with the one of the same device replaced."""
    runs = json.loads(path.read_text("utf-8"))["runs"] if path.exists() else []
    kept = [r for r in runs if r["device"] != new["device"]]
    return {
        "title": "Seconds for one REINFORCE estimate on a softmax over A answers, from N samples; ratio to plain torch",
        "runs": sorted([*kept, new], key=lambda r: r["device"]),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    many = {"type": int, "nargs": "+"}
    parser.add_argument("--samples", **many, default=[10**k for k in range(2, 7)], help="N of the first sweep")
    parser.add_argument("--answers", **many, default=[2, 10, 100, 1000, 10_000], help="A of the second")
    parser.add_argument("--repeats", type=int, default=31, help="rounds (31)")
    parser.add_argument("--cores", type=int, default=1, help="processor cores for everybody, the same for all (1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=ROOT / "ostrl" / "results" / "timings.json")
    return parser.parse_args()


def main() -> None:
    warnings.simplefilter("ignore")  # the peers' own
    args = arguments()
    keep_to(args.cores)
    result = merge(args.output, run(args))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)  # lists of numbers on one line
    args.output.write_text(text + "\n", "utf-8")
    print(args.output)


if __name__ == "__main__":
    main()
