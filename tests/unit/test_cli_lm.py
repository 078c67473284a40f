"""The commands of the small language model, as a person types them."""

import dataclasses
import inspect
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_lm
import torch

from ostrl import cli, lm
from ostrl.cli import compare, ledger, pretrain, sample
from ostrl.cli import train as train_command
from ostrl.lm import folder, homework
from ostrl.lm.pretrain import new_policy
from ostrl.lm.pretrain import pretrain as pretraining
from ostrl.lm.settings import Settings

SMALL = ["--batch-size", "2", "--group-size", "2", "--max-new-tokens", "3", "--evaluate", "4", "--device", "cpu"]


@pytest.fixture(autouse=True)
def no_bars(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_lm.write(tmp_path_factory.mktemp("model"), hidden=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model):
    place = tmp_path_factory.mktemp("runs") / "rloo"
    assert cli.main(["train", str(place), "--model", model, "--steps", "4", "--checkpoint-every", "2", *SMALL]) == 0
    return place


def weights(place):
    return (folder.checkpoints(place)[-1] / "model" / "model.safetensors").read_bytes()


def fails(capsys, *arguments):
    """The one line that a command that fails leaves."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.count("\n") == 1
    assert captured.err.startswith(f"ostrl {arguments[0]}: ")
    return captured.err


def test_a_run_from_the_command_line(tmp_path, model, capsys):
    place = tmp_path / "runs" / "rest"
    options = ["--method", "rest", "--parameter", "tau=0.5", "--improve-steps", "2", "--steps", "4", "--seed", "3"]
    assert cli.main(["train", str(place), "--model", model, *options, *SMALL]) == 0
    captured = capsys.readouterr()
    assert "before, on held-out prompts:" in captured.out and "after, on held-out prompts:" in captured.out
    assert f"the model is in {place}/checkpoints/step-000004/model" in captured.out
    assert not captured.err
    stored = folder.stored(place)
    assert (stored.method, stored.parameters, stored.seed, stored.steps) == ("rest", {"tau": 0.5}, 3, 4)
    assert len((place / "log.jsonl").read_text().splitlines()) == 4
    kinds = set(json.loads((place / "summary.json").read_text())["after"]["by_kind"])
    assert kinds <= set(homework.KINDS)


def test_training_on_equals_one_long_run(tmp_path, model, trained, capsys):
    start = ["--model", model, "--checkpoint-every", "2", *SMALL]
    assert cli.main(["train", str(tmp_path / "whole"), "--steps", "6", *start]) == 0
    assert cli.main(["train", str(tmp_path / "parts"), "--steps", "4", *start]) == 0
    assert weights(tmp_path / "parts") == weights(trained)
    assert cli.main(["train", "--resume", str(tmp_path / "parts"), "--steps", "6"]) == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(tmp_path / "whole")]) == 0  # it has ended: that is said, no more is done
    assert "rloo, 6 steps, in" in capsys.readouterr().out


def test_a_run_begins_where_another_ended(tmp_path, trained):
    assert cli.main(["train", str(tmp_path / "next"), "--model", str(trained), "--steps", "1", *SMALL]) == 0
    start = folder.checkpoints(tmp_path / "next")[0]
    assert (start / "model" / "model.safetensors").read_bytes() == weights(trained)


@pytest.mark.parametrize(
    "times, said",
    [(1, "stopped after step 1 of 4, checkpoint written; go on"), (2, "taken again; go on with: ostrl train --resume")],
)
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(tmp_path, model, trained, monkeypatch, capsys, times, said):
    reward = lm.TextTask.reward

    def interrupted(self, *arguments):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return reward(self, *arguments)

    place = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(lm.TextTask, "reward", interrupted)
        options = ["--model", model, "--steps", "4", "--checkpoint-every", "2", *SMALL]
        assert cli.main(["train", str(place), *options]) == 130
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err and not captured.out
    assert cli.main(["train", "--resume", str(place)]) == 0
    assert weights(place) == weights(trained)


def test_what_is_wrong_with_a_run_is_said_in_a_line(tmp_path, model, trained, capsys):
    assert "name a new folder for the run (ostrl train FOLDER)" in fails(capsys, "train")
    assert "name a new folder" in fails(capsys, "train", tmp_path / "a", "--resume", tmp_path / "b")
    assert "already holds a run; resume it (--resume" in fails(capsys, "train", trained)
    assert "is not the folder of a run" in fails(capsys, "train", "--resume", tmp_path / "nowhere")
    changed = fails(capsys, "train", "--resume", trained, "--method", "grpo", "--steps", "8")
    assert "method is 'grpo', not 'rloo'; only steps may change" in changed
    assert "method must be one of reinforce" in fails(capsys, "train", tmp_path / "a", "--method", "magic")
    assert "parameters of rloo are none" in fails(capsys, "train", tmp_path / "a", "--parameter", "tau=1")
    missing = fails(capsys, "train", tmp_path / "a", "--model", tmp_path / "no-model")
    assert "no-model" in missing
    assert "split must be one of" in fails(capsys, "train", tmp_path / "a", "--model", model, "--split", "easy")
    assert not (tmp_path / "a").exists()


def test_a_damaged_checkpoint_is_said_in_a_line(tmp_path, model, capsys):
    place = tmp_path / "run"
    assert cli.main(["train", str(place), "--model", model, "--steps", "1", *SMALL]) == 0
    capsys.readouterr()
    (folder.checkpoints(place)[-1] / "model" / "tokenizer.json").unlink()
    assert "step-000001 is damaged: model/tokenizer.json is missing" in fails(capsys, "train", "--resume", place)
    assert "lacks tokenizer.json" in fails(capsys, "sample", "add 1 2:", "--model", place)


@pytest.mark.parametrize("text", ["tau", "tau=high", "=1", "a b=1"])
def test_parameters_are_names_and_numbers(text, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "somewhere", "--parameter", text])
    assert stopped.value.code == 2
    assert f"expected NAME=NUMBER, got {text!r}" in capsys.readouterr().err


def test_the_options_are_the_settings():
    named = {name: default for group in train_command.OPTIONS.values() for name, (_, _, default, _) in group.items()}
    assert named == {name: value for name, value in dataclasses.asdict(Settings()).items() if name != "parameters"}


def test_answers_come_with_their_probability_and_grade(model, trained, capsys):
    prompts = ["add 47 38:", "what is it"]
    assert (
        cli.main(["sample", *prompts, "--model", model, "--samples", "3", "--max-new-tokens", "2", "--seed", "5"]) == 0
    )
    out = capsys.readouterr().out
    policy = lm.load(model, max_new_tokens=2)
    actions, mask = policy.sample(prompts, 3, torch.Generator(policy.device).manual_seed(5))
    chances = policy.log_prob(prompts, actions, mask).double().sum(-1).exp()
    for prompt, answers, probs in zip(prompts, policy.decode(actions, mask), chances.tolist(), strict=True):
        for answer, prob in zip(answers, probs, strict=True):
            assert any(
                line.startswith(f"{prompt}  {answer}") and f"{prob:.3f}" in line.split() for line in out.splitlines()
            )
    lines = out.splitlines()
    assert all("wrong: " in line for line in lines if line.startswith("add"))
    assert not any("wrong" in line or "right" in line for line in lines if line.startswith("what"))
    assert lines[-1] == "probability at temperature 1"
    assert cli.main(["sample", "--model", str(trained), "--split", "kinds", "--number", "3", "--temperature", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 + 1  # at temperature 0, all answers to a prompt are one
    assert all(line.startswith(("larger", "double")) and " 8 " in line for line in lines[2:-1])
    assert "not both" in fails(capsys, "sample", "add 1 2:", "--split", "train")


def test_the_command_that_pretrains_has_the_defaults_of_python(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pretrain, "run", lambda arguments: seen.append(vars(arguments)) or 0)
    assert cli.main(["pretrain", str(tmp_path)]) == 0
    for function in (new_policy, pretraining):
        defaults = {p.name: p.default for p in inspect.signature(function).parameters.values() if p.name != "policy"}
        defaults.pop("device", None)  # the command takes a GPU if there is one
        assert defaults and defaults.items() <= seen[0].items()


def test_pretraining_makes_a_model_that_loads(tmp_path, capsys):
    place = tmp_path / "model"
    tiny = ["--steps", "2", "--batch-size", "4", "--hidden-size", "8", "--layers", "1", "--heads", "2"]
    assert cli.main(["pretrain", str(place), *tiny]) == 0
    captured = capsys.readouterr()
    assert "a Llama of " in captured.err
    assert all(split in captured.out for split in ("held_out:", "longer:", "kinds:"))
    policy = lm.load(place)
    assert f"{sum(p.numel() for p in policy.parameters()):,}" in captured.err
    assert "is not an empty folder" in fails(capsys, "pretrain", place)
    assert "hidden_size must be a multiple" in fails(capsys, "pretrain", tmp_path / "b", *tiny, "--hidden-size", "9")


def test_transformers_is_not_imported_where_it_is_not_needed(tmp_path):
    (tmp_path / "mine.py").write_text("def weights(rewards):\n    return rewards\n")
    code = f"""
import sys
from ostrl import cli
for arguments in (["--help"], ["train", "--help"]):
    try:
        cli.main(arguments)
    except SystemExit as end:
        assert end.code == 0
assert cli.main(["ledger", "{tmp_path}/mine.py:weights", "--group-size", "2", "--beside", "rloo"]) == 0
assert "transformers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--resume FOLDER" in done.stdout


def test_the_commands_of_the_readme_are_understood(monkeypatch):
    readme = Path(__file__).resolve().parents[2] / "README.md"
    lines = [line for line in readme.read_text("utf8").splitlines() if line.startswith("ostrl ")]
    typed = [shlex.split(line, comments=True) for line in lines]
    assert len(typed) >= 3
    for module in (compare, ledger, pretrain, sample, train_command):
        monkeypatch.setattr(module, "run", lambda arguments: 0)
    for _, *arguments in typed:
        assert cli.main(arguments) == 0
