"""The tests that every chapter's exercises have: right answers pass, wrong ones are told why, none is no mistake."""

import pytest

from ostrl import exercises


def judged(chapter, right, wrong):
    """Three tests, for a chapter's right answers and for its wrong ones with words of their diagnosis.

    Each is a list with the exercise's number in front, or a dictionary by number.
    """
    passing = _listed(right, lambda answer: (answer,))
    refused = _listed(wrong, tuple)
    numbers = [number for number in exercises.exercises() if number.startswith(f"{chapter}.")]

    @pytest.mark.parametrize("number, answer", passing)
    def test_right_answers_pass(number, answer):
        verdict = exercises.check(number, answer)
        assert verdict.correct is True, verdict

    @pytest.mark.parametrize("number, answer, diagnosis", refused)
    def test_wrong_answers_are_told_why(number, answer, diagnosis):
        verdict = exercises.check(number, answer)
        assert verdict.correct is False, verdict
        assert diagnosis in verdict.message, verdict

    def test_covered():
        assert numbers
        assert {number for number, *_ in passing} == set(numbers) == {number for number, *_ in refused}
        assert all(exercises.check(number, None).correct is None for number in numbers)

    return test_right_answers_pass, test_wrong_answers_are_told_why, test_covered


def _listed(cases, case):
    if isinstance(cases, dict):
        return [(number, *case(one)) for number, several in cases.items() for one in several]
    return cases
