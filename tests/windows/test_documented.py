"""What the page on Windows shows is what the rooms read, and what every element for Windows tells of itself."""

from __future__ import annotations

import re
import textwrap
import zipfile
from pathlib import Path

import pytest

from dib_py.element import WINDOWS, Element
from dib_py.windows import bcd, declarations, drivers, file_list, firewall, kinds, reg_yaml, requirements
from tests.windows.applying import ELEMENTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "windows.rst").read_text()
EXAMPLES = [textwrap.dedent(text) for text in re.findall(r"\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)", PAGE)]
ROOMS = {
    "- key:": reg_yaml,
    "- path:": file_list,
    "- name: app": firewall,
    "- generalized:": requirements,
    "source:": drivers,
    "objects:": bcd,
}
BUILT_IN = [
    element for path in sorted(ELEMENTS.iterdir()) if declarations.find([element := Element(path.name, path, WINDOWS)])
]


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_examples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "element" / "example.yaml"
    path.parent.mkdir()
    path.write_text(text)
    (tmp_path / "app.msi").write_text("")
    zipfile.ZipFile(tmp_path / "app.zip", "w").close()
    (tmp_path / "media" / "guest-agent").mkdir(parents=True)
    (tmp_path / "media" / "guest-agent" / "agent-x86_64.msi").write_text("")
    for driver in ("viostor", "acmecard"):
        (tmp_path / "media" / f"{driver}.inf").write_text("")
    variables = {
        "DIB_APP_MSI": "app.msi",
        "DIB_APP_ZIP": "app.zip",
        "DIB_VIRTIO_WIN": "media",
        "DIB_MODE": "Slow",
    }
    [room] = [room for start, room in ROOMS.items() if text.startswith(start)]
    assert room.parse(path, variables)


def test_there_are_examples_of_all_that_is_yaml() -> None:
    assert len(EXAMPLES) == 7


def test_every_kind_of_file_is_on_the_page() -> None:
    table = PAGE.partition("An element of your own\n")[2]
    for kind in kinds.KINDS:
        place = kind.place if "." in kind.place and not kind.suffixes else f"{kind.place}/"
        assert f"``{place}``" in table, place


@pytest.mark.parametrize("element", BUILT_IN, ids=lambda element: element.name)
def test_every_element_says_what_happens_at_first_boot_and_that_nobody_saw_it(element: Element) -> None:
    text = " ".join((element.path / "README.rst").read_text().split())
    assert re.search(r"first (?:boot|start)|starts from|next started", text, re.IGNORECASE)
    assert re.search(r"not tried|not under Windows|(?:None|No) \w+.* started|read back by other programs", text), (
        "nothing was booted"
    )
    assert f"``{element.name}``" in PAGE


@pytest.mark.parametrize("element", BUILT_IN, ids=lambda element: element.name)
def test_every_variable_of_an_element_is_documented(element: Element) -> None:
    text = (element.path / "README.rst").read_text()
    own = {"DIB_FIRSTBOOT"}
    for path in element.path.rglob("*"):
        if path.is_file() and path.parent.name in {"registry.d", "unattend.d", "firstboot.d", element.name}:
            if path.name == "README.rst" or path.suffix not in {".yaml", ".xml", ".cmd", ".ps1", ".reg"}:
                continue
            for name in set(re.findall(r"\bDIB_\w+", path.read_text())) - own:
                assert f"``{name}``" in text, f"{name} in {path.name}"
