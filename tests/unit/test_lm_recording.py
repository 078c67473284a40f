"""Answers along training: every number of a recording against the model's own forward pass."""

import copy
import itertools
import json

import pytest

pytest.importorskip("transformers")

import tiny_lm
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import ostrl
from ostrl import lm
from ostrl.lm import homework, students
from ostrl.lm.recording import END, pieces, record

PROMPTS = ["one digit:", "digits:"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_lm.write(tmp_path_factory.mktemp("tiny"), spread=0.4)


@pytest.fixture
def policy(folder):
    return lm.load(folder, device="cpu", max_new_tokens=12, temperature=0.8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def answers(recording, step=0):
    return [(p["prompt"], answer) for p in recording["prompts"] for answer in p["samples"][step]]


def test_probabilities_are_those_of_the_model_itself(policy):
    recording = record(policy, tiny_lm.task(), PROMPTS, 8, seeded())
    ended = 0
    for prompt, answer in answers(recording):
        before = policy.tokenizer(prompt)["input_ids"]
        own = [0 if token == END else policy.tokenizer(token)["input_ids"][0] for token in answer["tokens"]]
        with torch.no_grad():
            logits = policy.model(torch.tensor([before + own])).logits[0, len(before) - 1 : -1].double()
        probs = torch.softmax(logits / 0.8, -1)[range(len(own)), own]
        assert answer["probs"] == [pytest.approx(p, rel=0.0051) for p in probs.tolist()]  # three digits
        assert answer["probs"] == [float(f"{p:.3g}") for p in answer["probs"]]
        ended += END in answer["tokens"]
        assert END not in answer["tokens"][:-1]
        assert len(answer["tokens"]) == 12 or answer["tokens"][-1] == END
    assert 0 < ended < 16  # some answers end, some are cut


def test_it_notes_what_the_policy_wrote_and_what_the_teacher_said(policy):
    task = tiny_lm.task()
    recording = record(policy, task, PROMPTS, 8, seeded(), note=lambda prompt, answer: f"{prompt}{answer}"[:-1])
    actions, mask = policy.sample(PROMPTS, 8, seeded())
    texts = list(itertools.chain(*policy.decode(actions, mask)))
    assert len(texts) == 16
    for (prompt, answer), text in zip(answers(recording), texts, strict=True):
        assert "".join(answer["tokens"]).removesuffix(END) == text
        assert answer["reward"] == task.grade(prompt, text)
        assert answer["note"] == f"{prompt}{text}"[:-1]
    rewards = [answer["reward"] for _, answer in answers(recording)]
    assert len(set(rewards)) > 1
    assert recording["accuracy"] == [pytest.approx(sum(r == 1 for r in rewards) / 16, rel=0.005)]


def test_the_same_seed_gives_the_same_recording_and_nothing_is_changed(policy):
    weights = copy.deepcopy(policy.state_dict())
    first, second = (record(policy, tiny_lm.task(), PROMPTS, 4, seeded(3)) for _ in range(2))
    assert first == second != record(policy, tiny_lm.task(), PROMPTS, 4, seeded(4))
    assert all(torch.equal(weights[name], value) for name, value in policy.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_steps_of_training_are_put_one_behind_the_other(folder):
    policy, task, recording = lm.load(folder, device="cpu", max_new_tokens=3), tiny_lm.task(), None
    optimizer, alone = torch.optim.Adam(policy.parameters(), lr=0.01), []
    training = ostrl.train_steps(
        ostrl.METHODS["rloo"], policy, task, optimizer, batch_size=4, group_size=4, generator=seeded(1)
    )
    for step in range(3):
        before = copy.deepcopy(recording)
        longer = record(policy, task, PROMPTS, 2, seeded(step), step=2 * step, method="rloo", earlier=recording)
        assert recording == before
        recording = longer
        alone.append(record(policy, task, PROMPTS, 2, seeded(step), accuracy=0.5))
        next(training)
    assert recording["steps"] == [0, 2, 4]
    assert recording["method"] == "rloo"
    for place, one in enumerate(alone):
        assert answers(recording, place) == answers(one)
    assert alone[0]["accuracy"] == [0.5]
    assert answers(recording, 0) != answers(recording, 2)


def test_homework_is_named_by_kind_key_and_mistake(folder):
    texts = {"add 47 38:": ["85", "75"], "reverse 4281:": ["1824", "9"]}

    class Class(lm.LanguageModelPolicy):  # writes what is given
        def sample(self, prompts, group_size, generator, temperature=None, max_new_tokens=None):
            return self.encode([texts[prompt] for prompt in prompts])

    tiny = lm.load(folder, device="cpu")
    names = {"kind": homework.kind, "key": homework.solve, "note": students.mistake}
    recording = record(Class(tiny.model, tiny.tokenizer), homework.task(), list(texts), 2, seeded(), **names)
    add, reverse = recording["prompts"]
    assert [(p["kind"], p["key"]) for p in (add, reverse)] == [("add", "85"), ("reverse", "1824")]
    right, wrong = add["samples"][0]
    assert (right["tokens"], right["reward"]) == (["8", "5", END], 1)
    assert (wrong["tokens"], wrong["reward"], wrong["note"]) == (["7", "5", END], 0, "forgot the carry")
    assert not any("note" in answer for answer in [right, *reverse["samples"][0]])  # right, or wrong in no known way
    assert recording["accuracy"] == [0.5]


def test_a_recording_is_small_json_that_the_figure_takes(folder):
    live = pytest.importorskip("ostrl.live", exc_type=ImportError)
    policy = lm.load(folder, device="cpu", max_new_tokens=4)
    recording = None
    for step in range(8):
        recording = record(policy, tiny_lm.task(), PROMPTS * 6, 4, seeded(step), step=step, earlier=recording)
    text = json.dumps(recording)
    assert json.loads(text) == recording
    assert len(text) < 60_000
    figure = live.Samples(recording, step=3)
    assert figure.data == recording


def test_wrong_arguments_are_named(policy):
    task = tiny_lm.task()
    old = record(policy, task, PROMPTS, 1, seeded(), step=4)
    good = {"policy": policy, "task": task, "prompts": PROMPTS, "samples": 2, "generator": seeded()}
    for wrong, error, message in [
        ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
        ({"step": -1}, ValueError, "step must be a whole number, at least 0, got -1"),
        ({"step": 0.5}, ValueError, "step must be a whole number, at least 0, got 0.5"),
        ({"accuracy": 71}, ValueError, "accuracy must be from 0 to 1, got 71"),
        ({"prompts": "digits:"}, TypeError, "prompts must be a list of strings, got 'digits:'"),
        ({"prompts": []}, ValueError, "prompts must hold at least one prompt"),
        ({"generator": None}, TypeError, "generator must be a torch.Generator"),
        ({"policy": torch.nn.Linear(1, 1)}, TypeError, "policy must write text"),
        ({"task": [1]}, TypeError, "task must be of class TextTask"),
        ({"earlier": old, "step": 4}, ValueError, "step must be after 4, the last of the earlier ones, got 4"),
        ({"earlier": old, "step": 5, "prompts": PROMPTS[:1]}, ValueError, "prompts must be those of the earlier"),
        ({"earlier": 5}, TypeError, "earlier must be a recording, as record\\(\\) gives it, got int"),
    ]:
        with pytest.raises(error, match=message):
            record(**good | wrong)


def byte_level(text):
    """A tokenizer of single bytes, as GPT-2 writes them, and the tokens of a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate([*alphabet, "<end>"])}, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="<end>")
    return tokenizer, tokenizer(text)["input_ids"]


def word_pieces(text):
    """A tokenizer of words that begin with a space, as sentencepiece writes them, and the tokens of a text."""
    words = ["▁the", "▁carry", "s", "<end>", "<unk>"]
    whole = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    whole.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=whole, eos_token="<end>")
    return tokenizer, [words.index(word) for word in text.split()]


@pytest.mark.parametrize(
    "make, text, expected",
    [
        (byte_level, "a 5é", ["a", " ", "5", "\ufffd", "é"]),
        (byte_level, "→", ["\ufffd", "\ufffd", "→"]),
        (word_pieces, "▁the ▁carry s", ["the", " carry", "s"]),
    ],
)
def test_the_parts_of_any_tokenizer_make_the_whole(make, text, expected):
    tokenizer, tokens = make(text)
    writer = type("Writer", (), {"tokenizer": tokenizer, "end_ids": [tokenizer.eos_token_id]})()
    assert pieces(writer, [*tokens, tokenizer.eos_token_id]) == [*expected, END]
    whole = tokenizer.decode(tokens)
    assert "".join(part for part in expected if part != "\ufffd") == whole
