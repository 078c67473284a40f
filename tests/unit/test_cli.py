"""The command, as a person types it."""

import platform
import subprocess
import sys

import pytest
import torch

import ostrl
from ostrl import METHODS, cli

LOSSES = """
from __future__ import annotations
import torch
from helper import HALF

def clipped(log_prob, rewards, clip=0.2):
    advantages = rewards - rewards.mean(1, keepdim=True)
    ratio = (log_prob - log_prob.detach()).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()

def weights(rewards):
    return HALF * rewards

from dataclasses import dataclass

@dataclass
class Settings:
    scale: float = 2.0

    def loss(log_prob, rewards):
        from helper import HALF
        return -HALF * (rewards * log_prob).mean()

def pulled(log_prob, ref_log_prob, rewards):
    return -((rewards - 0.1 * (log_prob - ref_log_prob).detach()) * log_prob).mean()

def broken(log_prob, rewards):
    return -(log_prob * rewards[0, 99]).mean()
"""


@pytest.fixture
def losses(tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    (tmp_path / "helper.py").write_text("HALF = 0.5\n")
    return tmp_path / "losses.py"


def test_a_loss_gets_its_row_its_name_and_its_picture(losses, capsys):
    picture = losses.with_name("omega.png")
    assert cli.main(["ledger", f"{losses}:clipped", "--plot", str(picture), "--by-problem", "cosine"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line and line[0].isalpha()}
    assert rows["clipped"].split()[-1] == "dr_grpo"
    assert {"reinforce", "rloo", "grpo"} <= set(rows)
    assert "clipped: clipped gives the same estimates as dr_grpo." in out
    assert "jackpot" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_several_functions_other_rows_and_sizes(losses, capsys):
    command = ["ledger", f"{losses}:weights", f"{losses}:clipped", "--beside", "sft", "--group-size", "2"]
    assert cli.main([*command, "--num-prompts", "2"]) == 0
    out = capsys.readouterr().out
    assert "0.5 x reinforce" in out
    assert "2 prompts × 2 answers" in out
    assert "rloo " not in out


def test_functions_in_a_class_late_imports_and_references(losses, capsys):
    picture = losses.with_name("omega.svg")
    command = ["ledger", f"{losses}:Settings.loss", f"{losses}:pulled", "--beside", "rloo, grpo"]
    assert cli.main([*command, "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "0.5 x reinforce" in out and "\npulled " in out and "\ngrpo " in out
    assert "<svg" in picture.read_text()


@pytest.mark.parametrize("picture, said", [("omega.xyz", "must end in .png"), ("nowhere/omega.png", "no folder")])
def test_a_picture_that_cannot_be_written_is_refused_first(losses, capsys, picture, said):
    assert cli.main(["ledger", f"{losses}:weights", "--plot", str(losses.parent / picture)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and not captured.out


def test_labels_of_demonstrators(losses, capsys):
    assert cli.main(["ledger", f"{losses}:weights", "--labels", "demonstrators"]) == 0
    assert "weights    demonstrators" in capsys.readouterr().out


def test_without_a_function_the_whole_table(capsys):
    assert cli.main(["ledger"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in METHODS)


@pytest.mark.parametrize(
    "place, said",
    [
        ("nowhere.py:f", "there is no file nowhere.py"),
        ("nowhere.py", "expected path/to/file.py:function"),
        ("{losses}:nope", "has no function 'nope'; it defines"),
        ("{losses}:broken", "in broken: return -(log_prob * rewards[0, 99]).mean()"),
    ],
)
def test_what_went_wrong_is_said(losses, capsys, place, said):
    assert cli.main(["ledger", place.format(losses=losses)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out


def test_wrong_rows_and_sizes(losses, capsys):
    assert cli.main(["ledger", f"{losses}:weights", "--beside", "ppo"]) == 2
    assert "method must be one of reinforce" in capsys.readouterr().err
    assert cli.main(["ledger", f"{losses}:weights", "--group-size", "40"]) == 2
    assert "states; at most" in capsys.readouterr().err


def test_the_installed_command():
    done = subprocess.run([sys.executable, "-m", "ostrl.cli", "ledger", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "path/to/file.py:function" in done.stdout


@pytest.mark.parametrize("gpu", [None, "NVIDIA H200"])
def test_one_line_says_what_a_report_of_an_error_needs(gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
    monkeypatch.setenv("COLUMNS", "40")  # a narrow terminal
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    ours, python, theirs, system, device = capsys.readouterr().out.rstrip("\n").split(", ")  # one line
    assert (ours, python) == (f"ostrl {ostrl.__version__}", f"Python {platform.python_version()}")
    assert (theirs, device) == (f"torch {torch.__version__}", gpu or "CPU")
    assert system.split()[0] == platform.system()
