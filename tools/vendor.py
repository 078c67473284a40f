"""Copy what a page needs in the browser out of node_modules, so that the site asks nobody else for it.

Every page needs the faces. MathJax sets the formulas: those of the pages while the book is built, those of cards and of
found passages in the browser. The widget runtime is copied too; the build drops it from the site again where no page
shows a widget. Run ``npm ci --ignore-scripts`` first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

WIDGET_PATHS = """\
/* Resolve the widgets' modules from the book itself, never from a CDN. */
(function () {
  var base = new URL('.', document.currentScript.src).href;
  window.requirejs.config({ waitSeconds: 30, paths: {
    '@jupyter-widgets/html-manager/dist': base + 'html-manager',
    '@jupyter-widgets': base + 'html-manager'
  } });
})();
"""

FILES = {  # from node_modules -> under vendor
    "mathjax/startup.js": "mathjax/startup.js",
    "mathjax/core.js": "mathjax/core.js",
    "mathjax/input/tex.js": "mathjax/input/tex.js",
    "mathjax/input/tex/extensions": "mathjax/input/tex/extensions",
    "mathjax/output/chtml.js": "mathjax/output/chtml.js",
    "mathjax/a11y/assistive-mml.js": "mathjax/a11y/assistive-mml.js",
    "mathjax/LICENSE": "mathjax/LICENSE",
    "@mathjax/mathjax-newcm-font/chtml.js": "mathjax/fonts/mathjax-newcm-font/chtml.js",
    "@mathjax/mathjax-newcm-font/chtml": "mathjax/fonts/mathjax-newcm-font/chtml",
    "requirejs/require.js": "requirejs/require.js",
    "@jupyter-widgets/html-manager/dist/embed-amd.js": "html-manager/embed-amd.js",
}

FACES = "@fontsource-variable"
FONTS = {  # the faces that the pages use, each with its style sheets in the package
    "source-serif-4": ["wght.css", "wght-italic.css"],
    "source-sans-3": ["wght.css"],
    "source-code-pro": ["wght.css"],
}


def fonts(packages: Path, target: Path) -> None:
    """One style sheet for all faces, whole: book/_ext/ostrl_faces.py cuts them to what the pages write."""
    rules = []
    for package, sheets in FONTS.items():
        home, copy = packages / package, target / package
        shutil.copytree(home / "files", copy, ignore=shutil.ignore_patterns("*-opsz-*", "*-standard-*"))
        shutil.copyfile(home / "LICENSE", copy / "LICENSE")
        rules += [(home / sheet).read_text().replace("./files/", f"{package}/") for sheet in sheets]
    (target / "fonts.css").write_text("\n".join(rules))


def vendor(modules: Path, target: Path) -> list[Path]:
    """Copy the listed files below ``target``, replacing what was there; returns what was written."""
    missing = [name for name in [*FILES, *(f"{FACES}/{package}" for package in FONTS)] if not (modules / name).exists()]
    if missing:
        raise FileNotFoundError(f"{', '.join(missing)} not found in {modules}: run `npm ci --ignore-scripts` first")
    shutil.rmtree(target, ignore_errors=True)
    for source, name in FILES.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (modules / source).is_dir():
            shutil.copytree(modules / source, path)
        else:
            shutil.copyfile(modules / source, path)
    for font in (modules / "@jupyter-widgets/html-manager/dist").glob("*.woff2"):
        shutil.copyfile(font, target / "html-manager" / font.name)
    fonts(modules / FACES, target / "fonts")
    (target / "widgets-paths.js").write_text(WIDGET_PATHS)
    return sorted(path for path in target.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=Path, default=ROOT / "node_modules")
    parser.add_argument("--target", type=Path, default=ROOT / "book/_static_src/vendor")
    args = parser.parse_args()
    try:
        files = vendor(args.modules, args.target)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{len(files)} files, {size:.1f} MB in {args.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
