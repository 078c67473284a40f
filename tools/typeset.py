"""Typeset the book: LaTeX to PDF, with a clear word about what is missing on this machine.

python tools/typeset.py needs                                     # fail where a program or a font is missing
python tools/typeset.py run build/pdf/_build/latex build/ostrl.pdf
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chromium

# what the machine must have -> the Debian package that brings it
PROGRAMS = {"xelatex": "texlive-xetex", "latexmk": "latexmk"}
FILES = {
    "tcolorbox.sty": "texlive-latex-extra",
    "pzdr.tfm": "texlive-fonts-recommended",
    "unicode-math.sty": "texlive-xetex",
    "texgyrepagella-regular.otf": "fonts-texgyre",
    "texgyrepagella-math.otf": "fonts-texgyre-math",
}
FONTS = {"DejaVu Sans Mono": "fonts-dejavu-core"}


def succeeds(program: str, *arguments: str) -> bool:
    path = shutil.which(program)
    return bool(path) and subprocess.run([path, *arguments], capture_output=True, check=False).returncode == 0


def missing() -> list[str]:
    """The Debian packages that this machine lacks."""
    packages = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    packages += [package for file, package in FILES.items() if not succeeds("kpsewhich", file)]
    packages += [package for font, package in FONTS.items() if not succeeds("fc-list", "-q", font)]
    if not chromium.find():
        packages.append("chromium")
    return list(dict.fromkeys(packages))


def typeset(folder: Path, target: Path) -> int:
    """Run XeLaTeX as often as the references need; on an error, show what the log says about it."""
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error", "-silent", "ostrl.tex"]
    # lines of the log in one piece, for whoever reads them
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"max_print_line": "10000"}, capture_output=True, check=False
    )
    log = folder / "ostrl.log"
    if result.returncode:
        lines = log.read_text(encoding="utf8", errors="replace").splitlines() if log.exists() else []
        start = next((i for i, line in enumerate(lines) if line.startswith("!")), max(len(lines) - 20, 0))
        print("\n".join(["LaTeX failed:", *lines[start : start + 12], f"All of it: {log}"]), file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "ostrl.pdf", target)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("needs")
    run = commands.add_parser("run")
    run.add_argument("folder", type=Path)
    run.add_argument("target", type=Path)
    options = parser.parse_args()
    if options.command == "run":
        return typeset(options.folder, options.target)
    packages = missing()
    if packages:
        print(
            f"The PDF needs more than Python. On Debian: apt-get install --no-install-recommends {' '.join(packages)}\n"
            "Elsewhere: TeX Live with XeLaTeX, latexmk, the TeX Gyre and DejaVu fonts, and Chromium or Chrome "
            "($CHROMIUM names another binary).",
            file=sys.stderr,
        )
    return int(bool(packages))


if __name__ == "__main__":
    sys.exit(main())
