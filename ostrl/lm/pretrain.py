"""Where the homework model comes from: a random Llama that imitates the class, mistakes included.

Pre-training is maximum likelihood on the class's answers: the row ``sft`` of the table, in the same loop that every
method runs in. Only answers are learned, never prompts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ostrl import checks
from ostrl.lm import homework
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.tokenizer import character_tokenizer
from ostrl.methods import METHODS
from ostrl.training import Record, train_steps

WARM_UP = 0.05
"""The share of the steps over which the learning rate rises, before it falls to zero along a cosine."""


def new_policy(
    *, seed: int = 0, hidden_size: int = 128, layers: int = 3, heads: int = 8, device: str = "cpu"
) -> LanguageModelPolicy:
    """A Llama with random weights that reads and writes characters.

    The defaults are the size of the model that ships, 0.6 million parameters; 512 by 8 by 8 makes one of 25 million.

    Args:
        seed: of the weights; they are drawn on the CPU, so that they are the same on every device.
        hidden_size: the width; a multiple of twice ``heads``. The feed-forward layers are about 8/3 as wide.
        layers: their number.
        heads: attention heads of each layer.
        device: where to put the model.

    Raises:
        TypeError: for sizes that are not whole numbers.
        ValueError: for sizes below 1, or a width that the heads cannot share.
    """
    for name, size in {"hidden_size": hidden_size, "layers": layers, "heads": heads}.items():
        checks.positive_int(name, size)
    if hidden_size % (2 * heads):
        raise ValueError(f"hidden_size must be a multiple of 2 · heads = {2 * heads}, got {hidden_size}")
    tokenizer = character_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=32 * max(1, round(hidden_size / 12)),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = LlamaForCausalLM(config)
    return LanguageModelPolicy(model.to(device), tokenizer, max_new_tokens=8)


def pretrain(
    policy: LanguageModelPolicy,
    *,
    seed: int = 0,
    steps: int = 3500,
    batch_size: int = 64,
    group_size: int = 4,
    learning_rate: float = 2e-3,
) -> Iterator[Record]:
    """Teach a policy to write as the class does; yields a record after every step, and ends after the last.

    ::

        policy = new_policy()
        for record in tqdm.tqdm(pretrain(policy), total=3500): ...
        ostrl.lm.save(policy, "my-homework")

    On one machine, and with as many threads, the same seed gives the same weights. ``record.mean_reward`` is how
    often the class was right in the batch, not the policy.

    Args:
        policy: what is trained, usually :func:`new_policy`.
        seed: of the prompts and the students' answers.
        steps: gradient steps.
        batch_size: prompts of a step.
        group_size: students who answer each of them.
        learning_rate: the highest, of AdamW.

    Raises:
        TypeError: for arguments of another kind.
        ValueError: for sizes below 1 or a learning rate that is not positive.
    """
    checks.positive_int("steps", steps)
    checks.number("learning_rate", learning_rate, above=0.0)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=learning_rate, betas=(0.9, 0.95))

    def share(step: int) -> float:
        return min(1.0, (step + 1) / (WARM_UP * steps)) * (1 + math.cos(math.pi * step / steps)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    records = train_steps(
        METHODS["sft"],
        policy,
        homework.task("homework", demonstrators="class"),
        optimizer,
        batch_size=batch_size,
        group_size=group_size,
        generator=torch.Generator(policy.device).manual_seed(seed),
    )
    for record in itertools.islice(records, steps):
        schedule.step()
        yield record
