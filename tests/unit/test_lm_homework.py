"""The homework, its teacher, its tokenizer, its model: what ships and how it is made."""

import hashlib
import itertools
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import ostrl
from ostrl import lm
from ostrl.lm import homework, students
from ostrl.lm.pretrain import new_policy, pretrain
from ostrl.lm.tokenizer import CHARACTERS, character_tokenizer

SHIPPED = Path(lm.__file__).parent / "models" / "homework"


# The splits


@pytest.mark.parametrize("one, other", [*itertools.combinations(["train", "held_out", "longer", "kinds"], 2)])
def test_no_prompt_is_in_two_splits(one, other):
    assert not set(homework.prompts(one)) & set(homework.prompts(other))


def test_what_is_held_out_is_in_nobodys_training_data():
    seen = set(homework.prompts("homework"))
    assert seen > set(homework.prompts("train"))
    for split in ("held_out", "longer", "kinds"):
        assert not seen & set(homework.prompts(split))


@pytest.mark.parametrize("split", homework.SPLITS)
def test_no_split_repeats_a_prompt(split):
    assert len(set(homework.prompts(split))) == len(homework.prompts(split)) > 0


def kinds(split):
    return {homework.kind(prompt) for prompt in homework.prompts(split)}


def test_which_kinds_are_in_which_split():
    practiced = {name for name, kind in homework.KINDS.items() if kind.practiced}
    assert kinds("train") == kinds("held_out") == kinds("longer") == practiced
    assert kinds("kinds") == homework.KINDS.keys() - practiced
    assert kinds("homework") == set(homework.KINDS)


def digits(split):
    return {(homework.kind(p), max(map(len, homework.parse(p)[1]))) for p in homework.prompts(split)}


def test_operands_are_one_digit_longer_in_longer():
    assert digits("longer") == {(kind, size + 1) for kind, size in digits("train")}


def test_longer_prompts_and_other_kinds_are_the_stated_shares_of_the_homework():
    prompts = homework.prompts("homework")
    other = [not homework.KINDS[homework.kind(prompt)].practiced for prompt in prompts]
    assert 0.17 < sum(other) / len(prompts) < 0.19
    longer = len(prompts) - sum(other) - len(homework.prompts("train"))
    assert 0.08 < longer / len(prompts) < 0.10


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_any_stretch_of_a_split_has_the_kinds_in_their_proportion(split):
    prompts = homework.prompts(split)
    for kind in kinds(split):
        share = sum(homework.kind(p) == kind for p in prompts) / len(prompts)
        stretch = sum(homework.kind(p) == kind for p in prompts[200:300]) / 100
        assert abs(stretch - share) < 0.03


@pytest.mark.parametrize(
    "split, fingerprint",
    [
        ("homework", "9f5e1ffbd440"),
        ("train", "16a769c32637"),
        ("held_out", "8a9c6135876c"),
        ("longer", "b059f512fd88"),
        ("kinds", "7ab4659acb6d"),
    ],
)
def test_splits_are_the_same_everywhere(split, fingerprint):
    assert hashlib.sha256("\n".join(homework.prompts(split)).encode()).hexdigest()[:12] == fingerprint


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of homework, train, held_out, longer, kinds, got 'test'"):
        homework.prompts("test")
    with pytest.raises(ValueError, match="split must be one of"):
        homework.task("test")


# The teacher


@pytest.mark.parametrize("kind", homework.KINDS.values(), ids=lambda kind: kind.name)
def test_the_example_of_a_kind_is_right(kind):
    prompt, answer = kind.example.split(": ")
    assert homework.kind(prompt + ":") == kind.name
    assert homework.solve(prompt + ":") == answer
    assert homework.grade(prompt + ":", answer) == 1.0


@pytest.mark.parametrize(
    "prompt, answer",
    [
        ("add 99 1:", "100"),
        ("take 45 from 45:", "0"),
        ("reverse 100:", "001"),
        ("sort 9071:", "0179"),
        ("larger of 9 10:", "10"),
        ("double 5:", "10"),
    ],
)
def test_solve(prompt, answer):
    assert homework.solve(prompt) == answer


@pytest.mark.parametrize(
    "answer",
    ["+7", " 7", "7 ", "07", "7.0", "7\n", "-7", "７", "٧", "seven", "", "77", "0b111", "3+4", "7<eos>", "7_", "1e999"],
)
def test_junk_is_wrong(answer):
    assert homework.grade("add 3 4:", answer) == 0.0
    assert homework.grade("add 3 4:", "7") == 1.0


@pytest.mark.parametrize(
    "prompt",
    [
        "", "add", "add 3 4", "add 3 4: ", " add 3 4:", "add  3 4:", "add +3 4:", "add 03 4:", "add 3 -4:", "add ３ 4:",
        "add 3 4:\n", "Add 3 4:", "add 3 4 5:", "add 1234567890 1:", "add three 4:", "add 0 4:", "multiply 3 4:",
        "take 45 from 19:", "take 19 45:", "reverse 12a:", "reverse 12 34:", "sort :", "larger 4 5:", "double 0x10:",
        "__import__('os').system('true')",
    ],
)  # fmt: skip
def test_what_is_no_homework_is_refused_with_the_forms_there_are(prompt):
    for function in (homework.parse, homework.kind, homework.solve, lambda p: homework.grade(p, "7")):
        with pytest.raises(ValueError, match=r"prompt must be homework such as 'add 47 38:', 'take 19 from 45:'.*got "):
            function(prompt)


def test_what_is_no_string_is_refused():
    with pytest.raises(TypeError, match="answer must be a string, got int"):
        homework.grade("add 3 4:", 7)
    with pytest.raises(TypeError, match="prompt must be a string, got NoneType"):
        homework.grade(None, "7")


def test_a_long_answer_is_only_wrong():
    assert homework.grade("add 3 4:", "7" * 100_000) == 0.0


# The task


@pytest.mark.parametrize("split", homework.SPLITS)
def test_the_task_of_a_split(split):
    task = homework.task(split)
    assert task.prompts == list(homework.prompts(split))
    prompt = task.prompts[0]
    assert task.demonstrations(prompt) == students.distribution(prompt)
    assert task.reward([prompt], [[homework.solve(prompt), "junk"]]).tolist() == [[1.0, 0.0]]


def test_demonstrators_are_the_class_the_key_or_ones_own():
    assert homework.task("train", "key").demonstrations("add 3 4:") == {"7": 1.0}
    assert homework.task("train", lambda prompt: {"no": 1.0}).demonstrations("add 3 4:") == {"no": 1.0}
    with pytest.raises(ValueError, match="demonstrators must be 'class', 'key' or a function, got 'teacher'"):
        homework.task("train", "teacher")


# The tokenizer


@pytest.fixture(scope="module", params=["made", "shipped"])
def tokenizer(request):
    return character_tokenizer() if request.param == "made" else AutoTokenizer.from_pretrained(SHIPPED)


def test_every_prompt_and_every_answer_survives_the_tokenizer(tokenizer):
    texts = []
    for split in homework.SPLITS:
        texts += homework.prompts(split)
    for prompt in homework.prompts("held_out") + homework.prompts("kinds") + homework.prompts("longer"):
        texts += students.distribution(prompt)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [len(row) for row in ids] == [len(text) for text in texts]
    assert tokenizer.batch_decode(ids) == texts
    assert max(map(len, texts)) <= 20


def test_special_tokens(tokenizer):
    special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    assert len(special) == 4 and None not in special
    assert len(tokenizer) == 4 + len(CHARACTERS)
    ids = tokenizer("add 3 4:").input_ids
    assert ids[0] == tokenizer.bos_token_id and len(ids) == 1 + len("add 3 4:")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "add 3 4:"
    assert tokenizer("7é\n", add_special_tokens=False).input_ids[1:] == [tokenizer.unk_token_id] * 2
    assert tokenizer.decode(tokenizer("  a  7: ", add_special_tokens=False).input_ids) == "  a  7: "


# The model that ships


@pytest.fixture(scope="module")
def shipped():
    return lm.load("homework", device="cpu")


def test_the_folder_loads_without_the_package_and_is_small(shipped):
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 4_000_000
    assert {file.name for file in SHIPPED.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(SHIPPED, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED, local_files_only=True)
    assert model.config.model_type == "llama" and model.dtype == torch.float32
    ids = tokenizer("reverse 4281:", return_tensors="pt").input_ids
    answer = model.generate(ids, do_sample=False, max_new_tokens=8)[0, ids.shape[1] :]
    assert answer[-1] == tokenizer.eos_token_id
    assert (
        tokenizer.decode(answer, skip_special_tokens=True)
        == shipped.decode(*shipped.at(temperature=0).sample(["reverse 4281:"], 1, torch.Generator()))[0][0]
    )


def grades(policy, prompts):
    actions, mask = policy.sample(prompts, 1, torch.Generator().manual_seed(0))
    return [homework.grade(p, group[0]) for p, group in zip(prompts, policy.decode(actions, mask), strict=True)]


def test_the_shipped_model_is_right_about_half_of_the_time(shipped):
    prompts = list(homework.prompts("held_out")[:800])
    assert 0.48 < sum(grades(shipped, prompts)) / len(prompts) < 0.62


def test_its_likeliest_answer_is_often_wrong_where_that_of_the_class_is(shipped):
    prompts = list(homework.prompts("held_out")[:400])
    most = [max(mixture := students.distribution(p), key=mixture.__getitem__) for p in prompts]
    right = grades(shipped.at(temperature=0), prompts)
    fooled = [grade for p, answer, grade in zip(prompts, most, right, strict=True) if answer != homework.solve(p)]
    others = [grade for p, answer, grade in zip(prompts, most, right, strict=True) if answer == homework.solve(p)]
    assert len(fooled) > 100 and sum(fooled) / len(fooled) < 0.6
    assert sum(others) / len(others) > 0.9


def test_its_answers_are_distributed_much_as_those_of_the_class(shipped):
    distances = []
    for prompt in homework.prompts("held_out")[:40]:
        mixture = students.distribution(prompt)
        with torch.no_grad():
            model = shipped.log_prob([prompt], *shipped.encode([list(mixture)])).sum(-1).exp()[0]
        theirs = torch.tensor(list(mixture.values()))
        distances.append(((theirs - model).abs().sum() + 1 - model.sum()).item() / 2)
    assert 0 < sum(distances) / len(distances) < 0.25


# Pre-training


def tiny(**settings):
    policy = new_policy(hidden_size=16, layers=1, heads=2)
    return list(pretrain(policy, steps=3, batch_size=4, group_size=2, **settings)), policy


def test_pre_training_is_deterministic_and_follows_its_seed():
    (first, one), (again, same), (_, other) = tiny(seed=1), tiny(seed=1), tiny(seed=2)
    assert [r.loss for r in first] == [r.loss for r in again]
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_pre_training_learns_from_the_class_alone_and_stops():
    records, _ = tiny()
    assert [record.step for record in records] == [1, 2, 3]
    homeworks = set(homework.prompts("homework"))
    for record in records:
        assert set(record.batch.prompts) <= homeworks
        assert record.batch.actions.shape[:2] == (4, 2)
        assert (record.batch.source == ostrl.DEMONSTRATOR).all()


def test_pre_training_lowers_the_loss():
    policy = new_policy(hidden_size=32, layers=1, heads=2)
    losses = [record.loss for record in pretrain(policy, steps=60, batch_size=32, learning_rate=1e-2)]
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])


def test_the_seed_of_the_weights_is_no_global_state():
    state = torch.get_rng_state()
    one, same, other = (new_policy(seed=seed, hidden_size=16, layers=1, heads=2) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_shipped_model_has_the_default_size(shipped):
    assert [p.shape for p in new_policy().parameters()] == [p.shape for p in shipped.parameters()]


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"hidden_size": 100, "heads": 3}, ValueError, "hidden_size must be a multiple of 2 · heads = 6, got 100"),
        ({"layers": 0}, ValueError, "layers must be at least 1"),
        ({"heads": 2.0}, TypeError, "heads must be an int"),
    ],
)
def test_sizes_are_checked(settings, error, message):
    with pytest.raises(error, match=message):
        new_policy(**settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"group_size": 0}, "group_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
    ],
)
def test_settings_of_pre_training_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        next(pretrain(new_policy(hidden_size=16, layers=1, heads=2), **settings))
