"""Sphinx: the site of docs/, with a page for each element made from its own files."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from element_pages import element_pages  # noqa: E402 - beside this file

from dib_py import __version__  # noqa: E402 - the checkout's own
from dib_py.element import Catalog  # noqa: E402

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
    """Make docs/elements/ afresh; pages that stay as they are are not touched, and not read again."""
    pages = HERE / "elements"
    pages.mkdir(exist_ok=True)
    wanted = element_pages(Catalog.load([], builtin=HERE.parent / "elements"))
    for page in pages.iterdir():
        if page.name not in wanted:
            page.unlink()
    for name, text in wanted.items():
        page = pages / name
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


write_element_pages()
