"""What hooks see, held against what real bash and real environment.d files make of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from dib_py import phases
from dib_py.disk.layout import Filesystem, Layout
from dib_py.element import Element, builtin_elements_dir
from dib_py.environment import (
    GUEST_PATH,
    DiskFacts,
    Places,
    build_variables,
    install_type_text,
    plan_environment,
)
from dib_py.errors import FileError, HostError
from dib_py.hooks import MergedHooks, Resolved, merge
from dib_py.settings import Settings
from dib_py.state import build_path
from dib_py.units import GIB

ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/home/me", "TMPDIR": "/elsewhere", "CI_BUILD": "42"}


def settings(**values: Any) -> Settings:
    return Settings(**{"environ": ENVIRON, **values})


def tree(root: Path, files: dict[str, str]) -> Resolved:
    """Elements from ``element/path: text``; those that are named only have no files."""
    names: dict[str, None] = {}
    for path, text in files.items():
        names.setdefault(path.partition("/")[0])
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return SimpleNamespace(elements=tuple(Element(name, root / name) for name in names))


def planned(root: Path, files: dict[str, str], **values: Any) -> dict[str, str]:
    resolution = tree(root, files)
    return plan_environment(settings(**values), resolution, merge(resolution))


def test_target_root_is_for_root_and_cleanup_only(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    having = [p.name for p in phases.PHASES if "TARGET_ROOT" in build_variables(settings(), resolution, p)]
    assert having == ["root", "cleanup"]


def test_the_size_changes_its_unit_after_post_root(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    sizes = [
        build_variables(settings(image_size=int(1.5 * GIB)), resolution, phase)["DIB_IMAGE_SIZE"]
        for phase in phases.PHASES
    ]
    assert sizes == ["1.5"] * 6 + [str(1536 * 1024)] * 4
    assert "DIB_IMAGE_SIZE" not in build_variables(settings(), resolution, phases.ROOT)


def test_devices_are_told_from_pre_finalise_on_as_an_array_to_eval(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    disk = DiskFacts(devices={"image0": "/dev/sda", "root": "/dev/sda1"})
    for phase in phases.PHASES[:7]:
        assert "IMAGE_BLOCK_DEVICES" not in build_variables(settings(), resolution, phase, disk=disk)
    variables = build_variables(settings(), resolution, phases.FINALISE, disk=disk)
    assert variables["IMAGE_BLOCK_DEVICE"] == "/dev/sda"
    script = 'eval declare -A devices=(${IMAGE_BLOCK_DEVICES}); echo "${devices[root]}"'
    assert bash(script, variables) == "/dev/sda1\n"


def test_what_the_layout_says_reaches_every_phase(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    layout = Layout(
        "image0",
        None,
        filesystems=(
            Filesystem("r", "root", "xfs", "img-rootfs", "", mount_point="/"),
            Filesystem("b", "boot", "ext4", "mkfs_boot", "", mount_point="/boot"),
            Filesystem("s", "swap", "swap", "sw", ""),
        ),
    )
    variables = build_variables(settings(), resolution, phases.ROOT, disk=DiskFacts.of(layout))
    told = {name: variables[name] for name in ("DIB_ROOT_LABEL", "DIB_ROOT_FSTYPE", "DIB_BOOT_LABEL")}
    assert told == {"DIB_ROOT_LABEL": "img-rootfs", "DIB_ROOT_FSTYPE": "xfs", "DIB_BOOT_LABEL": "mkfs_boot"}
    assert variables["DIB_MOUNTPOINTS"] == "/|/boot"


def test_the_base_image_is_told_in_every_phase(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    disk = DiskFacts(base_image="/base.qcow2")
    for phase in (phases.ROOT, phases.INSTALL):
        assert build_variables(settings(), resolution, phase, disk=disk)["DIB_BASE_IMAGE"] == "/base.qcow2"


def test_the_guest_gets_the_callers_environment_and_its_own_paths(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    environ = {**ENVIRON, "VIRTUAL_ENV": "/v", "BASH_ENV": "/b", "LD_PRELOAD": "/l", "BASH_FUNC_mine%%": "() { :; }"}
    guest = build_variables(settings(environ=environ), resolution, phases.INSTALL)
    assert (guest["PATH"], guest["HOME"], guest["LC_ALL"]) == (GUEST_PATH, "/root", "C")
    assert guest["CI_BUILD"] == "42"
    assert not {"TMPDIR", "VIRTUAL_ENV", "BASH_ENV", "LD_PRELOAD", "BASH_FUNC_mine%%"} & guest.keys()
    host = build_variables(settings(environ=environ), resolution, phases.EXTRA_DATA)
    assert host["TMPDIR"] == "/elsewhere" and host["HOME"] == "/home/me" and host["VIRTUAL_ENV"] == "/v"
    assert host["PATH"] == "/usr/bin:/bin:/sbin:/usr/sbin:/usr/local/sbin"


def test_a_clean_environment_keeps_what_a_build_is_told(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    environ = {**ENVIRON, "DIB_X": "1", "http_proxy": "http://p", "EDITOR": "vi"}
    variables = build_variables(settings(environ=environ, clear_env=True), resolution, phases.ROOT)
    assert variables["DIB_X"] == "1" and variables["http_proxy"] == "http://p"
    assert not {"CI_BUILD", "EDITOR"} & variables.keys()


def test_the_elements_are_told_in_three_ways(tmp_path: Path) -> None:
    resolution = tree(tmp_path / "with space", {"b/x": "", "a/x": ""})
    variables = build_variables(settings(elements_path=(Path("/mine"),)), resolution, phases.ROOT)
    paths = {name: str(tmp_path / "with space" / name) for name in ("b", "a")}
    assert variables["IMAGE_ELEMENT"] == "b a"
    assert yaml.safe_load(variables["IMAGE_ELEMENT_YAML"]) == paths
    assert variables["ELEMENTS_PATH"] == "/mine"
    script = 'eval declare -A all=($(get_image_element_array)); for e in b a; do echo "$e=${all[$e]}"; done'
    assert bash(script, variables) == "".join(f"{name}={path}\n" for name, path in paths.items())


def test_of_the_builtin_elements_only_those_of_the_image_are_on_the_path(tmp_path: Path) -> None:
    ours = Element("vm", builtin_elements_dir() / "vm")
    resolution = SimpleNamespace(elements=(*tree(tmp_path, {"a/x": ""}).elements, ours))
    variables = build_variables(settings(elements_path=(tmp_path,)), resolution, phases.EXTRA_DATA)
    assert variables["ELEMENTS_PATH"] == f"{tmp_path}:{Places().elements}"


def test_the_functions_are_not_in_the_guest(tmp_path: Path) -> None:
    resolution = tree(tmp_path, {"a/x": ""})
    assert not [n for n in build_variables(settings(), resolution, phases.INSTALL) if n.startswith("BASH_FUNC_")]
    host = build_variables(settings(), resolution, phases.ROOT)
    done = subprocess.run(["bash", "-c", "(exit 7) || die so it ends"], env=host, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "so it ends\n")


def test_the_callers_dib_variables_are_declared_so_that_bash_reads_them(tmp_path: Path) -> None:
    nasty = 'a "quoted" $HOME `date` back\\slash\nsecond line'
    resolution = tree(tmp_path, {"a/x": ""})
    variables = build_variables(settings(environ={**ENVIRON, "DIB_NASTY": nasty}), resolution, phases.ROOT)
    assert bash('unset DIB_NASTY; eval "$DIB_ENV"; printf %s "$DIB_NASTY"', variables) == nasty


def test_places_are_fixed(tmp_path: Path) -> None:
    variables = build_variables(settings(), tree(tmp_path, {"a/x": ""}), phases.ROOT, places=Places(Path("/b")))
    told = [variables[n] for n in ("TMP_BUILD_DIR", "TMP_HOOKS_PATH", "TMP_MOUNT_PATH", "TARGET_ROOT")]
    assert told == ["/b", "/b/hooks", "/b/mnt", "/b/mnt"]


def test_environment_files_are_sourced_bytewise_unlike_hooks(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        {
            "a/environment.d/100-first": "export ORDER=${ORDER:-}100,",
            "b/environment.d/20-second": "export ORDER=$ORDER'20,'",
            "a/environment.d/open-last": "export ORDER=${ORDER}open",
            "a/environment.d/30-not this": "exit 1",
        },
    )
    assert made["ORDER"] == "100,20,open"


def test_functions_that_a_file_exports_are_kept(tmp_path: Path) -> None:
    made = planned(tmp_path, {"a/environment.d/10-f": 'greet() { echo "hello $1"; }\nexport -f greet\n'})
    assert bash("greet you", made) == "hello you\n"


def test_values_with_several_lines_and_odd_bytes_survive(tmp_path: Path) -> None:
    made = planned(tmp_path, {"a/environment.d/10-x": "export ODD=$'one\\ntwo=3\\n\\xff'\n"})
    assert os.fsencode(made["ODD"]) == b"one\ntwo=3\n\xff"


def test_only_exported_variables_count(tmp_path: Path) -> None:
    made = planned(tmp_path, {"a/environment.d/10-x": "LOCAL=1\nexport SHOWN=2\n"})
    assert "LOCAL" not in made and made["SHOWN"] == "2"
    assert not [name for name in made if name.startswith("__dib")]


def test_the_install_type_is_a_default_that_a_file_may_know(tmp_path: Path) -> None:
    files = {"a/environment.d/50-x": "export SEEN=$DIB_DEFAULT_INSTALLTYPE\n"}
    assert planned(tmp_path, files)["SEEN"] == "source"
    assert planned(tmp_path, files, install_type="package")["SEEN"] == "package"
    environ = {**ENVIRON, "DIB_DEFAULT_INSTALLTYPE": "mine"}
    assert planned(tmp_path, files, environ=environ)["SEEN"] == "mine"
    assert bash(f"{install_type_text(settings())}echo $DIB_DEFAULT_INSTALLTYPE", ENVIRON) == "source\n"


def test_an_unset_variable_is_told_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="variable NOBODY_SET_IT is not set") as caught:
        planned(tmp_path, {"a/environment.d/10-x": "export A=1\n\nexport B=$NOBODY_SET_IT\n"})
    assert caught.value.path == tmp_path / "a" / "environment.d" / "10-x"
    assert caught.value.line == 3
    assert "export NOBODY_SET_IT" in caught.value.hint


@pytest.mark.parametrize("code", [0, 1, 9])
def test_a_file_that_exits_is_told_with_what_it_said(tmp_path: Path, code: int) -> None:
    text = f"if true; then\n  echo 'DIB_INIT_SYSTEM is not set!'\n  exit {code}\nfi\n"
    with pytest.raises(FileError, match=f"exit code {code}: DIB_INIT_SYSTEM is not set!") as caught:
        planned(tmp_path, {"a/environment.d/99-init": text})
    assert caught.value.line == 3


def test_a_command_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        planned(tmp_path, {"a/environment.d/10-x": "true\nls /nowhere-at-all\ntrue\n"})
    assert caught.value.line == 2
    assert "/nowhere-at-all" in caught.value.message


def test_a_syntax_error_is_told_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="syntax error") as caught:
        planned(tmp_path, {"a/environment.d/10-x": "if true; then\n"})
    assert caught.value.path.name == "10-x"


def test_planning_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environ = {**ENVIRON, "TMPDIR": str(temporary)}
    text = "export MADE=$(mktemp)\ntouch here\nexport TMPDIR_SEEN=$TMPDIR\n"
    made = planned(tmp_path / "e", {"a/environment.d/10-x": text}, environ=environ)
    assert not Path(made["MADE"]).exists()
    assert list(temporary.iterdir()) == []
    assert not Path("here").exists()
    assert made["TMPDIR"] == str(temporary)


def test_startup_files_do_not_run(tmp_path: Path) -> None:
    startup = tmp_path / "startup"
    startup.write_text(f"touch {tmp_path}/ran\n")
    environ = {**ENVIRON, "BASH_ENV": str(startup), "ENV": str(startup)}
    made = planned(tmp_path / "e", {"a/environment.d/10-x": "export A=1\n"}, environ=environ)
    assert not (tmp_path / "ran").exists()
    assert made["BASH_ENV"] == str(startup)  # hooks get what the caller gave


def test_a_path_derived_from_the_files_own_place_is_the_builds(tmp_path: Path) -> None:
    text = 'export MINE="$(dirname "${BASH_SOURCE[0]}")/../data"\n'
    made = planned(tmp_path, {"a/environment.d/10-x": text})
    assert made["MINE"] == f"{build_path()}/hooks/environment.d/../data"


def test_the_first_line_of_a_secret_is_not_traced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    planned(tmp_path, {"a/environment.d/10-x": "export REG_PASSWORD=hunter22\n"})
    assert "hunter22" not in "".join(capfd.readouterr())


def test_what_a_failing_file_says_is_masked(tmp_path: Path) -> None:
    environ = {**ENVIRON, "REG_PASSWORD": "hunter22"}
    with pytest.raises(FileError, match=r"cannot log in as me:\*\*\*$"):
        planned(tmp_path, {"a/environment.d/10-x": "echo cannot log in as me:$REG_PASSWORD\nexit 1\n"}, environ=environ)


def test_a_file_that_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dib_py.environment.LONGEST_SOURCING", 0.3)
    with pytest.raises(HostError, match="did not end"):
        planned(tmp_path, {"a/environment.d/10-x": "sleep 20\n"})


def bash(script: str, variables: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-euc", script], env=variables, capture_output=True, text=True, check=True)
    return done.stdout


def test_merged_hooks_without_environment_files_are_enough() -> None:
    empty = SimpleNamespace(elements=())
    assert plan_environment(settings(), empty, MergedHooks({}))["CI_BUILD"] == "42"


def test_a_program_that_sourcing_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bash", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"environment\.d could not be sourced: base64 not installed"):
        planned(tmp_path, {"a/environment.d/10-x": ""}, environ={"PATH": str(tmp_path)})
