"""Hook directories merged from real trees: order, names, modes, duplicates, staging."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.element import Element
from dib_py.errors import ElementError, FileError
from dib_py.hooks import MergedHooks, list_hooks, merge, sort_key

OBSERVED = ["-5neg", "0x10-h", "abc", "1e1-q", "3-z", "10-B", "10-a", "10_c", "020-w", "20-y", "100-x"]


def write(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def merged(root: Path, *names: str) -> MergedHooks:
    return merge(SimpleNamespace(elements=tuple(Element(name, root / name) for name in names)))


def test_the_order_that_diskimage_builder_was_seen_to_use() -> None:
    assert sorted(set(OBSERVED), key=sort_key) == OBSERVED


@given(st.lists(st.text(alphabet="-_.0123456789abAB", min_size=1, max_size=8), unique=True, max_size=30))
def test_the_order_is_that_of_sort(names: list[str]) -> None:
    lines = "".join(f"{name}\n" for name in names)
    done = subprocess.run(["sort", "-n"], input=lines, env={"LC_ALL": "C"}, capture_output=True, text=True, check=True)
    assert sorted(names, key=sort_key) == done.stdout.splitlines()


def test_hooks_of_all_elements_come_in_one_order(tmp_path: Path) -> None:
    write(tmp_path / "a" / "install.d" / "100-last")
    write(tmp_path / "b" / "install.d" / "20-second")
    write(tmp_path / "a" / "install.d" / "3-first")
    found = merged(tmp_path, "a", "b").hooks("install.d")
    assert [(hook.element, hook.name) for hook in found] == [("a", "3-first"), ("b", "20-second"), ("a", "100-last")]
    assert found[0].source == tmp_path / "a" / "install.d" / "3-first"


def test_two_elements_with_the_same_hook_are_refused_by_name(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "install.d" / "10-x")
    second = write(tmp_path / "b" / "install.d" / "10-x")
    with pytest.raises(ElementError, match=r"a and b both bring install\.d/10-x") as caught:
        merged(tmp_path, "a", "b")
    assert str(first) in str(caught.value) and str(second) in str(caught.value)


def test_other_directories_know_duplicates_too(tmp_path: Path) -> None:
    write(tmp_path / "dpkg" / "bin" / "install-packages")
    write(tmp_path / "yum" / "bin" / "install-packages")
    with pytest.raises(ElementError, match="bin/install-packages"):
        merged(tmp_path, "dpkg", "yum")


def test_deeper_down_the_later_element_wins(tmp_path: Path) -> None:
    write(tmp_path / "a" / "static" / "etc" / "motd", "from a\n")
    write(tmp_path / "a" / "static" / "etc" / "only-a")
    write(tmp_path / "b" / "static" / "etc" / "motd", "from b\n")
    merged(tmp_path, "a", "b").stage(tmp_path / "out")
    assert (tmp_path / "out" / "static" / "etc" / "motd").read_text() == "from b\n"
    assert (tmp_path / "out" / "static" / "etc" / "only-a").is_file()


def test_a_directory_and_a_file_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "static" / "etc" / "thing" / "file")
    write(tmp_path / "b" / "static" / "etc" / "thing")
    with pytest.raises(ElementError, match="static/etc/thing is a directory in one element"):
        merged(tmp_path, "a", "b")


def test_tests_and_compiled_python_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a" / "tests" / "test_a.py")
    write(tmp_path / "a" / "bin" / "__pycache__" / "a.pyc")
    write(tmp_path / "a" / "__pycache__" / "b.pyc")
    write(tmp_path / "a" / ".git" / "HEAD")
    write(tmp_path / "a" / "bin" / "tool")
    assert set(merged(tmp_path, "a").entries) == {"bin", "bin/tool"}


def test_a_hook_without_the_run_bit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "install.d" / "10-forgotten", mode=0o644)
    with pytest.raises(FileError, match="not executable") as caught:
        merged(tmp_path, "a").refuse_unexecutable()
    assert caught.value.path == path
    assert caught.value.hint == f"chmod +x {path}"


def test_data_beside_hooks_is_no_forgotten_hook(tmp_path: Path) -> None:
    write(tmp_path / "a" / "install.d" / "package-installs-a", "vim\n", 0o644)
    write(tmp_path / "a" / "install.d" / "README", "words\n", 0o644)
    write(tmp_path / "a" / "install.d" / "10-rules", "no interpreter\n", 0o644)
    write(tmp_path / "a" / "init.d" / "10-not-a-phase", mode=0o644)
    result = merged(tmp_path, "a")
    result.refuse_unexecutable()
    assert result.hooks("install.d") == []
    assert result.skipped() == []


def test_an_executable_with_a_dot_is_skipped_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "a" / "install.d" / "10-setup.sh")
    result = merged(tmp_path, "a")
    assert result.hooks("install.d") == []
    assert [warning.partition(" does not run")[0] for warning in result.skipped()] == [
        str(tmp_path / "a" / "install.d" / "10-setup.sh")
    ]


def test_other_names_run_when_they_are_allowed(tmp_path: Path) -> None:
    write(tmp_path / "a" / "install.d" / "10-setup.sh")
    result = merge(SimpleNamespace(elements=(Element("a", tmp_path / "a"),)), allowed=r"^[0-9A-Za-z_.-]+$")
    assert [hook.name for hook in result.hooks("install.d")] == ["10-setup.sh"]


def test_staging_keeps_modes_times_and_links(tmp_path: Path) -> None:
    hook = write(tmp_path / "a" / "install.d" / "10-x", "#!/bin/sh\necho x\n", 0o750)
    os.utime(hook, (1_000_000_000, 1_000_000_000))
    (tmp_path / "a" / "static").mkdir()
    (tmp_path / "a" / "static" / "resolv.conf").symlink_to("/run/resolv.conf")
    (tmp_path / "a" / "install.d" / "20-again").symlink_to("10-x")
    write(tmp_path / "a" / "source-repository-a", "a git /opt/a https://example.org/a\n", 0o644)
    merged(tmp_path, "a").stage(tmp_path / "out")
    staged = tmp_path / "out" / "install.d" / "10-x"
    assert staged.stat().st_mode & 0o7777 == 0o750
    assert staged.stat().st_mtime == 1_000_000_000
    assert str((tmp_path / "out" / "static" / "resolv.conf").readlink()) == "/run/resolv.conf"
    assert str((tmp_path / "out" / "install.d" / "20-again").readlink()) == "10-x"
    assert (tmp_path / "out" / "source-repository-a").is_file()
    assert list_hooks(tmp_path / "out" / "install.d") == ["10-x", "20-again"]


def test_a_hook_that_links_out_of_its_element_is_brought_along(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "real-hook", "#!/bin/sh\necho shared\n")
    (tmp_path / "a" / "install.d").mkdir(parents=True)
    (tmp_path / "a" / "install.d" / "10-x").symlink_to("../../shared/real-hook")
    result = merged(tmp_path, "a")
    result.stage(tmp_path / "out")
    staged = tmp_path / "out" / "install.d" / "10-x"
    assert not staged.is_symlink()
    assert staged.read_text() == "#!/bin/sh\necho shared\n"
    assert [hook.name for hook in result.hooks("install.d")] == ["10-x"]


def test_the_phase_is_read_as_it_is_now(tmp_path: Path) -> None:
    write(tmp_path / "install.d" / "10-x")
    write(tmp_path / "install.d" / "data", mode=0o644)
    write(tmp_path / "install.d" / "sub" / "20-y")
    (tmp_path / "install.d" / "30-dangling").symlink_to("nowhere")
    (tmp_path / "install.d" / "5-linked").symlink_to("sub/20-y")
    assert list_hooks(tmp_path / "install.d") == ["5-linked", "10-x"]
    assert list_hooks(tmp_path / "finalise.d") == []


def test_two_hundred_elements_merge_quickly_and_always_the_same(tmp_path: Path) -> None:
    names = [f"e{number:03}" for number in range(200)]
    for number, name in enumerate(names):
        write(tmp_path / name / "install.d" / f"{number:03}-{name}")
    first, second = merged(tmp_path, *names), merged(tmp_path, *reversed(names))
    assert [hook.element for hook in first.hooks("install.d")] == names
    assert dict(first.entries).keys() == dict(second.entries).keys()
