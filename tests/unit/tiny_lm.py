"""A tiny random language model on disk, and a task for it: a step of training takes milliseconds."""

import string

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ostrl import lm

CHARACTERS = string.digits + string.ascii_lowercase + " :"


def tokenizer():
    """One token a character, an end token, a beginning that is put in front of every text."""
    vocabulary = {token: index for index, token in enumerate(["<end>", *CHARACTERS])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    characters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=characters, eos_token="<end>", pad_token="<end>")


def write(folder, seed=0, hidden=16, spread=0.02):
    """Write a Llama with random weights, and its tokenizer, into a folder in the format of Hugging Face."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(CHARACTERS) + 1,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=spread,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return str(lm.save(lm.LanguageModelPolicy(LlamaForCausalLM(config), tokenizer()), folder))


def task():
    """Write digits and no letters; half a mark for none of either."""
    prompts = ["one digit:", "digits:", "numbers please:"]

    def grade(prompt, answer):
        marks = sum(c.isdigit() for c in answer) - sum(c.isalpha() for c in answer)
        return 1.0 if marks > 0 else 0.5 if marks == 0 else 0.0

    return lm.TextTask(prompts, grade, lambda prompt: {"7": 0.5, "a": 0.25, "42": 0.25})
