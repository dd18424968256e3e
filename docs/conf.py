"""Sphinx: the site of docs/, with a page for each element made from its README.rst."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from dib_py import __version__  # noqa: E402 - the checkout's own

project = "dib-py"
author = "the dib-py authors"
version = release = __version__
html_theme = "alabaster"
html_theme_options = {"description": "Operating-system images from elements", "page_width": "1080px"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
exclude_patterns = ["_build"]
pygments_style = "sphinx"
nitpicky = True


def write_element_pages() -> None:
    """Make docs/elements/ afresh: what the elements' READMEs say, and a list of them."""
    pages = HERE / "elements"
    pages.mkdir(exist_ok=True)
    wanted = {f"{readme.parent.name}.rst": readme.read_text() for readme in HERE.parent.glob("elements/*/README.rst")}
    names = "".join(f"   {Path(name).stem}\n" for name in sorted(wanted))
    wanted["index.rst"] = f"Elements\n========\n\n.. toctree::\n   :maxdepth: 1\n\n{names}"
    for page in pages.iterdir():
        if page.name not in wanted:
            page.unlink()
    for name, text in wanted.items():
        page = pages / name
        if not page.exists() or page.read_text() != text:  # untouched pages are not read again
            page.write_text(text)


write_element_pages()
