"""Gradients compared on a language model: what noise adds is taken off, and the layers make up the whole."""

import pytest
import tiny_lm
import torch

import ostrl
from ostrl import lm
from ostrl.lm.gradients import compare_gradients, layer_of

PROMPTS = ["a", "b", "ab"]


@pytest.fixture
def policy(tmp_path):
    return lm.load(tiny_lm.write(tmp_path, spread=0.3), device="cpu", max_new_tokens=2)


def grade(prompt, answer):
    return float(answer[:1] in "0123456789abcdefgh")


def arms():
    task = lm.TextTask(PROMPTS, grade, lambda prompt: {"a": 1.0})
    return {"RL": (ostrl.METHODS["rloo"], task), "SFT": (ostrl.METHODS["sft"], task)}


def compare(policy, replicas=40, **changes):
    settings = {
        "reference": arms()["RL"], "batch_size": 8, "group_size": 4, "replicas": replicas,
        "reference_replicas": 2 * replicas, "generator": torch.Generator().manual_seed(0),
    }  # fmt: skip
    return compare_gradients(policy, arms(), **settings | changes)


def exact_sft(policy):
    """Every demonstration is "a" and every prompt as likely: the expected gradient, by one backward pass."""
    actions, mask = policy.encode([["a"]] * len(PROMPTS))
    policy.zero_grad()
    policy.log_prob(PROMPTS, actions, mask).sum().div(len(PROMPTS)).backward()
    parameters = dict(policy.model.named_parameters())
    return {
        part: torch.cat([p.grad.flatten() for name, p in parameters.items() if part in ("all", layer_of(name))])
        for part in {"all", *map(layer_of, parameters)}
    }


def test_norms_are_those_of_the_expected_gradient_in_every_layer(policy):
    found = compare(policy)["SFT"]
    for part, gradient in exact_sft(policy).items():
        assert found[part]["norm"] == pytest.approx(gradient.norm().item(), rel=0.1)
    squares = sum(row["norm"] ** 2 for part, row in found.items() if part != "all")
    assert squares == pytest.approx(found["all"]["norm"] ** 2, rel=1e-4)


def test_a_method_points_where_its_own_reference_points_and_one_estimate_less_so(policy):
    found = compare(policy)
    assert found["RL"]["all"]["cosine"] == pytest.approx(1, abs=0.1)
    assert found["RL"]["all"]["cosine_of_one"] < 0.97
    assert found["RL"]["all"]["snr"] < found["SFT"]["all"]["snr"]


def test_the_signal_to_noise_ratio_grows_with_the_batch(policy):
    small, large = compare(policy, batch_size=4)["SFT"], compare(policy, batch_size=16)["SFT"]
    assert large["all"]["snr"] / small["all"]["snr"] == pytest.approx(4, rel=0.5)


def test_the_policy_stays_as_it_is_and_the_seed_decides(policy):
    before = [p.detach().clone() for p in policy.parameters()]
    assert compare(policy, replicas=3) == compare(policy, replicas=3)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    assert all(p.grad is None for p in policy.parameters())


def test_one_replica_has_no_variance(policy):
    with pytest.raises(ValueError, match="replicas must be at least 2, got 1"):
        compare(policy, replicas=1)


@pytest.mark.parametrize(
    "name, layer",
    [
        ("model.embed_tokens.weight", "embedding"),
        ("model.layers.0.mlp.up_proj.weight", "layer 1"),
        ("model.norm.weight", "head"),
        ("lm_head.weight", "head"),
        ("transformer.h.11.ln_1.bias", "layer 12"),
        ("transformer.wte.weight", "embedding"),
        ("transformer.wpe.weight", "embedding"),
    ],
)
def test_layers_by_the_names_of_the_parameters(name, layer):
    assert layer_of(name) == layer
