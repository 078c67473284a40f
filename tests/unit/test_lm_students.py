"""The class: exact probabilities, typical mistakes, right about half of the time."""

import math

import pytest

from ostrl.lm import homework, students

PRACTICED = [name for name, kind in homework.KINDS.items() if kind.practiced]


def accuracy(split, kind=None):
    """The exact probability that the class is right on a prompt of a split."""
    chosen = [p for p in homework.prompts(split) if kind in (None, homework.kind(p))]
    return math.fsum(students.distribution(p)[homework.solve(p)] for p in chosen) / len(chosen)


@pytest.mark.parametrize("split", homework.SPLITS)
def test_every_prompt_of_every_split_has_a_distribution_with_the_right_answer_in_it(split):
    for prompt in homework.prompts(split):
        mixture = students.distribution(prompt)
        assert abs(math.fsum(mixture.values()) - 1) < 1e-12
        assert all(0 < probability < 1 for probability in mixture.values())
        assert mixture[homework.solve(prompt)] > 0.2  # a grader has something to keep everywhere
        assert next(iter(mixture)) == homework.solve(prompt)


@pytest.mark.parametrize("split", ["homework", "train", "held_out"])
def test_the_class_is_right_about_half_of_the_time(split):
    assert 0.47 < accuracy(split) < 0.55


@pytest.mark.parametrize("kind", PRACTICED)
def test_the_class_is_right_about_half_of_the_time_on_every_kind(kind):
    assert 0.45 < accuracy("train", kind) < 0.6


def wrong_mode(prompt):
    mixture = students.distribution(prompt)
    return max(mixture, key=mixture.__getitem__) != homework.solve(prompt)


@pytest.mark.parametrize(
    "kind, hard",
    [
        ("add", lambda a, b: int(a[-1]) + int(b[-1]) >= 10),
        ("take", lambda a, b: int(a[-1]) > int(b[-1])),
        ("reverse", lambda a: a.endswith("0")),
        ("sort", lambda a: 1 < len(set(a)) < len(a)),
        ("larger", lambda a, b: False),
        ("double", lambda a: any(digit in "56789" for digit in a[1:])),
    ],
)
def test_the_likeliest_answer_is_wrong_exactly_where_there_is_something_to_mind(kind, hard):
    split = "train" if homework.KINDS[kind].practiced else "kinds"
    chosen = [p for p in homework.prompts(split) if homework.kind(p) == kind]
    expected = [hard(*homework.parse(prompt)[1]) for prompt in chosen]
    assert [wrong_mode(prompt) for prompt in chosen] == expected
    assert kind == "larger" or any(expected)


@pytest.mark.parametrize(
    "prompt, answer, name",
    [
        ("add 47 38:", "75", "forgot the carry"),  # likelier than that it is off by ten
        ("add 47 38:", "95", "off by ten"),
        ("add 47 38:", "86", "off by one"),
        ("larger of 45 52:", "25", "swapped digits"),
        ("add 87 86:", "163", "forgot the carry"),  # the leftmost column is written out
        ("take 19 from 45:", "34", "took the smaller digit"),
        ("take 19 from 45:", "36", "off by ten"),
        ("take 19 from 45:", "25", "off by one"),
        ("reverse 4280:", "824", "dropped the zero"),
        ("reverse 4281:", "4281", "left it as it was"),
        ("reverse 4281:", "8124", "swapped digits"),
        ("reverse 4281:", "184", "dropped a digit"),
        ("sort 4284:", "248", "wrote a digit once"),
        ("sort 4281:", "8421", "largest first"),
        ("larger of 45 54:", "45", "took the smaller"),
        ("double 4731:", "8462", "forgot the carry"),
    ],
)
def test_mistakes_have_names(prompt, answer, name):
    assert students.mistake(prompt, answer) == name
    assert students.distribution(prompt)[answer] > 0


@pytest.mark.parametrize("answer", ["85", "", "7", "twelve", "085"])
def test_what_is_right_or_not_the_classs_has_no_name(answer):
    assert students.mistake("add 47 38:", answer) is None


def test_two_mistakes_with_one_answer_add_up():
    mixture = students.distribution("add 47 38:")
    rates = students.RATES["add"]
    assert mixture["75"] == pytest.approx(rates["forgot the carry"] + rates["off by ten"] / 2, abs=1e-12)
    assert mixture["95"] == pytest.approx(rates["off by ten"] / 2, abs=1e-12)


def test_the_rate_of_a_mistake_that_is_not_possible_goes_to_the_right_answer():
    mixture = students.distribution("add 41 38:")  # no carry
    rates = students.RATES["add"]
    assert mixture["79"] == pytest.approx(1 - sum(rates.values()) + rates["forgot the carry"], abs=1e-12)


def test_every_wrong_answer_has_a_name_and_every_rate_is_used():
    for prompt in homework.prompts("held_out") + homework.prompts("kinds"):
        wrong = set(students.distribution(prompt)) - {homework.solve(prompt)}
        assert wrong
        assert all(students.mistake(prompt, answer) in students.RATES[homework.kind(prompt)] for answer in wrong)
    assert students.RATES.keys() == homework.KINDS.keys()


def test_what_is_no_homework_is_refused():
    with pytest.raises(ValueError, match="prompt must be homework"):
        students.distribution("add 4 to 7")
    with pytest.raises(ValueError, match="prompt must be homework"):
        students.mistake("hello", "7")
