"""Whole builds on the host target with sample elements: what hooks see, what comes out, and what is left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.building import ELEMENTS, add_hook, build, left_behind, start

pytestmark = pytest.mark.root

PHASES = (
    *("root", "extra-data", "pre-install", "install", "post-install"),
    *("post-root", "pre-finalise", "finalise", "cleanup"),
)
HOST = ("root", "extra-data", "post-root", "pre-finalise", "cleanup")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Iterator[Path]:
    """The tree of an image that the probe element was built into, mounted; beside it what the build left."""
    directory = tmp_path_factory.mktemp("probed")
    code, output = build(
        directory, debian_tree, "-t", "qcow2,raw", "--checksum", "tiny", "probe", DIB_MY_PASSWORD="hunter2-and-more"
    )
    assert code == 0, output
    (directory / "output").write_text(output)
    tree = directory / "tree"
    tree.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", directory / "out.raw", tree], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", tree], check=True)


def environment(probed: Path, phase: str) -> Mapping[str, str]:
    text = (probed / "tree" / "probe" / f"{phase}.env").read_text()
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


def test_all_phases_ran(probed: Path) -> None:
    assert {path.stem for path in (probed / "tree" / "probe").glob("*.env")} == set(PHASES)


def test_image_is_a_clean_compressed_qcow2_with_checksums(probed: Path) -> None:
    info = subprocess.run(["qemu-img", "info", probed / "out.qcow2"], capture_output=True, text=True, check=True).stdout
    assert "compression type: zstd" in info
    assert "backing file" not in info
    for kind in ("md5", "sha256"):
        for suffix in ("qcow2", "raw"):
            subprocess.run([f"{kind}sum", "--check", "--quiet", f"out.{suffix}.{kind}"], cwd=probed, check=True)
    subprocess.run(["qemu-img", "compare", "out.qcow2", "out.raw"], cwd=probed, check=True)
    subprocess.run(["e2fsck", "-fn", probed / "out.raw"], check=True, capture_output=True)


@pytest.mark.parametrize("phase", PHASES)
def test_variables(probed: Path, phase: str) -> None:
    seen = environment(probed, phase)
    always = {
        "ARCH": subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip(),
        "IMAGE_NAME": "out",
        "IMAGE_ELEMENT": "tiny probe",
        "FS_TYPE": "ext4",
        "DIB_ROOT_LABEL": "cloudimg-rootfs",
        "DIB_MOUNTPOINTS": "/",
        "LC_ALL": "C",
        "DISTRO_NAME": "debian",
        "PROBE_SOURCED": "x",
        "DIB_OFFLINE": "",
        "DIB_DEBUG_TRACE": "0",
    }
    assert {name: seen.get(name) for name in always} == always
    assert ("TARGET_ROOT" in seen) == (phase in ("root", "cleanup"))
    assert ("DIB_DEFAULT_INSTALLTYPE" in seen) == (phase != "root")
    late = phase in ("pre-finalise", "finalise", "cleanup")
    assert ("IMAGE_BLOCK_DEVICE" in seen) == late
    assert ("DIB_IMAGE_SIZE" in seen) == late
    assert ("BASH_FUNC_die%%" in seen) == (phase in HOST)
    assert seen["TMP_MOUNT_PATH"] == f"{seen['TMP_BUILD_DIR']}/mnt"
    assert seen["TMP_HOOKS_PATH"] == f"{seen['TMP_BUILD_DIR']}/hooks"


@pytest.mark.parametrize("phase", PHASES)
def test_working_directory(probed: Path, phase: str) -> None:
    expected = str(probed) if phase in HOST else "/"
    assert (probed / "tree" / "probe" / f"{phase}.cwd").read_text().strip() == expected


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in HOST])
def test_guest_surroundings(probed: Path, phase: str) -> None:
    probe = probed / "tree" / "probe"
    assert (probe / f"{phase}.self").read_text() == f"/tmp/in_target.d/{phase}.d/60-probe\n"
    assert (probe / f"{phase}.sibling").read_text() == "seen by hooks\n"
    mounts = {line.split()[1]: line.split() for line in (probe / f"{phase}.mounts").read_text().splitlines()}
    assert mounts["/sys"][3].startswith("ro,")
    assert mounts["/tmp/in_target.d"][3].startswith("ro,")
    assert mounts["/proc"][2] == "proc"
    assert "/dev/pts" in mounts


def test_hooks_add_hooks_and_tmp_lasts_until_the_end(probed: Path) -> None:
    probe = probed / "tree" / "probe"
    assert (probe / "added").read_text() == "added\n"
    assert (probe / "kept").read_text() == "kept\n"


def test_the_image_is_tidy(probed: Path) -> None:
    tree = probed / "tree"
    assert list((tree / "tmp").iterdir()) == []
    assert stat.S_IMODE((tree / "tmp").stat().st_mode) == 0o1777
    assert (tree / "var" / "log" / "probe.log").read_text() == ""
    assert not (tree / "root" / "probe.log").exists()
    assert not (tree / "etc" / "resolv.conf.ORIG").exists()
    assert (tree / "lost+found").is_dir()
    assert (tree / "etc" / "fstab").read_text() == "LABEL=cloudimg-rootfs / ext4 defaults 0 1\n"


def test_host_hooks_write_beside_the_image(probed: Path) -> None:
    assert (probed / "out.exported").read_text() == "exported\n"


def test_secrets_are_not_printed(probed: Path) -> None:
    output = (probed / "output").read_text()
    assert "hunter2" not in output
    logs = list((probed / "state").rglob("*.log"))
    assert logs
    assert all("hunter2" not in log.read_text() for log in logs)


def test_profiling_and_runner_lines(probed: Path) -> None:
    output = (probed / "output").read_text()
    assert "Target: install.d" in output
    assert "Running /tmp/in_target.d/install.d/70-added" in output
    assert "70-added completed" in output


def test_nothing_is_left_behind(probed: Path) -> None:
    assert [line for line in left_behind(probed) if "tree" not in line and "out.raw" not in line] == []


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("echo about to fail; exit 7", 7, "install.d/50-odd of element odd failed with exit code 7"),
        ("kill -9 $$", 137, "failed with exit code 137"),
        ("sleep 60 & kill -9 -1; exit 9", 9, "failed with exit code 9"),
        ("printf 'odd \\377 bytes\\n'; exit 3", 3, "odd \ufffd bytes"),
        ("setsid sleep 3600 & echo daemon started", 0, "daemon started"),
        ("head -c 8000000 /dev/urandom | base64; exit 4", 4, "failed with exit code 4"),
    ],
)
def test_hooks_that_misbehave(tmp_path: Path, debian_tree: Path, text: str, code: int, said: str) -> None:
    add_hook(tmp_path, "odd", "install.d/50-odd", text)
    found, output = build(tmp_path, debian_tree, "-u", "tiny", "odd")
    assert found == code, output[-3000:]
    assert said in output
    assert left_behind(tmp_path) == []
    assert (tmp_path / "out.qcow2").exists() == (code == 0)


def test_failure_report_names_log_and_replay(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "odd", "post-install.d/50-odd", "echo first; echo last words; false")
    code, output = build(tmp_path, debian_tree, "tiny", "odd")
    report = output[output.index("dib-py: error") :]
    assert code == 1
    assert "post-install.d/50-odd" in report
    assert "last words" in report
    assert "ELEMENTS_PATH=" in report
    log = next(line.split(maxsplit=1)[1] for line in report.splitlines() if line.strip().startswith("log "))
    assert "last words" in Path(log).read_text()


def test_a_hook_past_its_limit_is_ended(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "odd", "install.d/50-odd", "trap '' TERM; sleep 3600")
    code, output = build(tmp_path, debian_tree, "--hook-timeout", "2", "tiny", "odd")
    assert code == 124
    assert "did not end within 2 s" in output
    assert left_behind(tmp_path) == []


def test_a_disk_that_a_hook_filled_and_emptied_again_is_suspected(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "big", "install.d/50-big", "head -c 2G /dev/zero > /big || { rm /big; exit 1; }")
    code, output = build(tmp_path, debian_tree, "--image-size", "0.6", "tiny", "big")
    assert code == 1
    assert "if it was the image's disk of" in output
    assert "--image-size gives more" in output


def test_a_full_disk_is_named(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "odd", "install.d/50-odd", "dd if=/dev/zero of=/large bs=1M")
    code, output = build(tmp_path, debian_tree, "--image-size", "0.5", "tiny", "odd")
    assert code == 1
    assert "50-odd" in output
    assert "is full" in output
    assert "--image-size" in output
    assert left_behind(tmp_path) == []


def test_a_disk_without_a_size_takes_what_comes(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "odd", "install.d/50-odd", "head -c 1500000000 /dev/zero > /large")
    code, output = build(tmp_path, debian_tree, "-u", "tiny", "odd")
    assert code == 0, output[-2000:]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupts_clean_up(tmp_path: Path, debian_tree: Path, number: int, code: int) -> None:
    add_hook(tmp_path, "odd", "install.d/50-odd", "echo waiting; sleep 3600")
    process = start(tmp_path, debian_tree, "tiny", "odd")
    assert process.stdout is not None
    assert any("waiting" in line for line in process.stdout)
    started = time.monotonic()
    process.send_signal(number)
    process.stdout.read()
    assert process.wait(60) == code
    assert time.monotonic() - started < 60
    assert left_behind(tmp_path) == []


def test_one_off_work_needs_no_element(tmp_path: Path, debian_tree: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran in $(pwd) > /one-off\n")
    (tmp_path / "payload").write_text("payload\n")
    code, output = build(
        tmp_path,
        debian_tree,
        *("--run", str(script), "--copy-in", f"{tmp_path / 'payload'}:/srv", "--root-password", "very-secret"),
        *("-t", "raw", "tiny"),
    )
    assert code == 0, output[-3000:]
    assert "very-secret" not in output
    base = tmp_path / "out.raw"
    found = subprocess.run(["debugfs", "-R", "cat /one-off", base], capture_output=True, text=True, check=True).stdout
    assert found == "ran in /\n"
    listed = ["debugfs", "-R", "cat /srv/payload", base]
    assert subprocess.run(listed, capture_output=True, text=True, check=True).stdout == "payload\n"
    shadow = subprocess.run(["debugfs", "-R", "cat /etc/shadow", base], capture_output=True, text=True, check=True)
    assert shadow.stdout.startswith("root:$")


def test_a_base_image_is_worked_on_and_grown(tmp_path: Path, debian_tree: Path) -> None:
    assert build(tmp_path, debian_tree, "-t", "qcow2", "tiny")[0] == 0
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    add_hook(tmp_path, "odd", "install.d/50-odd", "test -e /etc/debian_version; df --output=size -BM / | tail -1")
    add_hook(tmp_path, "odd", "root.d/50-odd", 'test -n "$DIB_BASE_IMAGE"')
    arguments = ("--base", "base.qcow2", "--trust-base", "--image-size", "3", "odd")
    code, output = build(tmp_path, debian_tree, *arguments)
    assert code == 0, output[-3000:]
    info = subprocess.run(["qemu-img", "info", tmp_path / "out.qcow2"], capture_output=True, text=True, check=True)
    assert "virtual size: 3 GiB" in info.stdout
    size = next(int(line.split("|")[1].strip()[:-1]) for line in output.splitlines() if line.endswith("M"))
    assert size > 2700


def test_an_unverified_base_is_not_chrooted_into(tmp_path: Path, debian_tree: Path) -> None:
    assert build(tmp_path, debian_tree, "-t", "qcow2", "tiny")[0] == 0
    add_hook(tmp_path, "odd", "install.d/50-odd", "true")
    code, output = build(tmp_path, debian_tree, "--base", "out.qcow2", "odd")
    assert code == 1
    assert "--trust-base" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-a", "arm64" if os.uname().machine == "x86_64" else "amd64"), "can't be built on this machine"),
        (("--tmp-dir", "/no where"), "the directory to build in, /no where, does not exist"),
        (("--tmp-dir", "/dev/null"), "the directory to build in, /dev/null, is no directory"),
        (("--tmp-dir", "/proc"), "no build directory can be made in /proc"),
    ],
)
def test_what_can_be_known_is_told_before_anything_starts(
    arguments: tuple[str, ...], message: str, tmp_path: Path, debian_tree: Path
) -> None:
    code, output = build(tmp_path, debian_tree, *arguments, "tiny")
    assert (code, output.count("\n")) == (1, 2)  # the message and its hint
    assert message in output
    assert left_behind(tmp_path) == []


def test_a_base_without_an_operating_system_is_named(tmp_path: Path, debian_tree: Path) -> None:
    base = tmp_path / "data.raw"
    with base.open("wb") as file:
        file.truncate(64 * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", base], check=True)
    code, output = build(tmp_path, debian_tree, "--trust-base", "--base", str(base), "tiny")
    assert code == 1
    assert f"{base}: the base image holds no operating system" in output
    assert left_behind(tmp_path) == []


def test_a_stop_point_without_a_terminal_is_refused_before_anything_starts(tmp_path: Path, debian_tree: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dib_py", "-n", "--target", "host", "--break", "after-error", "tiny"],
        cwd=tmp_path,
        env={**os.environ, "DIB_TEST_TREE": str(debian_tree), "ELEMENTS_PATH": str(ELEMENTS), "TMPDIR": str(tmp_path)},
        start_new_session=True,  # whoever runs the tests may have a terminal
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dib-py: error: there is no terminal for a shell\n")


def test_a_copy_to_a_directory_that_the_guest_lacks(tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "file").touch()
    code, output = build(tmp_path, debian_tree, "--copy-in", "file:/opt/none", "tiny")
    assert code == 1
    assert "dib-py: error: --copy-in file: /opt/none: No such file or directory\n" in output
    assert left_behind(tmp_path) == []


def test_a_hook_that_names_a_block_device_is_refused(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "odd", "block-device.d/10-odd", "echo IMAGE_BLOCK_DEVICE=/dev/sdz")
    code, output = build(tmp_path, debian_tree, "tiny", "odd")
    assert code == 1
    assert "block-device.d/10-odd of element odd names a block device of its own" in output
    assert left_behind(tmp_path) == []
