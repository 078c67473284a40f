"""Tiny random language models on disk, in the format of Hugging Face: a Hub name stands for such a folder.

Four architectures as they come: a Llama that puts ``<bos>`` in front of plain text; a SmolLM2, whose turns stand
between ``<|im_start|>`` and ``<|im_end|>``, which is its padding, too; a Qwen2 with two end tokens; a GPT-2, whose one
special token is everything at once and whose positions are learned. Their weights are drawn so wide that no
distribution is near the uniform one.
"""

import atexit
import functools
import tempfile

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from ostrl import lm

KINDS = ("llama", "smollm2", "qwen2", "gpt2")
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PROMPTS = ["add 47 38:", "2+2=", "reverse 4281, then stop:"]


def _tokenizer(model, pre_tokenizer, decoder, front=None, **special):
    made = Tokenizer(model)
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoder
    if front is not None:
        number = model.token_to_id(front)
        made.post_processor = TemplateProcessing(single=f"{front} $A", special_tokens=[(front, number)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)


def letters(alphabet, specials, **special):
    """One token a character."""
    vocabulary = {token: number for number, token in enumerate([*specials, *alphabet])}
    model = models.WordLevel(vocabulary, unk_token=special.get("unk_token"))
    return _tokenizer(model, pre_tokenizers.Split(Regex("."), "isolated"), decoders.Fuse(), **special)


def byte_pairs(specials, **special):
    """Byte-level BPE with a few merges, so that texts of one length differ in tokens."""
    merges = [("Ġ", "t"), ("t", "h"), ("2", "+"), ("4", "7"), ("a", "d"), ("ad", "d"), ("o", "p"), ("i", "n")]
    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    model = models.BPE({token: number for number, token in enumerate(tokens)}, merges)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _tokenizer(model, split, decoders.ByteLevel(), **special)


def tokenizer(kind):
    """The tokenizer of an architecture."""
    if kind == "llama":
        names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
        return letters("0123456789+-=:, abcdefghijklmnopqrstuvwxyz", names.values(), front="<bos>", **names)
    if kind == "gpt2":
        end = "<|endoftext|>"
        return byte_pairs([end], bos_token=end, eos_token=end, unk_token=end)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names = {"eos_token": "<|im_end|>", "extra_special_tokens": ["<|im_start|>"], "chat_template": CHAT}
    if kind == "smollm2":
        names |= {"pad_token": "<|im_end|>", "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>"}
    else:
        names |= {"pad_token": "<|endoftext|>"}
    return byte_pairs(specials, **names)


def network(kind, words, seed=2, hidden=24, room=128, **settings):
    """An architecture with random weights that speaks a tokenizer's words."""
    torch.manual_seed(seed)
    tokens = {name: getattr(words, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    common = {"vocab_size": len(words), "initializer_range": 0.3} | tokens
    if kind == "gpt2":
        shape = {"n_embd": hidden, "n_layer": 2, "n_head": 2, "n_positions": room}
        return _ending(transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **common | settings)))
    shape = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4 if kind == "llama" else 3,
        "num_key_value_heads": 2 if kind == "llama" else 1,
        "max_position_embeddings": room,
        "tie_word_embeddings": kind != "llama",
    }
    name = "Qwen2" if kind == "qwen2" else "Mistral" if kind == "mistral" else "Llama"
    config = getattr(transformers, f"{name}Config")(**shape | common | settings)
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    if kind == "qwen2":
        model.generation_config.eos_token_id = [2, 0]
    return _ending(model)


def _ending(model):
    """Let the end token's logit spread wider than the others', so that answers are of all lengths."""
    with torch.no_grad():
        model.get_output_embeddings().weight[model.config.eos_token_id] *= 3
    return model


def write(kind, folder, **settings):
    """A checkpoint in a folder; returns the folder's name."""
    words = tokenizer(kind)
    network(kind, words, **settings).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@functools.cache
def checkpoint(kind):
    """The name of a folder with that architecture, which is there until the tests end."""
    folder = tempfile.TemporaryDirectory(prefix=f"tiny-{kind}-")
    atexit.register(folder.cleanup)
    return write(kind, folder.name)


def load(kind, device="cpu", **settings):
    """The architecture as a policy."""
    return lm.load(checkpoint(kind), device=device, **{"max_new_tokens": 10} | settings)


def abc(kind="llama", device="cpu", **settings):
    """A float64 policy with four tokens, ``<end>``, a, b and c, and answers of at most three: 40 strings in all."""
    words = letters("abc", ["<end>"], eos_token="<end>", pad_token="<end>")
    model = network(kind, words, seed=1, hidden=16, room=16, initializer_range=0.35).double()
    return lm.LanguageModelPolicy(model.to(device), words, **{"max_new_tokens": 3} | settings)


def strings(device="cpu", ends=(0,), vocab_size=4, length=3):
    """Every string of :func:`abc` as ``(actions, mask)``, each ``[S, T]``; what is masked is the end token."""
    done, growing = [], [[]]
    for _ in range(length):
        growing = [[*string, token] for string in growing for token in range(vocab_size)]
        done += [string for string in growing if string[-1] in ends]
        growing = [string for string in growing if string[-1] not in ends]
    done += growing
    actions = torch.tensor([string + [0] * (length - len(string)) for string in done], device=device)
    mask = torch.tensor([[place < len(string) for place in range(length)] for string in done], device=device)
    return actions, mask


def plain_log_prob(policy, prompt_tokens, answer):
    """What the model's own forward pass says of one answer: nothing but its tokens, no padding, no mask."""
    logits = policy.model(torch.tensor([[*prompt_tokens, *answer]], device=policy.device)).logits[0]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    scores = (logits[len(prompt_tokens) - 1 : -1] / policy.temperature).log_softmax(-1)
    return scores.gather(-1, torch.tensor(answer, device=policy.device)[:, None])[:, 0]


def plain_tokens(policy, prompt):
    """A prompt's tokens, by the tokenizer alone."""
    words = policy.tokenizer
    if words.chat_template is None:
        return words(prompt)["input_ids"]
    text = f"<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    return words(text, add_special_tokens=False)["input_ids"]


def plain(policy, prompts, actions, mask):
    """:func:`plain_log_prob` of every answer, as ``[B, G, T]`` with 0 where masked."""
    rows = []
    for prompt, group, real in zip(prompts, actions, mask, strict=True):
        for answer, counts in zip(group, real, strict=True):
            length = int(counts.sum())
            scores = plain_log_prob(policy, plain_tokens(policy, prompt), answer[:length].tolist())
            rows.append(torch.nn.functional.pad(scores, (0, len(answer) - length)))
    return torch.stack(rows).view(actions.shape)


def generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)
