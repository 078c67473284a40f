"""The workflows call what exists, and nothing is published that has not passed every check."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}


def commands(name):
    """Everything that a workflow runs, in order, the actions that it uses among it."""
    steps = [step for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]
    return [step.get("run") or step["uses"] for step in steps]


def position(name, what):
    return next(i for i, command in enumerate(commands(name)) if what in command)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_what_there_is(name):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for command in commands(name):
        called = re.findall(r"\bmake ([a-z]+(?: [a-z]+)*)", command)
        assert {target for words in called for target in words.split()} <= targets
        for script in re.findall(r"bash (\S+)", command):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize(
    "name, publishes",
    [("publish", "actions/deploy-pages"), ("publish", "upload-pages-artifact"), ("release", "gh release create")],
)
def test_nothing_is_published_unchecked(name, publishes):
    assert position(name, "bash .ci/run") < position(name, publishes)


def test_a_release_has_the_package_the_site_and_the_printed_book():
    made = "\n".join(commands("release"))
    model = re.search(r"grep -F (\S+)", made)[1]
    assert (ROOT / model).is_file()
    files = "build/ostrl.pdf build/ostrl.epub build/ostrl-kindle.epub"
    for part in ("make epub pdf", f"cp dist/* {files} release/", "ostrl-site.zip"):
        assert part in made
    assert position("release", "make epub pdf") < position("release", "gh release create")


@pytest.mark.parametrize("name", ["publish", "release"])
def test_the_printed_book_is_there_when_the_site_that_carries_it_is_built(name):
    assert position(name, "texlive-xetex") <= position(name, "make epub pdf") < position(name, "bash .ci/run")


def test_links_to_other_sites_are_asked_for_on_a_schedule_and_never_in_the_checks():
    assert "schedule" in WORKFLOWS["links"][True]  # YAML reads the key "on" as true
    assert position("links", "make links") >= 0
    test = re.search(r"^test: (.*?) ##", (ROOT / "Makefile").read_text(), re.M)[1]
    assert "links" not in test.split()
