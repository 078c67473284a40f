"""environment.yml (Binder, conda) asks for what pyproject.toml asks for, and constraints.txt pins it.

No conda, network or Docker is needed: repo2docker's own reader looks at the files.
"""

import contextlib
import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = [d for d in ENVIRONMENT["dependencies"] if isinstance(d, str)]
PIP = [r for d in ENVIRONMENT["dependencies"] if isinstance(d, dict) for r in d["pip"]]
CONSTRAINTS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]

# What conda-forge calls a package, where that is not its name on PyPI.
PIP_NAME = {"pytorch-cpu": "torch"}


def requirement(text: str) -> tuple[str, SpecifierSet]:
    """Name and versions, from pip's spelling or from conda's (which is the same for ranges)."""
    parsed = Requirement(text)
    assert parsed.url is None and parsed.marker is None and not parsed.extras, text
    return canonicalize_name(PIP_NAME.get(parsed.name, parsed.name)), parsed.specifier


def needed(extra: str) -> list[Requirement]:
    """The requirements of an extra, with references to the project's other extras followed."""
    found = []
    for parsed in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if parsed.name == PROJECT["name"]:
            found += [r for other in sorted(parsed.extras) for r in needed(other)]
        else:
            found.append(parsed)
    return found


def test_environment_has_the_shape_binder_and_conda_read():
    assert set(ENVIRONMENT) == {"name", "channels", "dependencies"}  # no prefix, no variables
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]
    assert [re.split(r"[=<>]", d)[0] for d in CONDA] == ["python", "pip", *PIP_NAME]


def test_python_is_one_the_project_supports():
    (python,) = (re.fullmatch(r"python=(3\.\d+)", d) for d in CONDA if d.startswith("python"))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python[1]}.0")


def test_environment_asks_for_what_pyproject_asks_for():
    written = [requirement(d) for d in CONDA if not re.match(r"(python|pip)\b(?!-)", d)]
    written += [requirement(d) for d in PIP]
    wanted = [requirement(d) for d in PROJECT["dependencies"]]
    wanted += [requirement(str(r)) for r in needed("lab")]
    assert len(dict(written)) == len(written), "a package is listed twice"
    assert dict(written) == dict(wanted)  # an extra that names a package again narrows its range


def test_pip_does_not_install_what_conda_did():
    assert {requirement(d)[0] for d in PIP}.isdisjoint(PIP_NAME.values())


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_constraints_pin_a_version_that_is_allowed(extra):
    pinned = {canonicalize_name(r.name): r.specifier for r in CONSTRAINTS}
    assert len(pinned) == len(CONSTRAINTS), "a package is pinned twice"
    wanted = needed(extra) if extra else [Requirement(d) for d in PROJECT["dependencies"]]
    for r in wanted:
        (pin,) = pinned[canonicalize_name(r.name)]
        assert pin.operator == "=="
        assert r.specifier.contains(pin.version), f"{r} is pinned to {pin.version}"


def test_tests_run_on_the_pinned_versions():
    """`make` installs them; a run on anything else says so here, and not by a figure that looks different."""
    wanted = [Requirement(d) for d in PROJECT["dependencies"]]
    wanted += [r for extra in ("book", "test") for r in needed(extra)]
    pinned = {canonicalize_name(r.name): r.specifier for r in CONSTRAINTS}
    installed = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions()}
    other = {}
    for name in (canonicalize_name(r.name) for r in wanted):
        if name not in installed or not pinned[name].contains(installed[name]):
            other[name] = installed.get(name)
    assert not other, f"not the versions of constraints.txt: {other}"


def test_repo2docker_reads_the_environment():
    buildpacks = pytest.importorskip("repo2docker.buildpacks")
    with contextlib.chdir(ROOT):
        pack = buildpacks.CondaBuildPack("docker.io/library/buildpack-deps:jammy")
        pack.platform = "linux/amd64"
        assert pack.detect()
        assert pack.environment_yaml["dependencies"] == ENVIRONMENT["dependencies"]
        assert f"python={pack.python_version}" in CONDA
        assert not pack.separate_kernel_env  # JupyterLab and the kernel share one environment
        assert pack._should_preassemble_env  # no local path in it, so its layer is cached until it changes
        assert "env update" in pack.render(build_args={"NB_UID": "1000", "NB_USER": "jovyan"})


def test_post_build_installs_the_project_and_nothing_else():
    assert os.access(ROOT / "postBuild", os.X_OK)
    commands = re.findall(r"^(?!#|set ).+$", (ROOT / "postBuild").read_text(), re.MULTILINE)
    assert commands == ["pip install --no-cache-dir --no-deps ."]
