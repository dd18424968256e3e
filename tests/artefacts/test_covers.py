"""Which directories are covered, so that each area is, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.artefacts.covers import plan


def _paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize(
    ("cwd", "output", "mounted", "covered"),
    [
        ("/a", "/a", [], {"/a": []}),
        ("/a", "/b", [], {"/a": [], "/b": []}),
        ("/a/b", "/a", [], {"/a": []}),
        ("/a", "/a/b/c", [], {"/a": []}),
        ("/a", "/ab", [], {"/a": [], "/ab": []}),
        ("/a", "/a/m/b", ["/", "/a/m", "/a/m/n", "/c"], {"/a": ["/a/m"], "/a/m/b": []}),
        ("/a", "/a/m", ["/a/m", "/a/m/n"], {"/a": ["/a/m"], "/a/m": ["/a/m/n"]}),
        ("/a", "/a/b", ["/a/m", "/a/b/n"], {"/a": ["/a/b/n", "/a/m"]}),
        ("/a", "/a", ["/a"], {"/a": []}),
        ("/", "/a", ["/", "/a/m"], {"/a": ["/a/m"]}),
        ("/", "/", ["/"], {}),
    ],
)
def test_each_area_is_covered_once(cwd: str, output: str, mounted: list[str], covered: dict[str, list[str]]) -> None:
    planned = plan({"cwd": Path(cwd), "output": Path(output)}, _paths(*mounted), [])
    assert planned.holes == {Path(root): tuple(map(Path, holes)) for root, holes in covered.items()}
    for name, root in (("cwd", cwd), ("output", output)):
        assert (name in planned.inside) != (name in planned.refused)
        if name in planned.inside:
            assert Path(root).is_relative_to(planned.inside[name])


def test_what_goes_through_is_a_hole() -> None:
    planned = plan({"cwd": Path("/home/me")}, [], _paths("/home/me/.cache", "/home/me/.cache/dib-py", "/var/tmp/b"))
    assert planned.holes == {Path("/home/me"): (Path("/home/me/.cache"),)}


@pytest.mark.parametrize("through", ["/a", "/a/b"])
def test_an_area_in_what_goes_through_is_refused(through: str) -> None:
    planned = plan({"cwd": Path("/a/b"), "output": Path("/c")}, [], _paths(through))
    assert through in planned.refused["cwd"]
    assert planned.inside == {"output": Path("/c")}
