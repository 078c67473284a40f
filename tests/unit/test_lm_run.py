"""A run that is stopped, killed, or breaks anywhere ends as if nothing had happened; damage is named."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import tiny_lm
import torch
from safetensors.torch import load_file, save_file

import ostrl
from ostrl import lm
from ostrl.lm import folder
from ostrl.lm import run as runs
from ostrl.lm.evaluation import evaluate
from ostrl.lm.folder import model_folder
from ostrl.lm.run import Settings, Stopped, train


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """One thread, as bitwise equality asks for, and no bars."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_lm.write(tmp_path_factory.mktemp("model"), hidden=8)


@pytest.fixture
def small(model):
    return Settings(
        model=model, batch_size=2, group_size=3, steps=6, max_new_tokens=3, learning_rate=0.01, checkpoint_every=2,
        evaluate=3, device="cpu",
    )  # fmt: skip


def go(place, settings=None, *, resume=False, task=None):
    return train(place, settings, resume=resume, task=task or tiny_lm.task(), held_out=tiny_lm.task())


def outcome(place):
    """What a run leaves, byte by byte: log, summary, and the last checkpoint, model and all."""
    last = folder.checkpoints(place)[-1]
    files = [place / "log.jsonl", place / "summary.json", *sorted(f for f in last.rglob("*") if f.is_file())]
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in files}


def files(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


class StopsInStep(lm.TextTask):
    """The task, but the user presses Ctrl-C while the n-th batch is graded, or presses it several times."""

    def __init__(self, step, *signals):
        easy = tiny_lm.task()
        super().__init__(easy.prompts, easy.grade, easy.demonstrations)
        self.step, self.signals, self.batches = step, signals, itertools.count(1)

    def reward(self, prompts, answers):
        if next(self.batches) == self.step:
            for number in self.signals:
                signal.raise_signal(number)
        return super().reward(prompts, answers)


# ------------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_leaves_a_log_checkpoints_and_a_summary(tmp_path, small):
    done = go(tmp_path / "run", small)
    assert [row["step"] for row in done.log] == [1, 2, 3, 4, 5, 6] == [row["grow"] for row in done.log]
    first = done.log[0]
    assert set(first) == {"step", "grow", "loss", "reward", "accuracy", "entropy", "length"}
    assert 0 <= first["accuracy"] <= first["reward"] <= 1 < first["length"] <= 3
    assert first["entropy"] > 3
    assert [place.name for place in folder.checkpoints(done.folder)] == ["step-000000", "step-000004", "step-000006"]
    assert {Path(name).suffix for name in files(done.folder)} == {".json", ".jsonl", ".safetensors"}
    assert not any(Path(name).name[0] == "." for name in files(done.folder))
    kept = json.loads((done.folder / "run.json").read_text())
    assert Settings.of(kept["settings"], "run.json") == small
    assert kept["ran_with"]["torch"] == torch.__version__


def test_the_model_is_an_ordinary_folder_and_the_summary_is_of_it(tmp_path, small):
    done = go(tmp_path / "run", small)
    place = model_folder(done.folder)
    loaded = lm.load(place, max_new_tokens=3, device="cpu")
    for mine, theirs in zip(loaded.parameters(), done.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    start = lm.load(small.model, max_new_tokens=3, device="cpu")
    generator = torch.Generator().manual_seed(small.seed)
    assert done.after == evaluate(loaded, tiny_lm.task(), prompts=3, generator=generator, reference=start)
    assert done.before == evaluate(start, tiny_lm.task(), prompts=3, generator=generator.manual_seed(small.seed))
    summary = json.loads((done.folder / "summary.json").read_text())
    assert summary == {"step": 6, "before": done.before.to_dict(), "after": done.after.to_dict()}
    assert "before, on held-out prompts" in repr(done)
    assert done._repr_html_().count("<table") == 2
    assert model_folder(small.model) == small.model


def test_training_is_the_packages_loop(tmp_path, small):
    done = go(tmp_path / "run", dataclasses.replace(small, method="rest", parameters={"tau": 0.5}))
    policy = lm.load(small.model, max_new_tokens=3, device="cpu")
    optimizer = torch.optim.Adam(policy.parameters(), lr=small.learning_rate)
    steps = ostrl.train_steps(
        ostrl.methods.rest(0.5), policy, tiny_lm.task(), optimizer, batch_size=2, group_size=3,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    losses = [record.loss for record in itertools.islice(steps, 6)]
    assert [row["loss"] for row in done.log] == losses
    for mine, theirs in zip(policy.parameters(), done.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_where_the_model_wrote_nothing_its_entropy_is_not_known(tmp_path, small):
    done = go(tmp_path / "run", dataclasses.replace(small, method="sft", steps=2, evaluate=0))
    assert [row["entropy"] for row in done.log] == [None, None]
    assert done.before is None and done.after is None
    half = go(tmp_path / "half", dataclasses.replace(small, method="self_training", steps=2, evaluate=0))
    assert half.log[0]["entropy"] > 3


def test_micro_batches_and_their_setting(tmp_path, small):
    whole = go(tmp_path / "whole", dataclasses.replace(small, method="sft"))
    parts = go(tmp_path / "parts", dataclasses.replace(small, method="sft", micro_batch_size=2))
    assert parts.policy.micro_batch_size == 2
    assert [row["loss"] for row in parts.log] == pytest.approx([row["loss"] for row in whole.log], abs=1e-5)


def test_the_bar_shows_how_it_goes(tmp_path, small, monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE")
    go(tmp_path / "run", small)
    shown = capsys.readouterr().err
    assert "rloo: 100%" in shown and "6/6" in shown
    assert all(name in shown for name in ("reward=", "accuracy=", "entropy=", "answers/s="))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    go(tmp_path / "silent", small)
    assert not capsys.readouterr().err


# -------------------------------------------------------------------------------------------- stopping and going on


def in_child(place, settings, resume):
    """A whole process that trains; it is there to be killed."""
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    go(place, settings, resume=resume)
    sys.exit(0)


def test_killed_at_random_moments_it_ends_the_same(tmp_path, small):
    settings = dataclasses.replace(small, steps=60, checkpoint_every=3)
    reference = go(tmp_path / "whole", settings)
    place = tmp_path / "killed"
    # Processes are forked from one that has imported everything and done nothing else.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ostrl.lm.run", "transformers.models.llama.modeling_llama", "pytest"])
    moments, kills = random.Random(), 0

    def lines():
        log = place / "log.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    while not (place / "summary.json").exists() and kills < 6:
        known = (place / "run.json").exists()
        child = context.Process(target=in_child, args=(place, None if known else settings, known))
        child.start()
        began, enough = lines(), moments.randint(1, 12)
        while child.is_alive() and lines() < began + enough:
            time.sleep(0.001)
            began = min(began, lines())  # the child cuts the log back first
        time.sleep(moments.uniform(0, 0.02))
        child.kill()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
        # At most the steps since the last checkpoint are lost, and one more checkpoint may have been half written.
        step = int(folder.checkpoints(place)[-1].name.removeprefix("step-"))
        assert step <= lines() < step + settings.checkpoint_every + 1
    assert kills > 2
    again = go(place, resume=True)
    assert outcome(place) == outcome(tmp_path / "whole")
    assert again.log == reference.log
    assert not [name for name in files(place) if Path(name).name[0] == "."]


def test_broken_off_before_any_of_its_writes_it_ends_the_same(tmp_path, small, monkeypatch):
    """As if the power went out just before a file, or a checkpoint, got its name: for every one there is."""
    settings = dataclasses.replace(small, steps=4)
    go(tmp_path / "whole", settings)
    replace = os.replace

    class PowerCut(BaseException):
        pass

    for moment in itertools.count():
        place = tmp_path / f"cut-{moment}"
        left = itertools.count(moment, -1)

        def cut(old, new, left=left):
            if next(left) == 0:
                raise PowerCut
            replace(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", cut)
            try:
                go(place, settings)
            except PowerCut:
                broken = True
            else:
                broken = False
        go(place, None if (place / "run.json").exists() else settings, resume=(place / "run.json").exists())
        assert outcome(place) == outcome(tmp_path / "whole")
        assert not [name for name in files(place) if Path(name).name[0] == "."]
        if not broken:
            break
    assert moment >= 8  # run.json, three checkpoints with their states, the summary


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_and_keeps_it(tmp_path, small, number, capfd):
    go(tmp_path / "whole", small)
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=r"stopped after step 3 of 6, checkpoint written; go on with: ostrl train --res"):
        go(tmp_path / "run", small, task=StopsInStep(3, number))
    assert "stopping after this step (again: at once)" in capfd.readouterr().err
    assert signal.getsignal(number) is before
    assert folder.checkpoints(tmp_path / "run")[-1].name == "step-000003"
    assert not (tmp_path / "run" / "summary.json").exists()
    go(tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(tmp_path, small):
    with pytest.raises(KeyboardInterrupt, match="at once") as stopped:
        go(tmp_path / "run", small, task=StopsInStep(4, signal.SIGINT, signal.SIGINT))
    assert stopped.type is KeyboardInterrupt
    assert folder.checkpoints(tmp_path / "run")[-1].name == "step-000002"
    go(tmp_path / "whole", small)
    go(tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_between_grows_only(tmp_path, small):
    settings = dataclasses.replace(small, method="raft", improve_steps=3, steps=9, checkpoint_every=1)
    whole = go(tmp_path / "whole", settings)
    assert [row["grow"] for row in whole.log] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    with pytest.raises(Stopped, match="after step 6 of 9"):
        go(tmp_path / "run", settings, task=StopsInStep(2, signal.SIGINT))
    assert [place.name[-1] for place in folder.checkpoints(tmp_path / "run")] == ["0", "3", "6"]
    again = go(tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert again.log == whole.log


def test_to_train_on_asks_for_more_steps(tmp_path, small):
    go(tmp_path / "whole", dataclasses.replace(small, steps=8))
    go(tmp_path / "run", small)
    again = go(tmp_path / "run", dataclasses.replace(small, steps=8, max_new_tokens=None, device=None), resume=True)
    assert again.settings.steps == 8 and again.settings.max_new_tokens == 3
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert go(tmp_path / "run", resume=True).after == again.after  # a run that has ended just says how it ended


# ----------------------------------------------------------------------------------------------------------- errors


def test_other_settings_are_named(tmp_path, small):
    go(tmp_path / "run", small)
    other = dataclasses.replace(small, method="grpo", learning_rate=0.02)
    with pytest.raises(
        ValueError,
        match=r"other settings: method is 'grpo', not 'rloo', learning_rate is 0\.02, not 0\.01; only steps may",
    ):
        go(tmp_path / "run", other, resume=True)
    with pytest.raises(ValueError, match="steps must be at least 6"):
        go(tmp_path / "run", dataclasses.replace(small, steps=4), resume=True)
    with pytest.raises(ValueError, match="a task of its own: pass it again"):
        train(tmp_path / "run", resume=True)


def test_folders_that_will_not_do(tmp_path, small):
    go(tmp_path / "run", small)
    with pytest.raises(ValueError, match=r"already holds a run; resume it \(--resume, resume=True\)"):
        go(tmp_path / "run", small)
    with pytest.raises(ValueError, match="is not the folder of a run"):
        go(tmp_path / "nowhere", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("kept")
    with pytest.raises(ValueError, match="is not an empty folder"):
        go(tmp_path / "mine", small)
    with pytest.raises(ValueError, match="is not an empty folder"):
        go(tmp_path / "mine" / "letters.txt", small)
    (tmp_path / "mine" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"the run in .* has no checkpoint yet"):
        model_folder(tmp_path / "mine")


def test_what_fails_before_it_begins_leaves_nothing(tmp_path, small):
    with pytest.raises(FileNotFoundError):
        go(tmp_path / "run", dataclasses.replace(small, model=str(tmp_path / "nothing")))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(folder.fcntl is None, reason="no locks on this system")
def test_two_processes_do_not_share_a_folder(tmp_path, small):
    go(tmp_path / "run", small)
    with folder.alone(tmp_path / "run"), pytest.raises(ValueError, match="another process is training in"):
        go(tmp_path / "run", resume=True)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model):
    place = tmp_path_factory.mktemp("finished") / "run"
    go(place, Settings(model=model, batch_size=2, group_size=2, steps=3, max_new_tokens=3, evaluate=0, device="cpu"))
    return place


@pytest.mark.parametrize(
    "name", ["model/model.safetensors", "model/tokenizer.json", "model/config.json", "state.safetensors", "state.json"]
)
@pytest.mark.parametrize("damage", [halve, flip, Path.unlink])
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(tmp_path, finished, name, damage):
    place = shutil.copytree(finished, tmp_path / "run")
    last = folder.checkpoints(place)[-1]
    original = outcome(place)
    damage(last / name)
    if (damage, name) == (flip, "state.json"):
        (last / name).write_text((last / name).read_text().replace('"bytes": ', '"bytes": 1'))
    with pytest.raises(
        ValueError, match=r"is damaged: .*Remove this folder to go on from the checkpoint before it"
    ) as e:
        go(place, resume=True)
    assert str(last) in str(e.value) and (name.split("/")[-1] in str(e.value) or name == "state.json")
    shutil.rmtree(last)
    go(place, resume=True)
    assert outcome(place) == original


def sign(place):
    """Note the files of a checkpoint as they are now, as if they had been written so."""
    state = json.loads((place / "state.json").read_text())
    for name in state["files"]:
        content = (place / name).read_bytes()
        state["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (place / "state.json").write_text(json.dumps(state))


def test_tensors_that_do_not_fit_are_named(tmp_path, finished):
    place = shutil.copytree(finished, tmp_path / "run")
    last = folder.checkpoints(place)[-1]
    tensors = load_file(last / "state.safetensors")
    name = "optimizer.0.exp_avg"
    for changes, said in [
        ({name: tensors[name][:, :-1].contiguous()}, rf"{name} has shape \[39, 7\], its parameter \[39, 8\]"),
        ({"optimizer.99.exp_avg": tensors[name].clone()}, "optimizer.99.exp_avg has shape .* does not exist"),
        ({"generator": torch.zeros(3, dtype=torch.uint8)}, "state.safetensors could not be read"),
        ({"generator": torch.zeros(3)}, "state.safetensors could not be read"),
    ]:
        save_file(tensors | changes, last / "state.safetensors")
        sign(last)
        with pytest.raises(ValueError, match=said):
            go(place, resume=True)
    del tensors["optimizer.0.exp_avg"]
    save_file(tensors, last / "state.safetensors")
    sign(last)
    with pytest.raises(ValueError, match=r"does not fit the optimizer: it lacks exp_avg for some of them"):
        go(place, resume=True)
    wide = lm.save(lm.load(tiny_lm.write(tmp_path / "wide", hidden=16), device="cpu"), tmp_path / "wide")
    save_file(tensors, last / "state.safetensors")
    shutil.copy(wide / "model.safetensors", last / "model" / "model.safetensors")
    sign(last)
    with pytest.raises(ValueError, match=r"step-000003/model.*shape \[39, 16\].*\[39, 8\]"):
        go(place, resume=True)
    shutil.copy(wide / "config.json", last / "model" / "config.json")
    sign(last)
    with pytest.raises(ValueError, match="does not fit the model"):
        go(place, resume=True)


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"settings": ', "run.json is no JSON"),
        ("[]", "run.json must hold a JSON object, got list"),
        ('{"settings": 3}', "the settings in .*run.json do not parse: unknown or missing: 3"),
        ('{"settings": {"method": "rloo"}}', "unknown or missing: autocast, batch_size"),
    ],
)
def test_settings_that_do_not_parse(tmp_path, finished, text, said):
    place = shutil.copytree(finished, tmp_path / "run")
    (place / "run.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        go(place, resume=True)


def test_a_setting_out_of_range_in_the_file(tmp_path, finished):
    place = shutil.copytree(finished, tmp_path / "run")
    noted = json.loads((place / "run.json").read_text())
    noted["settings"]["steps"] = "many"
    (place / "run.json").write_text(json.dumps(noted))
    with pytest.raises(ValueError, match=r"run.json do not parse: steps must be an int, got str 'many'"):
        go(place, resume=True)


def test_a_log_that_was_cut_is_named(tmp_path, finished):
    place = shutil.copytree(finished, tmp_path / "run")
    halve(place / "log.jsonl")
    with pytest.raises(ValueError, match=r"log.jsonl is damaged: it has \d+ bytes, and \d+ were written by step 3"):
        go(place, resume=True)


def test_another_number_of_threads_is_noted(tmp_path, finished, capsys):
    place = shutil.copytree(finished, tmp_path / "run")
    noted = json.loads((place / "run.json").read_text())
    noted["ran_with"]["threads"] = 64
    (place / "run.json").write_text(json.dumps(noted))
    go(place, resume=True)
    assert "last digits may differ" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, small, monkeypatch):
    real = runs.grow_improve

    def breaks(*arguments, **keywords):
        for record in real(*arguments, **keywords):
            yield dataclasses.replace(record, loss=float("nan")) if record.step == 3 else record

    monkeypatch.setattr(runs, "grow_improve", breaks)
    with pytest.raises(FloatingPointError, match="the loss of step 3 is nan; the newest checkpoint is that of step 2"):
        go(tmp_path / "run", small)


@pytest.mark.parametrize(
    "changes, error, said",
    [
        ({"method": "ppo9"}, ValueError, "method must be one of reinforce, rloo"),
        ({"method": "rest", "parameters": {"beta": 1.0}}, ValueError, "parameters of rest are tau, got 'beta'"),
        ({"parameters": {"tau": 1.0}}, ValueError, "parameters of rloo are none, got 'tau'"),
        ({"method": "rest", "parameters": {"tau": "high"}}, TypeError, "tau must be a number"),
        ({"parameters": []}, TypeError, "parameters must be of class dict"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"steps": 2.5}, TypeError, "steps must be an int"),
        ({"steps": 10, "improve_steps": 3}, ValueError, "steps must be a multiple of improve_steps = 3, got 10"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be greater than 0"),
        ({"temperature": float("nan")}, ValueError, "temperature must be finite"),
        ({"seed": -1}, ValueError, "seed must not be negative"),
        ({"evaluate": True}, TypeError, "evaluate must be an int"),
        ({"device": "abacus"}, ValueError, "device must be one of None, cpu, cuda, got 'abacus'"),
        ({"autocast": "int4"}, ValueError, "autocast must be one of"),
        ({"model": 3}, TypeError, "model must be of class str"),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens must be at least 1"),
    ],
)
def test_wrong_settings(changes, error, said):
    with pytest.raises(error, match=said):
        Settings(**changes)


def test_outside_the_main_thread_it_trains_without_signals(tmp_path, small):
    import threading

    results = []
    thread = threading.Thread(target=lambda: results.append(go(tmp_path / "run", small)))
    thread.start()
    thread.join()
    with contextlib.suppress(IndexError):
        assert len(results[0].log) == 6
    assert results
