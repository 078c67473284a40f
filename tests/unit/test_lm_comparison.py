"""Comparisons over seeds: the same budget for every arm, tuned alike, and nothing is run twice."""

import json
from collections import Counter

import pytest
import torch

from ostrl.cli import main
from ostrl.lm import comparison, homework, load, students, studies

SMALL = studies.Budget(labels=64, points=2, prompts=4, samples=2)


def arm(**changes):
    return studies.Arm(**{"row": "rloo", "batch_size": 8, "group_size": 4, "learning_rates": (5e-4,)} | changes)


def test_every_arm_of_a_study_labels_as_many_answers_and_is_tuned_on_the_same_grid():
    for study in studies.STUDIES.values():
        for name, each in study.items():
            assert studies.Budget().labels % each.labels == 0
            assert each.learning_rates == studies.LEARNING_RATES or name.endswith("step × 10")
            assert each.method().name == each.row
    labels = studies.LABELS.values()
    assert {each.improve_steps * studies.Budget().labels // each.labels for each in labels} == {64}  # steps


def test_demonstrators_are_who_they_are_said_to_be():
    prompt = homework.prompts("train")[0]
    right = homework.solve(prompt)
    assert studies.task_of(arm(), None).demonstrations(prompt) == students.distribution(prompt)
    assert studies.task_of(arm(demonstrators="key"), None).demonstrations(prompt) == {right: 1.0}
    mixed = studies.task_of(arm(demonstrators="partly_wrong"), None).demonstrations(prompt)
    assert mixed[right] == pytest.approx(0.7 + 0.3 * students.distribution(prompt)[right], abs=1e-12)
    assert sum(mixed.values()) == pytest.approx(1, abs=1e-12)
    few = studies.task_of(arm(demonstrators="few"), None)
    assert len(set(few.prompts)) == studies.FEW and set(few.prompts) <= set(homework.prompts("train"))
    stronger = studies.task_of(arm(demonstrators="stronger"), {prompt: {"7": 0.5, right: 0.5}})
    assert stronger.prompts == [prompt] and stronger.demonstrations(prompt) == {"7": 0.5, right: 0.5}
    with pytest.raises(ValueError, match="demonstrators must be one of class, key, partly_wrong, few; got 'nobody'"):
        studies.task_of(arm(demonstrators="nobody"), None)


def test_prompts_of_tuning_and_of_the_results_are_apart_and_held_out():
    tuning, results = map(set, studies.halves())
    assert not tuning & results and tuning | results == set(homework.prompts("held_out"))
    kinds = [Counter(map(homework.kind, half)) for half in studies.halves()]
    assert kinds[0] == kinds[1] and len(kinds[0]) == 4


def test_a_run_is_measured_along_the_way_and_the_seed_decides():
    first = studies.run(arm(), 5e-4, 3, SMALL, tuning=False)
    assert [labels for labels, _ in first["curve"]] == [0, 32, 64]
    assert set(first["held_out"]["pass_at"]) == {"1", "2"}
    assert first["held_out"]["samples"] == 2 and first["longer"]["samples"] == 4
    assert set(first["kinds"]["by_kind"]) == {name for name, kind in homework.KINDS.items() if not kind.practiced}
    assert first == studies.run(arm(), 5e-4, 3, SMALL, tuning=False)


def test_exact_accuracy_is_that_of_the_one_right_string():
    policy = load(device="cpu")
    prompts = homework.prompts("held_out")[:40]
    rates = []
    for prompt in prompts:  # the model itself, without the package: prompt, answer, end
        tokens = [policy.tokenizer.bos_token_id, *policy.tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        answer = policy.tokenizer(homework.solve(prompt), add_special_tokens=False)["input_ids"]
        answer.append(policy.tokenizer.eos_token_id)
        with torch.no_grad():
            logits = policy.model(torch.tensor([tokens + answer])).logits[0].double().log_softmax(-1)
        rates.append(sum(logits[len(tokens) - 1 + i, t].item() for i, t in enumerate(answer)))
    truth = torch.tensor(rates, dtype=torch.float64).exp()
    assert torch.allclose(studies.success_rates(policy, prompts), truth, atol=1e-5)
    exact = studies.exact_accuracy(policy, prompts)
    assert exact["accuracy"] == pytest.approx(truth.mean().item(), abs=1e-5)
    assert exact["pass_at"]["4"] == pytest.approx((1 - (1 - truth) ** 4).mean().item(), abs=1e-5)
    adds = [rate for prompt, rate in zip(prompts, truth.tolist(), strict=True) if prompt.startswith("add")]
    assert exact["by_kind"]["add"] == pytest.approx(sum(adds) / len(adds), abs=1e-5)


def test_what_is_forgotten_is_a_sum_over_what_the_class_writes():
    policy = load(device="cpu")
    prompt = homework.prompts("held_out")[0]
    total = 0.0
    for answer, chance in students.distribution(prompt).items():
        with torch.no_grad():
            log_prob = policy.log_prob([prompt], *policy.encode([[answer]])).sum().item()
        total += chance * (torch.tensor(chance).log().item() - log_prob)
    assert studies.homework_kl(policy, [prompt]) == pytest.approx(total, abs=1e-4)
    assert studies.homework_kl(policy, homework.prompts("held_out")[:30]) > 0


def test_a_comparison_goes_on_where_it_was_stopped_and_refuses_another_study(tmp_path, monkeypatch):
    arms = {"RL": arm(learning_rates=(2e-4, 5e-4))}
    result = comparison.compare(arms, seeds=1, budget=SMALL, folder=tmp_path, command="typed", title="small")
    written = {file.name for file in tmp_path.iterdir()}
    assert written == {
        "study.json", "runs RL {:g} 0.json".format(result["arms"]["RL"]["learning_rate"]),
        "tuning RL 0.0002 1000.json", "tuning RL 0.0005 1000.json",
    }  # fmt: skip
    tried = {row["learning_rate"]: row["accuracy"] for row in result["arms"]["RL"]["tuning"]}
    assert tried[result["arms"]["RL"]["learning_rate"]] == max(tried.values())
    assert result["provenance"]["command"] == "typed" and result["provenance"]["seeds"] == [0]

    def none(*_):
        raise AssertionError("nothing is left to run")

    monkeypatch.setattr(comparison.studies, "run", none)
    again = comparison.compare(arms, seeds=1, budget=SMALL, folder=tmp_path, command="typed", title="small")
    assert json.loads(json.dumps(result)) == json.loads(json.dumps(again))
    monkeypatch.setattr(comparison, "_fingerprint", lambda _: "other weights")
    with pytest.raises(ValueError, match="or another model"):
        comparison.compare(arms, seeds=1, budget=SMALL, folder=tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="holds runs of another study"):
        comparison.compare({"SFT": arm(row="sft")}, seeds=1, budget=SMALL, folder=tmp_path)


@pytest.mark.parametrize(
    "typed, complaint",
    [
        (["compare", "rlooo"], "'rlooo' is neither a study"),
        (["compare", "rloo", "--out", "nowhere/x.json"], "--out: there is no folder"),
        (["compare", "rloo", "--labels", "100"], "labels must be a multiple of 256, a Grow of rloo, got 100"),
        (["compare", "rloo", "--seeds", "0"], "seeds must be at least 1, got 0"),
    ],
)
def test_the_command_says_what_is_wrong(typed, complaint, capsys):
    assert main(typed) == 2
    assert complaint in capsys.readouterr().err
