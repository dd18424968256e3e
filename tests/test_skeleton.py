"""New elements: what they begin with is well-formed, and they are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.element import Catalog
from dib_py.errors import UsageError
from dib_py.lint import lint
from dib_py.phases import EXTRA_DATA, PHASES, POST_INSTALL
from dib_py.readme import parse
from dib_py.skeleton import Skeleton
from dib_py.windows import declarations

EVERYTHING = Skeleton(
    "web",
    "Serves pages.",
    PHASES,
    ["nginx", "libc6"],
    ["dib-init-system", "svc-map"],
    {"DIB_WEB_PORT": "80", "DIB_WEB_TITLE": "it's a $page `x` }", "DIB_WEB_ROOT": "", "DIB_WEB_NAME": "a  b"},
)


FOR_WINDOWS = Skeleton(
    "wallpaper", "Hangs a picture.", [EXTRA_DATA], needs=["rdp"], variables={"DIB_PICTURE": "sea"}, windows=True
)


@pytest.mark.parametrize(
    "skeleton",
    [
        Skeleton("web"),
        Skeleton("w-2", phases=[POST_INSTALL]),
        EVERYTHING,
        Skeleton("panes", windows=True),
        FOR_WINDOWS,
    ],
    ids=lambda skeleton: skeleton.name,
)
def test_lint_finds_nothing(skeleton: Skeleton, tmp_path: Path) -> None:
    skeleton.write(tmp_path)
    assert [str(finding) for finding in lint([tmp_path]).findings] == []
    assert [path.name for path in tmp_path.iterdir()] == [skeleton.name]


def test_what_it_has(tmp_path: Path) -> None:
    path = EVERYTHING.write(tmp_path / "new" / "elements")
    element = Catalog.load([tmp_path / "new" / "elements"]).get("web")
    assert element is not None
    assert element.deps == ("dib-init-system", "package-installs", "svc-map")
    assert element.description == "Serves pages."
    assert (path / "package-installs.yaml").read_text() == "libc6:\nnginx:\n"
    assert {variable.name for variable in element.readme.variables} == set(EVERYTHING.variables)
    for phase in PHASES:
        hook = path / phase.directory / "50-web"
        assert os.access(hook, os.X_OK)
        subprocess.run([hook], check=True, capture_output=True)


def test_one_for_windows(tmp_path: Path) -> None:
    path = FOR_WINDOWS.write(tmp_path)
    element = Catalog.load([tmp_path])["wallpaper"]
    assert element.declares == ("registry.d",)
    text = (path / "registry.d/50-wallpaper.yaml").read_text()
    assert "${DIB_PICTURE}" in text
    # as it stands when its author takes the marks of the comment away
    meant = path / "registry.d/60-meant.yaml"
    meant.write_text("".join(f"{line[2:]}\n" for line in text.splitlines()[2:]))
    [edits] = [
        declarations.read(one, {"DIB_PICTURE": "sea"}).value
        for one in declarations.find([element])
        if one.path == meant
    ]
    assert repr("sea".encode("utf-16-le"))[2:-1] in repr(edits)
    with pytest.raises(UsageError, match="no packages"):
        Skeleton("x", packages=["nginx"], windows=True)
    with pytest.raises(UsageError, match="no hook of post-install runs"):
        Skeleton("x", phases=[POST_INSTALL], windows=True)


@settings(max_examples=40)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
def test_a_default_is_what_bash_reads(default: str) -> None:
    text = Skeleton("web", variables={"DIB_WEB": default}).files["environment.d/10-web.bash"]
    script = f'{text}\nprintf "%s" "$DIB_WEB"'
    for environment, expected in (({}, default), ({"DIB_WEB": "mine"}, "mine")):
        done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == expected


@pytest.mark.parametrize("name", ["", "w.b", "-web", "we b", "web/x", "wéb", "..", "#web"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="no name for an element"):
        Skeleton(name)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"variables": {"DIB-WEB": ""}}, "'DIB-WEB' is no name of a variable"),
        ({"needs": ["a b"]}, "'a b' is no name of an element"),
        ({"needs": ["web"]}, "can't need itself"),
        ({"packages": ["a: b"]}, "'a: b' is no name of a package"),
        ({"packages": ["#x"]}, "'#x' is no name of a package"),
        ({"summary": "two\nlines"}, "has to be one line"),
    ],
)
def test_what_no_element_could_have(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Skeleton("web", **wanted)


@pytest.mark.parametrize("kind", ["directory", "file", "broken link"])
def test_what_is_there_is_left_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "web"
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already"):
        Skeleton("web").write(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["web"]
    if kind == "directory":
        assert list(path.iterdir()) == []


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text = Path.write_text

    def full(path: Path, content: str) -> int:
        if path.name == "50-web":
            raise OSError(28, "No space left on device")
        return write_text(path, content)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="No space left on device"):
        EVERYTHING.write(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_summary_is_a_sentence() -> None:
    assert parse(Skeleton("web", "Serves pages").files["README.rst"]).summary == "Serves pages."
