"""A checkpoint that is whole loads as it was saved, and one that is not says what is wrong with it."""

import inspect
import json
import shutil
import subprocess
import sys
import time

import huggingface_hub
import pytest
import tiny_models as tiny
import torch
import transformers
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from tiny_models import DEVICES, KINDS, PROMPTS, generator

from ostrl import lm
from ostrl.lm import checkpoint


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def cut(file, share=0.6):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


@pytest.fixture
def folder(tmp_path):
    """A checkpoint to be damaged."""
    return shutil.copytree(tiny.checkpoint("llama"), tmp_path / "model")


# What is whole


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_loads_bit_by_bit_and_silently(kind, device, tmp_path, capfd):
    policy = tiny.load(kind, device)
    with torch.no_grad():
        for parameter in policy.parameters():  # as training leaves them
            parameter.add_(torch.randn(parameter.shape, generator=generator()).to(device), alpha=0.01)
    capfd.readouterr()
    assert lm.save(policy, tmp_path / "new" / "model") == tmp_path / "new" / "model"
    again = lm.load(str(tmp_path / "new" / "model"), device=device)
    assert capfd.readouterr() == ("", "")
    weights, others = policy.model.state_dict(), again.model.state_dict()
    assert list(weights) == list(others)
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert again.end_ids == policy.end_ids and again.tokenizer.chat_template == policy.tokenizer.chat_template
    first, second = (p.sample(PROMPTS, 3, generator(1, device), max_new_tokens=8) for p in (policy, again))
    assert torch.equal(first.actions, second.actions)
    assert torch.equal(policy.log_prob(PROMPTS, *first), again.log_prob(PROMPTS, *first))
    assert policy.decode(*first) == again.decode(*first)


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_alone_loads_what_is_saved(kind, tmp_path):
    policy = tiny.load(kind)
    lm.save(policy, tmp_path)
    files = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert files <= {file.name for file in tmp_path.iterdir()} <= {*files, "chat_template.jinja"}
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokens = torch.tensor([tiny.plain_tokens(policy, "2+2=")])
    assert torch.equal(model(tokens).logits, policy.model(tokens).logits)
    assert words("add 47", add_special_tokens=False) == policy.tokenizer("add 47", add_special_tokens=False)


def test_saving_again_replaces(tmp_path):
    policy = tiny.load("llama")
    policy.model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(2)
    lm.save(policy, tmp_path)
    assert torch.equal(lm.load(tmp_path).model.lm_head.weight, policy.model.lm_head.weight)


def test_weights_in_parts(folder):
    policy = lm.load(folder)
    (folder / "model.safetensors").unlink()
    policy.model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    again = lm.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), again.parameters(), strict=True))


def test_settings_and_precision(folder):
    policy = lm.load(folder, dtype=torch.float64, temperature=0.5, max_new_tokens=3, device="cpu")
    assert {p.dtype for p in policy.parameters()} == {torch.float64}
    assert (policy.temperature, policy.max_new_tokens, policy.device.type) == (0.5, 3, "cpu")
    assert {p.dtype for p in lm.load(folder).parameters()} == {torch.float32}
    assert lm.load(folder).device.type == DEVICES[-1]  # a GPU if there is one


@pytest.mark.parametrize("name", ["model", "./model", "~/model"])
def test_folders_by_every_kind_of_name(name, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert lm.load(name).end_ids == [2]


def test_buffers_of_older_versions_may_be_left_over(tmp_path):
    file = tmp_path / "model" / "model.safetensors"
    shutil.copytree(tiny.checkpoint("gpt2"), file.parent)
    save_file(load_file(file) | {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}, file, {"format": "pt"})
    assert lm.load(file.parent).end_ids == [0]


# What is not whole


def sharded(folder):
    policy = lm.load(folder)
    (folder / "model.safetensors").unlink()
    policy.model.save_pretrained(folder, max_shard_size="20KB")
    return sorted(folder.glob("model-*.safetensors"))


def without(folder, name):
    file = folder / "model.safetensors"
    save_file({key: value for key, value in load_file(file).items() if key != name}, file, {"format": "pt"})


def pickled(folder):
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def own_code(folder):
    change(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "c.C", "AutoModelForCausalLM": "c.M"})
    (folder / "c.py").write_text(f"open({str(folder / 'was_run')!r}, 'w')\n")


def strange_tokenizer(folder):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{tiny.checkpoint('qwen2')}/{file}", folder / file)


DAMAGES = {
    "truncated": (
        lambda f: cut(f / "model.safetensors"),
        ValueError,
        r"model\.safetensors is damaged, perhaps cut short",
    ),
    "header cut": (
        lambda f: cut(f / "model.safetensors", 0.001),
        ValueError,
        r"model\.safetensors is damaged, perhaps",
    ),
    "empty": (
        lambda f: cut(f / "model.safetensors", 0),
        ValueError,
        r"model\.safetensors is damaged, perhaps cut short",
    ),
    "width": (
        lambda f: change(f / "config.json", hidden_size=48),
        ValueError,
        r"do not fit config.json: lm_head.weight has shape \[46, 24\], expected \[46, 48\]",
    ),
    "vocabulary": (
        lambda f: change(f / "config.json", vocab_size=50),
        ValueError,
        r"lm_head.weight has shape \[46, 24\], expected \[50, 24\]",
    ),
    "layer too many": (
        lambda f: change(f / "config.json", num_hidden_layers=3),
        ValueError,
        r"do not fit config.json: missing model.layers.2.input",
    ),
    "layer too few": (
        lambda f: change(f / "config.json", num_hidden_layers=1),
        ValueError,
        r"do not fit config.json: no place for model.layers.1.input",
    ),
    "no tensor": (
        lambda f: without(f, "model.norm.weight"),
        ValueError,
        "do not fit config.json: missing model.norm.weight",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), FileNotFoundError, r"lacks tokenizer.json$"),
    "no tokenizer's settings": (
        lambda f: (f / "tokenizer_config.json").unlink(),
        FileNotFoundError,
        "lacks tokenizer_config.json",
    ),
    "another's tokenizer": (strange_tokenizer, ValueError, "belong together: one knows 267 tokens, the other 46"),
    "tokenizer cut": (
        lambda f: cut(f / "tokenizer.json"),
        ValueError,
        r"tokenizer\.json is damaged, perhaps cut short",
    ),
    "tokenizer's settings cut": (
        lambda f: cut(f / "tokenizer_config.json"),
        ValueError,
        r"tokenizer_config\.json is damaged",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), FileNotFoundError, "lacks config.json"),
    "config cut": (lambda f: cut(f / "config.json"), ValueError, r"config\.json is damaged, perhaps cut short"),
    "config wrong": (
        lambda f: change(f / "config.json", hidden_size="wide"),
        ValueError,
        "could not be read: .*hidden_size.*expected int",
    ),
    "generation cut": (lambda f: cut(f / "generation_config.json"), ValueError, r"generation_config\.json is damaged"),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        FileNotFoundError,
        r"lacks model.safetensors \(weights in other formats are not read",
    ),
    "pickle": (
        pickled,
        FileNotFoundError,
        r"lacks model.safetensors \(weights in other formats are not read: a pickle can run code\)",
    ),
    "part missing": (lambda f: sharded(f)[1].unlink(), FileNotFoundError, r"lacks model-00002-of-0000\d.safetensors$"),
    "part cut": (lambda f: cut(sharded(f)[2]), ValueError, r"model-00003-of-0000\d.safetensors is damaged"),
    "index cut": (
        lambda f: sharded(f) and cut(f / "model.safetensors.index.json"),
        ValueError,
        r"index\.json is damaged",
    ),
    "index strange": (
        lambda f: sharded(f) and (f / "model.safetensors.index.json").write_text("{}"),
        ValueError,
        r"index\.json is damaged",
    ),
    "no index": (
        lambda f: sharded(f) and (f / "model.safetensors.index.json").unlink(),
        ValueError,
        "could not be read: .*model.safetensors",
    ),
    "nothing": (
        lambda f: [file.unlink() for file in f.iterdir()],
        FileNotFoundError,
        r"lacks config.json and model.safetensors .* and tokenizer.json",
    ),
    "no folder": (shutil.rmtree, FileNotFoundError, "there is no folder .*model"),
    "own code": (own_code, ValueError, "needs code of its own, and no code of a checkpoint is run"),
    "unknown architecture": (
        lambda f: change(f / "config.json", model_type="mine"),
        ValueError,
        "could not be read: .*`mine`",
    ),
    "no causal model": (
        lambda f: change(f / "config.json", model_type="t5"),
        ValueError,
        "could not be read: .*T5Config",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_is_not_whole_says_so(damage, folder, capfd):
    harm, kind, message = DAMAGES[damage]
    harm(folder)
    capfd.readouterr()
    with pytest.raises(kind, match=message) as caught:
        lm.load(folder)
    assert str(folder) in str(caught.value) or "belong together" in message
    assert capfd.readouterr() == ("", "")
    assert not (folder / "was_run").exists()


def test_code_beside_a_known_architecture_is_not_run(folder):
    own_code(folder)
    change(folder / "config.json", model_type="llama")
    assert type(lm.load(folder).model) is transformers.LlamaForCausalLM
    assert not (folder / "was_run").exists()


def test_a_pickle_beside_the_weights_is_not_opened(folder):
    (folder / "pytorch_model.bin").write_bytes(b"no pickle")
    (folder / "training_args.bin").write_bytes(b"no pickle")
    assert lm.load(folder).end_ids == [2]


def test_saving_over_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        lm.save(tiny.load("llama"), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


ARGUMENTS = {
    "name": (lambda: lm.load(7), TypeError, "name_or_path must be a string or a path, got int"),
    "dtype": (lambda: lm.load(tiny.checkpoint("llama"), dtype="float32"), TypeError, "dtype must be .*got 'float32'"),
    "integers": (
        lambda: lm.load(tiny.checkpoint("llama"), dtype=torch.int8),
        TypeError,
        "dtype must be a floating-point",
    ),
    "setting": (lambda: tiny.load("llama", heat=1), TypeError, "heat"),
    "value": (lambda: tiny.load("llama", temperature=-1), ValueError, "temperature must not be negative"),
    "policy": (
        lambda: lm.save(tiny.load("llama").model, "x"),
        TypeError,
        "policy must be of class LanguageModelPolicy",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_arguments_are_named(case):
    call, kind, message = ARGUMENTS[case]
    with pytest.raises(kind, match=message):
        call()


# The Hub


def test_a_name_that_cannot_be_downloaded_says_what_to_do_and_does_not_hang():
    """In a process of its own, without a connection: the names of the Hub lead to a port where nobody listens."""
    code = """
import time
from ostrl import lm
began = time.perf_counter()
try:
    lm.load("HuggingFaceTB/SmolLM2-135M-Instruct")
except OSError as error:
    print(error)
print(time.perf_counter() - began)
"""
    environment = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": "/nonexistent",
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    *message, seconds = done.stdout.strip().split("\n")
    message = " ".join(message)
    assert "'HuggingFaceTB/SmolLM2-135M-Instruct' is no model that ships" in message
    assert "could not be downloaded from the Hugging Face Hub" in message
    assert "hf download HuggingFaceTB/SmolLM2-135M-Instruct --local-dir FOLDER" in message
    assert float(seconds) < 30 and "Retrying" not in done.stderr


def test_a_name_that_cannot_be_one(monkeypatch):
    began = time.perf_counter()
    with pytest.raises(OSError, match=r"'a/b/c' is no model that ships .*HFValidationError.*\n.*hf download"):
        lm.load("a/b/c")
    assert time.perf_counter() - began < 10


def test_a_download_fetches_weights_and_words_and_nothing_that_runs(monkeypatch):
    """The Hub is a folder here: what is asked of it is checked, and what it gives is loaded."""
    asked = {}

    def download(name, **patterns):
        asked.update(patterns, name=name)
        return tiny.checkpoint("smollm2")

    monkeypatch.setattr(checkpoint, "snapshot_download", download)
    policy = lm.load("HuggingFaceTB/SmolLM2-135M-Instruct", max_new_tokens=4)
    assert asked.pop("name") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert policy.tokenizer.pad_token == policy.tokenizer.eos_token == "<|im_end|>"
    assert policy.sample(PROMPTS, 2, generator(0, policy.device)).actions.shape[-1] == 4
    there = [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "merges.txt", "vocab.json", "tokenizer.model", "model-00001-of-00002.safetensors",
    ]  # fmt: skip
    not_wanted = [
        "pytorch_model.bin", "modeling_mine.py", "consolidated.safetensors", "onnx/model.onnx", "training_args.bin",
        "original/model.safetensors", "tf_model.h5", "flax_model.msgpack", "README.md", "model.gguf",
    ]  # fmt: skip
    assert list(filter_repo_objects(there + not_wanted, **asked)) == there
    assert {"allow_patterns", "ignore_patterns"} <= set(inspect.signature(huggingface_hub.snapshot_download).parameters)
