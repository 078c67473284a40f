"""The package as others get it: what is in the wheel, and the notebooks' first cell, as Colab would run it.

The wheel is built from the source distribution. Colab is an environment of its own, with everything that ``ostrl``
needs and without ``ostrl``; its packages are links to those of this environment, and pip may use nothing but the wheel.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))

import ostrl_colab  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LEFT_OUT = shutil.ignore_patterns(".*", "node_modules", "build", "dist", "*.egg-info", "__pycache__")
BUILD = "from setuptools.build_meta import build_sdist; import sys; print(build_sdist(sys.argv[1]))"

# Run by IPython's own shell, as a kernel does; argv says whether this is Colab, and where the notebooks' cells are.
SHELL = """
import importlib.util, json, sys, types
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

where, notebooks = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
if where == "colab":
    sys.modules |= {name: types.ModuleType(name) for name in ("google", "google.colab")}
shell = InteractiveShell.instance()
for cells in notebooks:
    shell.reset()
    for cell in cells:
        shell.run_cell(cell).raise_error()
found = importlib.util.find_spec("ostrl")
print("ostrl:", found and found.origin)
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    source = shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    name = run(sys.executable, "-c", BUILD, folder, cwd=source).split()[-1]
    return folder / name


@pytest.fixture(scope="module")
def wheel(sdist):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", sdist.parent, sdist)
    (path,) = sdist.parent.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in files if name.split("/")[0].endswith(".dist-info")}
    wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ostrl").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert files - about == wanted
    for kind in ("ostrl/py.typed", "/model.safetensors", ".mjs", "results/samples.json"):
        assert any(name.endswith(kind) for name in wanted), kind
    assert any(name.endswith("/LICENSE") for name in about)


def test_the_source_distribution_builds_the_book_s_package_alone(sdist):
    with tarfile.open(sdist) as archive:
        folders = {name.split("/")[1] for name in archive.getnames() if name.count("/") > 1}
    assert folders <= {"ostrl", "ostrl.egg-info", "tests"}  # setuptools adds the tests


@pytest.fixture
def colab(tmp_path_factory):
    """An environment with all that ostrl needs, and no ostrl; gives its Python."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in packages.glob("*setuptools*"):  # Python's own is older than what builds ostrl
        shutil.rmtree(entry)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        ours = "ostrl" in entry.name or entry.suffix in (".pth", ".egg-link")
        if not ours and not (packages / entry.name).exists() and not entry.name.startswith("pip-"):
            (packages / entry.name).symlink_to(entry)
    return folder / "bin/python"


def cells_of(path):
    """The cell for Colab, and the next code cell: the imports."""
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return code[:2]


def test_the_first_cell_installs_ostrl_on_colab_and_does_nothing_elsewhere(wheel, colab, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment |= {
        "IPYTHONDIR": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent), "PIP_NO_CACHE_DIR": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def shell(where, notebooks):
        (tmp_path / "cells.json").write_text(json.dumps(notebooks))
        return run(colab, "-c", SHELL, where, tmp_path / "cells.json", env=environment, cwd=tmp_path)

    notebooks = [cells_of(path) for path in NOTEBOOKS]
    first = notebooks[0][0]
    assert {cell for cell, _ in notebooks} == {first}
    assert shell("elsewhere", [[first]]) == "ostrl: None\n"
    shell("colab", notebooks[:1])
    found = shell("elsewhere", notebooks).split("ostrl: ")[-1].strip()
    assert Path(found).is_relative_to(colab.parents[1])  # not this working copy


def test_the_site_s_first_cell_installs_ostrl_from_a_repository(sdist, colab, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "."),
        (*who, "commit", "--quiet", "-m", "It"),
    ):
        run("git", "-C", source, *words)
    notebook = ostrl_colab.addressed(NOTEBOOKS[0].read_text(encoding="utf8"), f"file://localhost{source}", "main")
    (tmp_path / "site.ipynb").write_text(notebook, encoding="utf8")
    (tmp_path / "cells.json").write_text(json.dumps([cells_of(tmp_path / "site.ipynb")]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment |= {
        "IPYTHONDIR": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_CACHE_DIR": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    run(colab, "-c", SHELL, "colab", tmp_path / "cells.json", env=environment, cwd=tmp_path)
    (told,) = colab.parents[1].glob("lib/python*/site-packages/ostrl-*.dist-info/direct_url.json")
    assert json.loads(told.read_text())["vcs_info"]["vcs"] == "git"
