"""Drawings of a resolution, word for word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dib_py import element, graph
from dib_py.cli.graph import command
from dib_py.element import Catalog
from dib_py.errors import HostError, UsageError
from dib_py.resolve import UnknownElement, resolve

BASIC = Path(__file__).parent / "elements" / "resolve-basic"

DOT = """\
digraph elements {
    rankdir=LR;
    node [shape=box, style=rounded, fontname="sans-serif"];
    edge [fontname="sans-serif", fontsize=10];
    "bootloader";
    "disk-of-ours" [style="rounded,filled", fillcolor="#dce9f7", penwidth=2];
    "vm" [style="rounded,filled", fillcolor="#dce9f7", penwidth=2];
    "vm" -> "bootloader";
    "vm" -> "disk-of-ours" [style=dashed, label="block-device"];
}
"""
MERMAID = """\
graph LR
    e0["bootloader"]
    e1["disk-of-ours"]
    e2["vm"]
    e2 --> e0
    e2 -. "block-device" .-> e1
    classDef asked fill:#dce9f7,stroke-width:3px
    class e2,e1 asked
"""


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.load([], builtin=BASIC)


def test_dot(catalog: Catalog) -> None:
    assert graph.to_dot(resolve(catalog, ["vm", "disk-of-ours"], require_os=False)) == DOT


def test_mermaid(catalog: Catalog) -> None:
    assert graph.to_mermaid(resolve(catalog, ["vm", "disk-of-ours"], require_os=False)) == MERMAID


def test_names_are_quoted(tmp_path: Path) -> None:
    (tmp_path / 'a"b\\c<d').mkdir()
    found = resolve(Catalog.load([], builtin=tmp_path), ['a"b\\c<d'], require_os=False)
    assert '"a\\"b\\\\c<d"' in graph.to_dot(found)
    assert 'e0["a&quot;b\\c&lt;d"]' in graph.to_mermaid(found)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs graphviz")
def test_svg(catalog: Catalog) -> None:
    picture = graph.to_svg(resolve(catalog, ["vm", "disk-of-ours"], require_os=False))
    assert "</svg>" in picture
    assert picture.count("<g ") == 1 + 3 + 2  # the graph, its nodes and its edges


def test_svg_without_graphviz(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="dot is not installed") as caught:
        graph.to_svg(resolve(catalog, ["vm", "disk-of-ours"], require_os=False))
    assert "graphviz" in caught.value.hint


class TestCommand:
    @pytest.fixture(autouse=True)
    def _samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(element, "builtin_elements_dir", lambda: BASIC)
        monkeypatch.delenv("ELEMENTS_PATH", raising=False)

    def printed(self, *args: str) -> str:
        return CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False).stdout

    def test_a_part_of_an_image_with_the_defaults_of_a_build(self) -> None:
        printed = self.printed("-a", "amd64", "vm")
        assert '"vm" -> "block-device-mbr" [style=dashed, label="block-device"];' in printed
        assert '"base" -> "package-names";' in printed
        assert "base" not in self.printed("-n", "vm")

    def test_formats(self) -> None:
        assert self.printed("-n", "vm", "disk-of-ours", "--format", "mermaid") == MERMAID
        assert self.printed("-n", "vm disk-of-ours") == DOT

    def test_errors(self) -> None:
        with pytest.raises(UnknownElement):
            self.printed("vmm")
        with pytest.raises(UsageError):
            self.printed()
