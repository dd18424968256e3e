"""The one table of settings: each field is an option, an environment name, its validation and its line in the docs.

Everything that a build can be told is a field of :class:`Settings`. The command line, ``docs/settings.rst`` and shell
completion are made from the fields' metadata; the engine reads the attributes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIB = 1024**3
MIB = 1024**2


def setting(default: Any, *options: str, env: str = "", help: str = "", kind: str = "", metavar: str = "") -> Any:
    """A field of :class:`Settings`.

    ``kind`` says how text becomes the value: ``text``, ``flag``, ``count``, ``int``, ``float``, ``gib`` and ``mib``
    (to bytes), ``list`` (comma or space separated), ``repeat`` (option given again and again), ``path``,
    ``choice:a|b|c``.
    """
    metadata = {"options": options, "env": env, "help": help, "kind": kind or "text", "metavar": metavar}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OneOff:
    """Work asked for on the command line that needs no element, in the order given."""

    kind: str  # "run", "copy-in" or "root-password"
    argument: str


@dataclass(frozen=True)
class Settings:
    # what is built
    elements: tuple[str, ...] = ()
    elements_path: tuple[Path, ...] = setting(
        (), env="ELEMENTS_PATH", kind="paths", help="where elements are looked for, first match wins"
    )
    image_name: str = setting("image", "-o", metavar="NAME", help="name of the image file, without its extension")
    image_types: tuple[str, ...] = setting(("qcow2",), "-t", kind="list", metavar="TYPE,...", help="output formats")
    arch: str = setting(
        "", "-a", env="ARCH", metavar="ARCH", help="architecture of the image (default: this machine's)"
    )
    skip_base: bool = setting(False, "-n", kind="flag", help="leave the default base element out")
    packages: tuple[str, ...] = setting(
        (), "-p", kind="list", metavar="PACKAGE,...", help="packages to install after install.d"
    )
    install_type: str = setting(
        "source",
        "--install-type",
        env="DIB_DEFAULT_INSTALLTYPE",
        metavar="TYPE",
        help="default installation type",
    )
    ramdisk: bool = False
    ramdisk_element: str = setting(
        "ramdisk",
        "--ramdisk-element",
        env="RAMDISK_ELEMENT",
        metavar="ELEMENT",
        help="element that builds a ramdisk",
    )
    one_offs: tuple[OneOff, ...] = ()

    # where it starts
    base: str = setting("", "--base", env="DIB_LOCAL_IMAGE", metavar="FILE-or-URL", help="base image to start from")
    base_checksum: str = setting(
        "",
        "--base-checksum",
        metavar="[ALGORITHM:]DIGEST-or-URL",
        help="expected digest of the base image, or where it is published",
    )
    trust_base: bool = setting(
        False,
        "--trust-base",
        kind="flag",
        help="let host-side hooks and the host target work on an unverified base",
    )
    offline: bool = setting(False, "--offline", env="DIB_OFFLINE", kind="flag", help="use only what is cached")

    # the disk
    image_size: int | None = setting(
        None, "--image-size", env="DIB_IMAGE_SIZE", kind="gib", metavar="GiB", help="size of the disk"
    )
    image_extra_size: int | None = setting(
        None,
        "--image-extra-size",
        env="DIB_IMAGE_EXTRA_SIZE",
        kind="mib",
        metavar="MiB",
        help="room on top of the content",
    )
    root_label: str = setting(
        "", "--root-label", env="ROOT_LABEL", metavar="LABEL", help="label of the root filesystem"
    )
    fs_type: str = setting("ext4", env="FS_TYPE", help="type of the root filesystem")
    mkfs_options: str = setting(
        "",
        "--mkfs-options",
        env="MKFS_OPTS",
        metavar="OPTIONS",
        help="further options for mkfs of the root filesystem",
    )
    mkfs_journal_size: int = setting(
        64,
        "--mkfs-journal-size",
        env="DIB_JOURNAL_SIZE",
        kind="int",
        metavar="MiB",
        help="size of the ext4 journal",
    )
    max_online_resize: int | None = setting(
        None,
        "--max-online-resize",
        env="MAX_ONLINE_RESIZE",
        kind="int",
        metavar="BLOCKS",
        help="how far the root filesystem can grow while mounted",
    )
    block_device_config: str = setting(
        "", env="DIB_BLOCK_DEVICE_CONFIG", help="block-device YAML, or file:// and its path"
    )
    sector_size: int | None = setting(None, env="DIB_BLOCK_SIZE", kind="int", help="sector size of the disk")

    # the output
    compress: bool = setting(True, "-u", kind="flag", help="do not compress the image")
    compression: str = setting(
        "", "--compression", kind="choice:zstd|zlib|none", help="how qcow2 is compressed (default: zstd)"
    )
    checksum: tuple[str, ...] = setting(
        (), "--checksum", env="DIB_CHECKSUM", kind="checksum", help="write checksum files beside the image"
    )
    qemu_img_options: str = setting(
        "",
        "--qemu-img-options",
        env="QEMU_IMG_OPTIONS",
        metavar="K=V,...",
        help="options for qemu-img convert",
    )
    docker_target: str = setting(
        "", "--docker-target", env="DOCKER_TARGET", metavar="TARGET", help="name for the docker image"
    )
    overwrite: bool = setting(
        True,
        env="OVERWRITE_OLD_IMAGE",
        kind="flag",
        help="0: move an existing image aside instead of replacing it",
    )

    # how it is built
    target: str = setting(
        "auto",
        "--target",
        env="DIB_PY_TARGET",
        kind="choice:auto|guestfs|host",
        help="how the guest is reached",
    )
    hook_timeout: float | None = setting(
        None,
        "--hook-timeout",
        env="DIB_HOOK_TIMEOUT",
        kind="float",
        metavar="SECONDS",
        help="limit for each hook",
    )
    memory: int = setting(2048, "--memory", kind="int", metavar="MiB", help="memory of the libguestfs appliance")
    vcpus: int = setting(0, "--vcpus", kind="int", help="processors of the libguestfs appliance (default: all)")
    ca_bundle: str = setting(
        "",
        "--ca-bundle",
        metavar="FILE",
        help="certificate authorities that the guest trusts during the build only",
    )
    cache_dir: Path | None = setting(
        None,
        "--image-cache",
        "--cache-dir",
        env="DIB_IMAGE_CACHE",
        kind="path",
        metavar="DIR",
        help="where downloads are kept",
    )
    tmp_dir: Path | None = setting(
        None, env="TMPDIR", kind="path", help="where the build works; TMP_DIR is read after TMPDIR"
    )
    no_tmpfs: bool = setting(
        False, "--no-tmpfs", env="DIB_NO_TMPFS", kind="flag", help="accepted for diskimage-builder's sake"
    )
    min_tmpfs: str = setting(
        "2", "--min-tmpfs", env="DIB_MIN_TMPFS", metavar="GiB", help="accepted for diskimage-builder's sake"
    )
    clear_env: bool = setting(False, "-c", kind="flag", help="start hooks with a clean environment")
    breakpoints: tuple[str, ...] = setting(
        (), env="break", kind="list", help="stop points: before-PHASE, after-PHASE, after-error"
    )

    # what is said
    trace: int = setting(0, "-x", env="DIB_DEBUG_TRACE", kind="count", help="trace hooks")
    logfile: Path | None = setting(
        None, "--logfile", env="LOGFILE", kind="path", metavar="FILE", help="append the log to a file"
    )
    log_format: str = setting(
        "plain", "--log-format", kind="choice:plain|json", help="how the log is written to a pipe"
    )
    verbosity: int = setting(0, "-v", kind="count", help="say more")
    quiet: bool = setting(False, "-q", env="DIB_QUIET", kind="flag", help="say only what went wrong")

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
