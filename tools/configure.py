"""Write build/_config.yml: the book's configuration plus the version and the address of this copy of it.

The one setting is ``OSTRL_REPOSITORY=owner/name`` (GitHub). The site is then https://owner.github.io/name/, unless
``OSTRL_SITE`` says otherwise. Without the setting nothing is invented: no launch, edit or repository buttons, no
canonical address, no sitemap, no Open Graph address.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[1]
CARD = "The title of the book beside a triangle of policies, where gradient ascent runs from everywhere to one corner"


def addresses(env: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The repository (owner/name) and the address of the site, or ``None`` for what is not set."""
    repository = env.get("OSTRL_REPOSITORY", "").strip() or None
    if repository and not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", repository):
        raise ValueError(f"OSTRL_REPOSITORY must read owner/name, got {repository!r}")
    site = env.get("OSTRL_SITE", "").strip() or None
    if site and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", site):
        raise ValueError(f"OSTRL_SITE must be an address that starts with https://, got {site!r}")
    if repository and not site:
        owner, name = repository.split("/")
        host = f"https://{owner.lower()}.github.io/"
        site = host if name.lower() == f"{owner.lower()}.github.io" else f"{host}{name}/"
    if site and not site.endswith("/"):
        site += "/"
    return repository, site


def edition(changed: str | None) -> str:
    """Which state of the book a page shows, for its footer; ``changed`` is the day of the last commit to the book."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    words = f"Version {project['version']}" + (f" ({changed})" if changed else "")
    return f"<p>{words}</p>"


def last_change(folder: Path) -> str | None:
    """The day of the last commit to a folder as YYYY-MM-DD, or ``None`` where git does not know it."""
    command = ["git", "-C", str(folder), "log", "-1", "--format=%cs", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git here
        return None
    return done.stdout.strip() or None


def configured(config: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with the addresses of ``env`` in it, to be read from the folder build/."""
    repository, site = addresses(env)
    branch = env.get("OSTRL_BRANCH", "main")
    changed = last_change(ROOT)
    config["html"]["extra_footer"] = edition(changed)
    sphinx = config["sphinx"]
    for name, path in sphinx.get("local_extensions", {}).items():
        sphinx["local_extensions"][name] = f"../book/{path}"
    settings = sphinx["config"]
    if changed:  # each page's own day; a clone without history knows none, and that is no error
        settings["extensions"] += ["sphinx_last_updated_by_git"]
        settings |= {"html_last_updated_fmt": "%Y-%m-%d", "suppress_warnings": ["git.too_shallow"]}
    root = urlsplit(site).path if site else "/"  # the page for an address that there is not links from here
    settings |= {"notfound_urls_prefix": root, "notfound_context": {"title": "Page not found", "root": root}}
    if repository:
        config["repository"] = {
            "url": f"https://github.com/{repository}",
            "path_to_book": "",
            "branch": branch,
        }
        config["launch_buttons"] = {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        }
        config["html"] |= {"use_repository_button": True, "use_edit_page_button": True, "use_issues_button": True}
    else:  # Jupyter Book's own default names its authors' repository
        config["repository"] = {"url": "", "path_to_book": "", "branch": "main"}
    if site:
        config["html"]["baseurl"] = site
        settings["extensions"] += ["sphinxext.opengraph", "sphinx_sitemap"]
        settings |= {
            "ogp_site_url": site,
            "ogp_social_cards": {"enable": False},
            "ogp_image": "_static/card.png",
            "ogp_image_alt": CARD,
            "ogp_custom_meta_tags": ['<meta name="twitter:card" content="summary_large_image">'],
            "sitemap_url_scheme": "{link}",
            "sitemap_excludes": ["404.html"],
            "sitemap_show_lastmod": bool(changed),
        }
    return config


def main() -> int:
    config = yaml.safe_load((ROOT / "book/_config.yml").read_text(encoding="utf8"))
    try:
        config = configured(config, os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    target = ROOT / "build/_config.yml"
    target.parent.mkdir(exist_ok=True)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    target.write_text("# Written by tools/configure.py from book/_config.yml: edit that one.\n" + text, encoding="utf8")
    repository, site = addresses(os.environ)
    print(f"{target.relative_to(ROOT)}: repository {repository or 'not set'}, site {site or 'not set'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
