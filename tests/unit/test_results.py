"""Stored results: they can be read, they say where they come from, and a wrong name gets a helpful answer."""

import json
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from ostrl import results


@pytest.mark.parametrize("name", results.available())
def test_every_stored_result_loads(name):
    stored = json.loads(resources.files("ostrl.results").joinpath(f"{name}.json").read_text("utf-8"))
    assert results.load(name) == stored


def test_an_unknown_name_is_told_what_exists():
    with pytest.raises(ValueError, match=r"name must be one of .*timings.*, got 'timing'"):
        results.load("timing")


@pytest.mark.parametrize("name", ["../results/timings", "timings.json", ""])
def test_a_name_is_not_a_path(name):
    with pytest.raises(ValueError, match="name must be one of"):
        results.load(name)


def test_a_name_is_a_string():
    with pytest.raises(TypeError, match="name must be a string, got int"):
        results.load(3)


@pytest.mark.parametrize("run", results.load("timings")["runs"], ids=lambda run: run["device"])
def test_timings_have_provenance(run):
    provenance = run["provenance"]
    assert provenance["command"].startswith("python benchmarks/run.py")
    assert {"date", "python", "system", "versions", "threads", "dtype", "repeats"} <= set(provenance)
    assert {"ostrl", "torch", "numpy"} <= set(provenance["versions"])
    assert all(z <= 6 for z in run["largest_z_against_exact"].values())


@pytest.mark.parametrize("run", results.load("timings")["runs"], ids=lambda run: run["device"])
def test_timings_are_complete_and_in_order(run):
    names = {row["implementation"] for row in run["rows"]}
    assert {"ostrl", "torch", "exact sum"} <= names
    for name in names & {"ostrl", "torch", "exact sum"}:
        own = [row for row in run["rows"] if row["implementation"] == name]
        assert [row["samples"] for row in own if row["sweep"] == "samples"] == [10**k for k in range(2, 7)]
        assert [row["answers"] for row in own if row["sweep"] == "answers"] == [2, 10, 100, 1000, 10_000]
    for row in run["rows"]:
        assert all(math.isfinite(x) and x > 0 for x in row["seconds"] + row["ratio"])
        assert row["seconds"] == sorted(row["seconds"])
        assert row["implementation"] != "torch" or row["ratio"] == [1.0, 1.0, 1.0]


def test_there_is_one_run_a_device():
    devices = [run["device"] for run in results.load("timings")["runs"]]
    assert len(devices) == len(set(devices))


def test_the_benchmark_runs_and_keeps_other_devices(tmp_path):
    output = tmp_path / "timings.json"
    output.write_text(json.dumps({"runs": [{"device": "another"}, {"device": "CPU, 1 core", "rows": []}]}))
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"
    small = ["--samples", "10", "--answers", "3", "--repeats", "2", "--device", "cpu", "--output", str(output)]
    subprocess.run([sys.executable, str(script), *small], check=True, capture_output=True)
    runs = json.loads(output.read_text("utf-8"))["runs"]
    assert [run["device"] for run in runs] == ["CPU, 1 core", "another"]
    assert {row["implementation"] for row in runs[0]["rows"]} >= {"ostrl", "torch", "exact sum"}
