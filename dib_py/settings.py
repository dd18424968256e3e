"""The one table of settings: each field is an option, an environment name, its validation and its line in the docs.

Everything that a build can be told is a field of :class:`Settings`. The command line (``dib_py.cli.options``),
``docs/settings.rst`` and shell completion are made from the fields' metadata; the engine reads the attributes.
"""

# ruff: noqa: RUF009 - the functions called for defaults return dataclasses.field
from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dib_py.units import GIB


@dataclass(frozen=True)
class Setting:
    """One line of the table.

    ``kind`` says how text becomes the value: ``text``, ``flag``, ``count``, ``int``, ``float``, ``gib`` and ``mib``
    (to bytes), ``list`` (comma separated; an option may come again), ``path``, ``paths`` and
    ``directories`` (colon separated), ``choice:a|b|c``, ``checksum``, ``breakpoints``, ``target``, ``one-off``.
    """

    name: str
    default: Any
    options: tuple[str, ...]
    environment: tuple[str, ...]  # names in the order in which they are asked; the first that is not empty counts
    kind: str
    group: str
    metavar: str
    help: str

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.kind[len("choice:") :].split("|")) if self.kind.startswith("choice:") else ()

    @property
    def takes_value(self) -> bool:
        return self.kind not in ("flag", "count")


def setting(
    default: Any, *options: str, env: str = "", help: str, kind: str = "text", group: str, metavar: str = ""
) -> Any:
    """A field of :class:`Settings`; ``env`` holds one name or several, separated by spaces."""
    return field(
        default=default,
        metadata={
            "options": options,
            "environment": tuple(env.split()),
            "kind": kind,
            "group": group,
            "metavar": metavar,
            "help": help,
        },
    )


BUILT, START, KEPT, DISK, OUTPUT, HOW, SAID = (
    "What is built",
    "Where it starts",
    "What is kept",
    "The disk",
    "The output",
    "How it is built",
    "What is said",
)

_built = functools.partial(setting, group=BUILT)
_start = functools.partial(setting, group=START)
_kept = functools.partial(setting, group=KEPT)
_disk = functools.partial(setting, group=DISK)
_output = functools.partial(setting, group=OUTPUT)
_how = functools.partial(setting, group=HOW)
_said = functools.partial(setting, group=SAID)


@dataclass(frozen=True)
class OneOff:
    """Work asked for on the command line that needs no element, in the order given."""

    kind: str  # "run", "copy-in" or "root-password"
    argument: str  # for a root password the password itself


@dataclass(frozen=True)
class Settings:
    """All that a build is told; made by ``dib_py.cli.options.parse``, or directly by callers of the library."""

    elements: tuple[str, ...] = ()
    elements_path: tuple[Path, ...] = _built(
        (),
        env="ELEMENTS_PATH",
        kind="paths",
        metavar="DIR:...",
        help="where elements are looked for before the built-in ones; the first match wins",
    )
    image_name: str = _built(
        "image",
        "-o",
        env="IMAGE_NAME",
        metavar="NAME",
        help="name of the image file; its extension is the output format's, and may be given",
    )
    image_types: tuple[str, ...] = _built(("qcow2",), "-t", kind="list", metavar="TYPE,...", help="output formats")
    arch: str = _built("", "-a", env="ARCH", metavar="ARCH", help="architecture of the image (default: this machine's)")
    skip_base: bool = _built(False, "-n", env="SKIP_BASE", kind="flag", help="leave the base element out")
    packages: tuple[str, ...] = _built(
        (),
        "-p",
        kind="list",
        metavar="PACKAGE,...",
        help="packages to install once, after install.d; may be given again",
    )
    one_offs: tuple[OneOff, ...] = _built(
        (),
        "--run",
        "--copy-in",
        "--root-password",
        kind="one-off",
        help="work that needs no element, done after install.d in the order given",
    )
    install_type: str = _built(
        "source",
        "--install-type",
        env="DIB_DEFAULT_INSTALLTYPE",
        metavar="TYPE",
        help="how elements install what they offer in several ways: source or package",
    )
    ramdisk: bool = False  # set by the name of the command, ramdisk-image-create
    ramdisk_element: str = _built(
        "ramdisk",
        "--ramdisk-element",
        env="RAMDISK_ELEMENT",
        metavar="ELEMENT",
        help="element that ramdisk-image-create begins with",
    )

    base: str = _start("", "--base", env="DIB_LOCAL_IMAGE", metavar="FILE-or-URL", help="base image to start from")
    base_checksum: str = _start(
        "",
        "--base-checksum",
        metavar="[ALGORITHM:]DIGEST-or-URL",
        help="expected digest of the base image, or the address of the publisher's checksum file",
    )
    trust_base: bool = _start(
        False,
        "--trust-base",
        kind="flag",
        help="let host-side hooks and the host target work on a base image that nothing vouches for",
    )
    offline: bool = _start(False, "--offline", env="DIB_OFFLINE", kind="flag", help="use only what is cached")

    cache_dir: Path | None = _kept(
        None,
        "--image-cache",
        "--cache-dir",
        env="DIB_IMAGE_CACHE",
        kind="path",
        metavar="DIR",
        help="where downloads and, below layers/, the layers of finished steps are kept "
        "(default: ~/.cache/image-create and ~/.cache/dib-py/layers)",
    )
    no_cache: bool = _kept(
        False, "--no-cache", env="DIB_PY_NO_CACHE", kind="flag", help="run every step, and keep no layers"
    )
    cache_from: tuple[Path, ...] = _kept(
        (),
        "--cache-from",
        env="DIB_PY_CACHE_FROM",
        kind="directories",
        metavar="DIR:...",
        help="further cache directories, whose layers are used and never changed; may be given again",
    )
    layers_size: int = _kept(
        20 * GIB,
        "--layers-size",
        env="DIB_PY_LAYERS_SIZE",
        kind="gib",
        metavar="GiB",
        help="how much room layers may take; those that were not used for longest make room for others",
    )
    refresh: bool = _kept(
        False,
        "--refresh",
        kind="flag",
        help="fetch packages anew, whatever the day has; later builds go on from that",
    )
    packages_epoch: str = _kept(
        "",
        "--packages-epoch",
        env="DIB_PACKAGES_EPOCH",
        metavar="TEXT",
        help="how fresh packages are to be: with another text, steps that fetch run again (default: the day, UTC)",
    )

    image_size: int | None = _disk(
        None,
        "--image-size",
        env="DIB_IMAGE_SIZE",
        kind="gib",
        metavar="GiB",
        help="size of the disk (default: the base image's, or what the content needs)",
    )
    image_extra_size: int | None = _disk(
        None,
        "--image-extra-size",
        env="DIB_IMAGE_EXTRA_SIZE",
        kind="mib",
        metavar="MiB",
        help="room on top of what the content needs, where no size is given",
    )
    fs_type: str = _disk("ext4", env="FS_TYPE", metavar="TYPE", help="type of the root filesystem")
    root_label: str = _disk("", "--root-label", env="ROOT_LABEL", metavar="LABEL", help="label of the root filesystem")
    mkfs_options: str = _disk(
        "",
        "--mkfs-options",
        env="MKFS_OPTS",
        metavar="OPTIONS",
        help="further options for mkfs of the root filesystem, as one string",
    )
    mkfs_journal_size: int = _disk(
        64,
        "--mkfs-journal-size",
        env="DIB_JOURNAL_SIZE",
        kind="int",
        metavar="MiB",
        help="size of the ext4 journal",
    )
    max_online_resize: int | None = _disk(
        None,
        "--max-online-resize",
        env="MAX_ONLINE_RESIZE",
        kind="int",
        metavar="BLOCKS",
        help="how far the root filesystem can grow while mounted",
    )
    block_device_config: str = _disk(
        "", env="DIB_BLOCK_DEVICE_CONFIG", metavar="YAML", help="block-device YAML, or file:// and its path"
    )
    sector_size: int | None = _disk(
        None, env="DIB_BLOCK_SIZE", kind="int", metavar="BYTES", help="sector size of the disk: 512 or 4096"
    )

    compress: bool = _output(True, "-u", kind="flag", help="do not compress the image: larger but faster")
    compression: str = _output(
        "",
        "--compression",
        kind="choice:zstd|zlib|none",
        help="how qcow2 is compressed (default: zstd, or zlib where the options ask for compat=0.10)",
    )
    checksum: tuple[str, ...] = _output(
        (),
        "--checksum",
        env="DIB_CHECKSUM",
        kind="checksum",
        metavar="[=md5,sha256]",
        help="write checksum files beside the image (default: both kinds)",
    )
    qemu_img_options: str = _output(
        "",
        "--qemu-img-options",
        env="QEMU_IMG_OPTIONS",
        metavar="KEY=VALUE,...",
        help="options for qemu-img convert",
    )
    docker_target: str = _output(
        "",
        "--docker-target",
        env="DOCKER_TARGET",
        metavar="NAME:TAG",
        help="name under which a container image is loaded (default: the image's own)",
    )
    squashfs_compression: str = _output(
        "xz",
        env="DIB_SQUASHFS_COMPRESSION",
        kind="choice:gzip|lz4|lzo|xz|zstd",
        help="how squashfs is compressed",
    )
    overwrite: bool = _output(
        True,
        env="OVERWRITE_OLD_IMAGE",
        kind="flag",
        help="0 moves an existing image aside, with its date in its name, instead of replacing it",
    )

    verify: bool = _output(
        False,
        "--verify",
        env="DIB_PY_VERIFY",
        kind="flag",
        help="boot the image before it takes its name, as dib-py verify does; the build fails if it does not pass",
    )

    target: str = _how(
        "auto",
        "--target",
        env="DIB_PY_TARGET",
        kind="target",
        metavar="auto|guestfs|host|NAME",
        help="how the guest is reached: by libguestfs, mounted on this machine, or as another package has it",
    )
    hook_timeout: float | None = _how(
        None,
        "--hook-timeout",
        env="DIB_HOOK_TIMEOUT",
        kind="float",
        metavar="SECONDS",
        help="end a hook that runs longer, and the build with it",
    )
    memory: int = _how(
        2048, "--memory", env="DIB_PY_MEMORY", kind="int", metavar="MiB", help="memory of the libguestfs appliance"
    )
    vcpus: int = _how(
        0,
        "--vcpus",
        env="DIB_PY_VCPUS",
        kind="int",
        metavar="N",
        help="processors of the libguestfs appliance (default: all)",
    )
    ca_bundle: str = _how(
        "",
        "--ca-bundle",
        env="DIB_PY_CA_BUNDLE",
        metavar="FILE",
        help="certificate authorities that the guest trusts during the build only",
    )
    tmp_dir: Path | None = _how(
        None,
        "--tmp-dir",
        env="TMPDIR TMP_DIR",
        kind="path",
        metavar="DIR",
        help="where the build works (default: /var/tmp)",
    )
    no_tmpfs: bool = _how(
        False,
        "--no-tmpfs",
        env="DIB_NO_TMPFS",
        kind="flag",
        help="accepted for diskimage-builder's sake: builds never work in memory",
    )
    min_tmpfs: str = _how(
        "2", "--min-tmpfs", env="DIB_MIN_TMPFS", metavar="GiB", help="accepted for diskimage-builder's sake"
    )
    clear_env: bool = _how(False, "-c", env="CLEAR_ENV", kind="flag", help="start hooks with a clean environment")
    breakpoints: tuple[str, ...] = _how(
        (),
        "--break",
        env="break",
        kind="breakpoints",
        metavar="POINT,...",
        help="open a shell at before-PHASE, after-PHASE or after-error",
    )

    trace: int = _said(0, "-x", env="DIB_DEBUG_TRACE", kind="count", help="trace hooks; given twice, in more detail")
    logfile: Path | None = _said(
        None,
        "--logfile",
        kind="path",
        metavar="FILE",
        help="append the log to a file, and print nothing else unless DIB_QUIET=0 (default: a file of its own)",
    )
    log_format: str = _said(
        "plain",
        "--log-format",
        env="DIB_PY_LOG_FORMAT",
        kind="choice:plain|json",
        help="what is printed and written to --logfile: diskimage-builder's lines, or one JSON object a line",
    )
    timestamps: bool = _said(
        True, env="DIB_NO_TIMESTAMP", kind="flag", help="1 prints lines without the time before them"
    )
    verbosity: int = _said(0, "-v", "--verbose", kind="count", help="say more; on a terminal also what the hooks print")
    quiet: bool = _said(
        False,
        "-q",
        "--quiet",
        env="DIB_QUIET",
        kind="flag",
        help="say only what went wrong",
    )

    argv: tuple[str, ...] = ()  # the command line as typed, with secrets masked
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)


# Where the variable says the opposite of the field's name.
INVERTED = frozenset({"timestamps"})


@functools.cache
def table() -> tuple[Setting, ...]:
    """Every setting that has an option or an environment name, in the order in which help and docs show them."""
    return tuple(
        Setting(name=entry.name, default=entry.default, **entry.metadata)
        for entry in dataclasses.fields(Settings)
        if entry.metadata
    )


# What the engine reads of the environment besides: names that no option has, as they come from diskimage-builder or
# concern this machine rather than an image.
ENVIRONMENT_ONLY = {
    "break_cmd": "what runs at a break point in place of bash",
    "break_outside_target": "opens the shell of after-error on this machine, also where a hook in the guest failed",
    "DIB_GZIP_BIN": "the program that compresses tgz and container images, with its options (default: pigz, else gzip)",
    "DIB_LOCKFILES": "where hooks keep their lock files (default: ~/.cache/dib/lockfiles)",
    "DIB_PY_KVM": "yes or no, in place of the proof that KVM works here",
    "DIB_PYTHON_EXEC": "the Python that host-side hooks are told of (default: dib-py's own)",
    "IMAGE_TYPE": "what hooks are told of the image's type (default: qcow2)",
    "RUN_PARTS_REGEX": "which names of files in a hook directory are run (default: letters, digits, _ and - only)",
    "SUPERMIN_KERNEL": "the kernel of the libguestfs appliance, as supermin knows it (default: one of /boot)",
    "CURL_CA_BUNDLE": "further certificate authorities for downloads; so are REQUESTS_CA_BUNDLE and SSL_CERT_FILE",
}
