"""Builds that go on from layers: what runs again, what does not, and that the image is the same either way."""

from __future__ import annotations

import pprint
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dib_py.layers.store import Store
from tests.building import ELEMENTS, add_hook, build, content, left_behind, start

pytestmark = pytest.mark.root


def ran(output: str) -> list[str]:
    """The steps that ran, by name."""
    return re.findall(r"dib-run-parts Running \S*/([\w-]+\.d/\S+)", output)


def hits(output: str) -> list[str]:
    """The steps that layers stood for."""
    return re.findall(r"(\S+\.d/\S+) is done already", output)


def store(directory: Path) -> Store:
    return Store.open(directory / "cache" / "layers")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Path:
    """A directory in which an image was built of the probe element and some more, all of it cold."""
    directory = tmp_path_factory.mktemp("built")
    add_hook(directory, "late", "finalise.d/50-one", "echo one > /one")
    add_hook(directory, "late", "finalise.d/60-two", "echo two > /two")
    add_hook(directory, "late", "install.d/40-work", "echo work > /work; rm -rf /usr/share/doc/apt; chown 7:8 /work")
    code, output = build(directory, debian_tree, "-t", "raw", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert not hits(output)
    return directory


@pytest.fixture
def again(built: Path, tmp_path: Path) -> Path:
    """A copy of it that a test can change; the store is the same for all of them, at its own path."""
    shutil.copytree(built / "elements", tmp_path / "elements")
    (tmp_path / "cache").symlink_to(built / "cache")
    return tmp_path


def test_every_step_has_its_layer(built: Path) -> None:
    kept = list(store(built).records())
    titles = {record.title for record in kept}
    assert {"root.d/10-unpack", "install.d/70-added", "cleanup.d/60-probe", "cleanup.d/close"} <= titles
    assert all(store(built).chain(record.key) for record in kept)


def test_nothing_changed_leaves_the_image_alone(built: Path, debian_tree: Path) -> None:
    before = (built / "out.raw").stat()
    (built / "out.exported").stat()
    code, output = build(built, debian_tree, "-t", "raw", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert not ran(output)
    assert "install.d/70-added" in hits(output)
    assert "is up to date" in output
    after = (built / "out.raw").stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)


def test_an_image_that_the_arguments_name_whole_is_left_alone_too(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "says", "finalise.d/60-says", 'echo "$DIB_ARGS" > /arguments')
    arguments = ("-t", "raw", "-o", str(tmp_path / "out.raw"), "tiny", "says")
    code, output = build(tmp_path, debian_tree, *arguments)
    assert code == 0, output[-3000:]
    assert "finalise.d/60-says" in ran(output)
    code, output = build(tmp_path, debian_tree, *arguments)
    assert code == 0, output[-3000:]
    assert not ran(output)
    assert "is up to date" in output


def test_what_was_lost_is_made_again_without_running_anything(built: Path, debian_tree: Path) -> None:
    (built / "out.exported").unlink()
    code, output = build(built, debian_tree, "-t", "raw", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert not ran(output)
    assert (built / "out.exported").read_text() == "exported\n"


def test_a_changed_hook_reruns_what_follows_and_no_more(again: Path, debian_tree: Path) -> None:
    add_hook(again, "late", "finalise.d/60-two", "# a comment\necho two > /two")
    code, output = build(again, debian_tree, "-t", "raw", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert ran(output) == ["finalise.d/60-two", "cleanup.d/60-probe"]
    assert "finalise.d/50-one" in hits(output)
    assert (again / "out.exported").read_text() == "exported\n"
    assert left_behind(again) == []


@pytest.mark.parametrize("step", ["root.d/60-probe", "install.d/40-work", "post-root.d/60-probe", "finalise.d/50-one"])
def test_a_resumed_image_is_that_of_a_cold_build(step: str, again: Path, debian_tree: Path, tmp_path: Path) -> None:
    shutil.copytree(ELEMENTS / "probe", again / "elements" / "probe")
    for element in ("probe", "late"):
        hook = again / "elements" / element / step
        if hook.exists():
            hook.write_text(hook.read_text() + "\n: # changed\n")
    code, output = build(again, debian_tree, "-t", "raw", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert ran(output)[0] == step
    assert hits(output)
    resumed = content(again / "out.raw")
    code, output = build(again, debian_tree, "-t", "raw", "--no-cache", "tiny", "probe", "late")
    assert code == 0, output[-3000:]
    assert not hits(output)
    (again / "out.tree").rmdir()
    cold = content(again / "out.raw")
    compared = {path: (cold.get(path), resumed.get(path)) for path in cold.keys() | resumed.keys()}
    own = (".env", ".cwd", ".mounts")  # command lines, directories and loop devices of a build
    unequal = {path: pair for path, pair in compared.items() if pair[0] != pair[1] and not path.endswith(own)}
    assert not unequal, pprint.pformat(unequal)


def test_another_name_reruns_only_steps_that_name_it(again: Path, debian_tree: Path) -> None:
    code, output = build(again, debian_tree, "-t", "raw", "-o", "other", "tiny", "probe", "late", MY_CI_NUMBER="17")
    assert code == 0, output[-3000:]
    assert ran(output) == ["cleanup.d/60-probe"]
    assert (again / "other.exported").read_text() == "exported\n"
    assert not (again / "out.exported").exists()


def test_after_a_failure_the_build_goes_on_at_the_failed_step(again: Path, debian_tree: Path) -> None:
    add_hook(again, "late", "install.d/45-breaks", "echo half done > /half-done; export SEEN=1; exit 9")
    code, output = build(again, debian_tree, "-t", "raw", "tiny", "probe", "late", DIB_MINE="of the hook")
    assert code == 9
    assert "dib-py shell --failed" in output
    assert not (again / "out.raw").exists()
    assert left_behind(again) == []
    script = 'cat /half-done; echo "$DIB_MINE" in $(pwd); ls /tmp/in_target.d/install.d; echo no > /work; exit 3'
    code, said = run(again, debian_tree, "shell", "--failed", "--cache-dir", str(again / "cache"), "--command", script)
    assert code == 3, said
    assert "half done" in said
    assert "of the hook in /" in said
    assert "45-breaks" in said
    add_hook(again, "late", "install.d/45-breaks", "cat /work; test ! -e /half-done")
    code, output = build(again, debian_tree, "-t", "raw", "tiny", "probe", "late", DIB_MINE="of the hook")
    assert code == 0, output[-3000:]
    assert ran(output)[0] == "install.d/45-breaks"
    assert "| work" in output


def test_a_shell_before_a_step_changes_nothing(again: Path, debian_tree: Path) -> None:
    before = {record.key for record in store(again).records()}
    words = (
        "shell",
        "--before",
        "finalise.d/60-two",
        "--command",
        "test -e /one; test ! -e /two; rm /one; mount | tail -2",
    )
    code, said = run(
        again, debian_tree, *words, "-n", "--target", "host", "-o", "out", "-t", "raw", "tiny", "probe", "late"
    )
    assert code == 0, said
    assert "/tmp/in_target.d" in said
    assert {record.key for record in store(again).records()} == before
    code, said = run(again, debian_tree, "shell", "--before", "61-two", "-n", "tiny", "probe", "late")
    assert code == 1
    assert "there is no step 61-two" in said
    assert left_behind(again) == []


def test_two_builds_of_the_same_do_it_once(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "slow", "install.d/50-slow", "sleep 3; cat /proc/sys/kernel/random/uuid > /made")
    both = [start(tmp_path, debian_tree, "-t", "raw", "-o", name, "tiny", "slow") for name in ("a", "b")]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(len(ran(output)) for output in outputs) == [0, 2]
    assert sum("waiting for another build" in output for output in outputs) == 1
    made = [
        subprocess.run(["debugfs", "-R", "cat /made", tmp_path / f"{name}.raw"], capture_output=True, check=True).stdout
        for name in ("a", "b")
    ]
    assert made[0]
    assert made[0] == made[1]


def test_two_builds_that_begin_alike_share_what_they_share(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "slow", "install.d/50-slow", "sleep 2; cat /proc/sys/kernel/random/uuid > /made")
    add_hook(tmp_path, "more", "install.d/60-more", "cat /made > /more")
    lists = {"a": ("tiny", "slow"), "b": ("tiny", "slow", "more")}
    both = [start(tmp_path, debian_tree, "-t", "raw", "-o", name, *names) for name, names in lists.items()]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum(ran(output).count("install.d/50-slow") for output in outputs) == 1
    made, more = (
        subprocess.run(["debugfs", "-R", f"cat /{name}", tmp_path / image], capture_output=True, check=True).stdout
        for name, image in (("made", "a.raw"), ("more", "b.raw"))
    )
    assert made
    assert made == more


def test_a_store_that_cannot_be_written_is_good_for_hits(built: Path, debian_tree: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "elements", tmp_path / "elements")
    add_hook(tmp_path, "late", "finalise.d/60-two", "# another comment\necho two > /two")
    (tmp_path / "cache").mkdir()
    before = set((built / "cache" / "layers").rglob("*"))
    subprocess.run(["mount", "--bind", built / "cache", tmp_path / "cache"], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "cache"], check=True)
        code, output = build(tmp_path, debian_tree, "-t", "raw", "tiny", "probe", "late")
    finally:
        subprocess.run(["umount", tmp_path / "cache"], check=True)
    assert code == 0, output[-3000:]
    assert ran(output) == ["finalise.d/60-two", "cleanup.d/60-probe"]
    assert set((built / "cache" / "layers").rglob("*")) == before


def test_a_base_that_changes_under_its_name_is_another(tmp_path: Path, debian_tree: Path) -> None:
    assert build(tmp_path, debian_tree, "-t", "qcow2", "--image-size", "1", "tiny")[0] == 0
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    add_hook(tmp_path, "late", "install.d/50-late", "echo late > /late")
    words = ("--base", "base.qcow2", "--trust-base", "-t", "raw", "late")
    code, output = build(tmp_path, debian_tree, *words)
    assert code == 0, output[-3000:]
    assert "install.d/50-late" in ran(output)
    code, output = build(tmp_path, debian_tree, *words)
    assert ran(output) == []
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho other > /other\n")
    code, output = build(tmp_path, debian_tree, "-t", "qcow2", "--image-size", "1", "--run", str(script), "tiny")
    assert code == 0, output[-3000:]
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    code, output = build(tmp_path, debian_tree, *words)
    assert code == 0, output[-3000:]
    assert "install.d/50-late" in ran(output)
    listed = subprocess.run(["debugfs", "-R", "cat /other", tmp_path / "out.raw"], capture_output=True, check=True)
    assert listed.stdout == b"other\n"


def test_layers_of_another_store_are_taken_over(built: Path, debian_tree: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "elements", tmp_path / "elements")
    before = {path: path.stat().st_mtime_ns for path in (built / "cache" / "layers").rglob("*.qcow2")}
    words = ("-t", "raw", "--cache-from", str(built / "cache"), "tiny", "probe", "late")
    code, output = build(tmp_path, debian_tree, *words)
    assert code == 0, output[-3000:]
    assert ran(output) == []
    assert (tmp_path / "out.exported").read_text() == "exported\n"
    assert {path: path.stat().st_mtime_ns for path in (built / "cache" / "layers").rglob("*.qcow2")} == before
    code, output = build(tmp_path, debian_tree, "-t", "raw", "-o", "other", "tiny", "probe", "late")
    assert ran(output) == ["cleanup.d/60-probe"]


def test_without_layers_nothing_is_kept(tmp_path: Path, debian_tree: Path) -> None:
    code, output = build(tmp_path, debian_tree, "-t", "raw", "--no-cache", "tiny")
    assert code == 0, output[-3000:]
    assert not (tmp_path / "cache" / "layers").exists()


def run(directory: Path, tree: Path, *words: str) -> tuple[int, str]:
    """Another command than a build, in the same surroundings."""
    process = start(directory, tree, command=words)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output
