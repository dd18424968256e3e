"""Settings come from options, then the environment, then the defaults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dib_py.cli.options import parse
from dib_py.errors import UsageError
from dib_py.settings import OneOff, Settings
from dib_py.units import GIB, MIB


def read(*argv: str, **environ: str) -> Settings:
    return parse(argv, environ)


def test_defaults() -> None:
    assert read() == Settings(environ={})


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        ("-a arm64", "arch", "arm64"),
        ("-o debian.qcow2", "image_name", "debian"),
        ("-o debian", "image_name", "debian"),
        ("-o out/debian.raw", "image_name", "out/debian.raw"),
        ("-o debian.raw -t raw", "image_name", "debian"),
        ("-t raw,qcow2 -o x.raw", "image_name", "x.raw"),
        ("-t qcow2,raw", "image_types", ("qcow2", "raw")),
        ("-t raw -t qcow2", "image_types", ("qcow2",)),
        ("-x -x", "trace", 2),
        ("-u", "compress", False),
        ("-c", "clear_env", True),
        ("-n", "skip_base", True),
        ("-p a,b -p c,a", "packages", ("a", "b", "c")),
        ("--checksum", "checksum", ("md5", "sha256")),
        ("--checksum=sha256", "checksum", ("sha256",)),
        ("--image-size 2.5", "image_size", 5 * GIB // 2),
        ("--image-size 0.6", "image_size", 157287 * 4096),
        ("--image-extra-size 100", "image_extra_size", 100 * MIB),
        ("--image-cache /c", "cache_dir", Path("/c")),
        ("--no-cache", "no_cache", True),
        ("--cache-from /a", "cache_from", (Path("/a"),)),
        ("--cache-from /a:/b --cache-from /c --cache-from /a", "cache_from", (Path("/a"), Path("/b"), Path("/c"))),
        ("--layers-size 0.5", "layers_size", GIB // 2),
        ("--refresh", "refresh", True),
        ("--packages-epoch stable", "packages_epoch", "stable"),
        ("--max-online-resize 1000", "max_online_resize", 1000),
        ("--mkfs-journal-size 32", "mkfs_journal_size", 32),
        ("--mkfs-options=-m_1", "mkfs_options", "-m_1"),
        ("--min-tmpfs 5", "min_tmpfs", "5"),
        ("--no-tmpfs", "no_tmpfs", True),
        ("--offline", "offline", True),
        ("--qemu-img-options compat=0.10", "qemu_img_options", "compat=0.10"),
        ("--root-label r", "root_label", "r"),
        ("--ramdisk-element dracut-ramdisk", "ramdisk_element", "dracut-ramdisk"),
        ("--install-type package", "install_type", "package"),
        ("--docker-target a:b", "docker_target", "a:b"),
        ("--target host", "target", "host"),
        ("--hook-timeout 2.5", "hook_timeout", 2.5),
        ("--break before-root,after-error", "breakpoints", ("before-root", "after-error")),
        ("-q", "quiet", True),
        ("-vv", "verbosity", 2),
    ],
)
def test_options(argv: str, field: str, value: object) -> None:
    assert getattr(read(*argv.split()), field) == value


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("ARCH", "arm64", "arch", "arm64"),
        ("ELEMENTS_PATH", "/a:/b", "elements_path", (Path("/a"), Path("/b"))),
        ("DIB_IMAGE_SIZE", "10", "image_size", 10 * GIB),
        ("DIB_CHECKSUM", "1", "checksum", ("md5", "sha256")),
        ("DIB_CHECKSUM", "0", "checksum", ()),
        ("DIB_CHECKSUM", "sha256,md5", "checksum", ("md5", "sha256")),
        ("DIB_DEBUG_TRACE", "2", "trace", 2),
        ("DIB_OFFLINE", "1", "offline", True),
        ("DIB_OFFLINE", "0", "offline", False),
        ("DIB_QUIET", "1", "quiet", True),
        ("DIB_QUIET", "0", "quiet", False),
        ("DIB_NO_TIMESTAMP", "1", "timestamps", False),
        ("DIB_NO_TIMESTAMP", "0", "timestamps", True),
        ("OVERWRITE_OLD_IMAGE", "0", "overwrite", False),
        ("OVERWRITE_OLD_IMAGE", "1", "overwrite", True),
        ("MKFS_OPTS", "-m 1", "mkfs_options", "-m 1"),
        ("DIB_PY_NO_CACHE", "1", "no_cache", True),
        ("DIB_PY_CACHE_FROM", "/a:/b", "cache_from", (Path("/a"), Path("/b"))),
        ("DIB_PY_LAYERS_SIZE", "5", "layers_size", 5 * GIB),
        ("DIB_PACKAGES_EPOCH", "2026-01-01", "packages_epoch", "2026-01-01"),
        ("TMPDIR", "/t", "tmp_dir", Path("/t")),
        ("TMP_DIR", "/t", "tmp_dir", Path("/t")),
        ("IMAGE_NAME", "x.qcow2", "image_name", "x"),
        ("break", "after-install", "breakpoints", ("after-install",)),
        ("ARCH", "", "arch", ""),
        ("LOGFILE", "/x", "logfile", None),  # diskimage-builder ignores it too
    ],
)
def test_environment(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read(**{name: text}), field) == value


def test_tmpdir_beats_tmp_dir() -> None:
    assert read(TMP_DIR="/b", TMPDIR="/a").tmp_dir == Path("/a")


def test_options_beat_the_environment_and_tracing_adds_to_it() -> None:
    settings = read("-a", "amd64", "-x", "--offline", ARCH="arm64", DIB_DEBUG_TRACE="1", DIB_OFFLINE="0")
    assert (settings.arch, settings.trace, settings.offline) == ("amd64", 2, True)


def test_octavia_passes_all_elements_as_one_argument_and_empty_strings() -> None:
    settings = read("", "-o", "amphora", "", "vm  ubuntu-minimal amphora-agent", "--", "plan")
    assert settings.elements == ("vm", "ubuntu-minimal", "amphora-agent", "plan")


def test_one_off_work_keeps_its_order(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    secret = tmp_path / "secret"
    secret.write_text("hunter2\nnot this\n")
    settings = read(
        "--root-password", "x", "--run", str(script), "vm", "--copy-in", f"{script}:/opt", "--run", str(script)
    )
    assert [work.kind for work in settings.one_offs] == ["root-password", "run", "copy-in", "run"]
    assert read("--root-password", f"file:{secret}").one_offs == (OneOff("root-password", "hunter2"),)


def test_the_root_password_is_not_in_what_is_shown_of_the_command_line() -> None:
    settings = read("--root-password", "hunter2", "vm")
    assert settings.argv == ("--root-password", "***", "vm")


def test_a_ramdisk_is_asked_for_by_the_name_of_the_command() -> None:
    assert parse(["vm"], {}, ramdisk=True).ramdisk


@pytest.mark.parametrize(
    ("argv", "environ", "says"),
    [
        ("--image-size ten", {}, "--image-size takes a size in GiB, such as 10 or 2.5, not 'ten'"),
        ("--image-size -1", {}, "--image-size takes a size in GiB"),
        ("--image-size nan", {}, "--image-size takes a size in GiB"),
        ("--image-size 99999999", {}, "--image-size takes a size in GiB up to 1048576, not '99999999'"),
        ("--cache-from /a::/b", {}, "--cache-from takes directories separated by colons"),
        ("--layers-size 0", {}, "--layers-size takes a size in GiB"),
        ("", {"DIB_IMAGE_SIZE": "10G"}, "DIB_IMAGE_SIZE takes a size in GiB"),
        ("--image-extra-size x", {}, "--image-extra-size takes a size in MiB"),
        ("--max-online-resize 1.5", {}, "--max-online-resize takes a whole number"),
        ("--vcpus -2", {}, "--vcpus takes a number from 0 up"),
        ("--target docker", {}, "--target: unknown target 'docker'"),
        ("", {"DIB_PY_TARGET": "x"}, "DIB_PY_TARGET: unknown target 'x'"),
        ("-t ,", {}, "-t takes names separated by commas"),
        ("--checksum=sha1", {}, "--checksum takes 0, 1, md5, sha256 or md5,sha256"),
        ("", {"DIB_CHECKSUM": "sha512"}, "DIB_CHECKSUM takes 0, 1, md5"),
        ("--break before-rot", {}, "--break names no point of a build: 'before-rot'"),
        ("-o .qcow2", {}, "-o takes the name"),
        ("-o dir/", {}, "-o takes the name"),
        ("--logfile=", {}, "--logfile takes a path"),
        ("--run /nowhere", {}, "--run: there is no script '/nowhere'"),
        ("--copy-in /etc/hostname", {}, "--copy-in takes LOCAL:DIR"),
        ("--copy-in /etc/hostname:etc", {}, "--copy-in takes LOCAL:DIR"),
        ("--copy-in /nowhere:/etc", {}, "--copy-in: there is no '/nowhere'"),
        ("--copy-in ..:/srv", {}, "--copy-in takes a file or directory with a name of its own, not '..'"),
        ("--copy-in .:/srv", {}, "--copy-in takes a file or directory with a name of its own, not '.'"),
        ("--root-password=", {}, "--root-password: the password is empty"),
        ("--root-password=file:/none", {}, "--root-password: the file can't be read: /none: No such file or directory"),
        ("--root-password file:/nowhere", {}, "--root-password: the file can't be read"),
    ],
)
def test_wrong_values_say_what_would_be_right(argv: str, environ: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match="^" + says.replace("(", r"\(").replace(".", r"\.")):
        parse(argv.split(), environ)


def test_an_unknown_target_names_those_that_are_installed() -> None:
    with pytest.raises(UsageError) as caught:
        read("--target", "guestfish")
    assert caught.value.hint == "did you mean guestfs? there are auto, guestfs, host"


def test_targets_of_third_parties(tmp_path: Path) -> None:
    """A distribution on the path with an entry point in ``dib_py.target`` is all that a target needs."""
    (tmp_path / "tape.py").write_text(
        "def Tape(disk, directory, settings, events):\n    return f'a tape in {directory}'\n"
    )
    metadata = tmp_path / "tape-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tape\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[dib_py.target]\ntape = tape:Tape\n")
    program = (
        "from dib_py.cli.options import parse\n"
        "from dib_py.target.choose import choose, open_target\n"
        "settings = parse(['--target', 'tape', 'vm'], {})\n"
        "print(open_target(choose(settings, False).name, None, '/build', settings, None))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout == "a tape in /build\n"


@pytest.mark.parametrize("password", ["one\nroot2:two", "one\r", "one\0"])
def test_a_password_is_one_line(password: str) -> None:
    with pytest.raises(UsageError, match="more than one line"):
        read(f"--root-password={password}", "vm")
