"""What this machine can do: each finding is ok, a warning or a failure, with how to mend it.

Nothing is changed and nothing is built; the longest check is the proof of KVM. A target can work when nothing in its
group, or in the group of both, failed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dib_py
from dib_py import process
from dib_py.errors import HostError
from dib_py.host_programs import BOTH, ELEMENTS, GUESTFS, HOST, PROGRAMS, VERIFY, WINDOWS, find
from dib_py.layers import eviction
from dib_py.layers.store import Store
from dib_py.render.measures import count_of, size
from dib_py.units import GIB
from dib_py.verify.firmware import ovmf

OK, WARN, FAIL = "ok", "warn", "fail"
VERSIONS, SPACE = "versions", "space"
SPACE_ENOUGH = 10 * GIB  # a distribution's image, its layers and the output beside it
SPACE_LEAST = 2 * GIB


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``mend`` says what to do about anything but ok."""

    group: str
    name: str
    verdict: str
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Machine:
    """Where the checks look; tests give a tree of their own."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)

    def program(self, name: str) -> str | None:
        return find(name, self.environ)

    def install(self, debian: str, fedora: str) -> str:
        """The command that installs a package here."""
        family = self._os_release()
        if "debian" in family or "ubuntu" in family:
            return f"apt-get install {debian}"
        if "fedora" in family or "rhel" in family:
            return f"dnf install {fedora}"
        return f"install the package {debian} (Debian, Ubuntu) or {fedora} (Fedora)"

    @property
    def is_rhel(self) -> bool:
        """Whether this is RHEL or a rebuild of it."""
        return re.search(r"^ID(_LIKE)?=.*\brhel\b", self._os_release(), re.MULTILINE) is not None

    def _os_release(self) -> str:
        try:
            lines = (self.root / "etc/os-release").read_text().splitlines()
        except OSError:
            return ""
        return "\n".join(line for line in lines if line.startswith(("ID=", "ID_LIKE=")))


def examine(machine: Machine, places: Mapping[str, Path], layers: Path, layers_size: int) -> list[Finding]:
    """Everything that can be said; ``places`` are the directories whose free space counts, by what they are for.

    ``layers`` is the store of layers, which may have ``layers_size`` bytes.
    """
    return [
        *versions(machine),
        *programs(machine),
        *guestfs_target(machine),
        *host_target(machine),
        *elements(machine),
        *windows(machine),
        *verify(machine),
        *space({**places, "layers": layers}),
        layer_store(layers, layers_size),
    ]


def working_targets(findings: list[Finding]) -> list[str]:
    """The targets that can work, the one that auto would rather take first."""
    failed = {finding.group for finding in findings if finding.verdict == FAIL}
    if BOTH in failed:
        return []
    return [name for name, group in (("guestfs", GUESTFS), ("host", HOST)) if group not in failed]


def versions(machine: Machine) -> Iterator[Finding]:
    yield Finding(VERSIONS, "dib-py", OK, dib_py.__version__)
    yield Finding(VERSIONS, "python", OK, f"{platform.python_version()} ({sys.executable})")
    yield Finding(VERSIONS, "kernel", OK, f"{platform.release()} {platform.machine()}")
    if machine.program("qemu-img"):
        yield Finding(VERSIONS, "qemu", OK, process.run(["qemu-img", "--version"]).splitlines()[0])


def programs(machine: Machine) -> Iterator[Finding]:
    for wanted in PROGRAMS:
        path = machine.program(wanted.name)
        if path:
            yield Finding(wanted.group, wanted.name, OK, path)
        else:
            verdict = FAIL if wanted.required else WARN
            mend = machine.install(wanted.debian, wanted.fedora)
            yield Finding(wanted.group, wanted.name, verdict, f"missing: {wanted.purpose}", mend)


def guestfs_target(machine: Machine) -> Iterator[Finding]:
    yield _bindings(machine)
    yield _emulator(machine)
    yield _appliance_kernel(machine)
    yield _appliance_xfs(machine)
    yield _kvm(machine)


def _bindings(machine: Machine) -> Finding:
    try:
        import guestfs
    except ImportError as error:
        mend = machine.install("python3-guestfs", "python3-libguestfs")
        mend += "; a virtual environment must be made with --system-site-packages"
        return Finding(GUESTFS, "libguestfs", FAIL, f"the python bindings can't be imported: {error}", mend)
    version = guestfs.GuestFS(python_return_dict=True).version()
    return Finding(GUESTFS, "libguestfs", OK, "{major}.{minor}.{release}".format(**version))


def _emulator(machine: Machine) -> Finding:
    name = f"qemu-system-{platform.machine()}"
    for candidate in (name, "qemu-kvm", "/usr/libexec/qemu-kvm"):
        path = machine.program(candidate)
        if path:
            return Finding(GUESTFS, "qemu", OK, path)
    mend = machine.install("qemu-system-x86" if "86" in name else "qemu-system-arm", "qemu-kvm-core")
    return Finding(GUESTFS, "qemu", FAIL, f"missing: {name} runs the appliance", mend)


def _appliance_kernel(machine: Machine) -> Finding:
    given = machine.environ.get("SUPERMIN_KERNEL")
    kernels = [Path(given)] if given else sorted((machine.root / "boot").glob("vmlinuz-*"))
    readable = [kernel for kernel in kernels if os.access(kernel, os.R_OK)]
    if readable:
        return Finding(GUESTFS, "kernel for the appliance", OK, str(readable[-1]))
    if kernels:
        mend = f"chmod a+r {kernels[-1]}, or run as root"
        return Finding(GUESTFS, "kernel for the appliance", FAIL, f"{kernels[-1]} can't be read", mend)
    mend = machine.install("linux-image-cloud-amd64", "kernel-core")
    return Finding(GUESTFS, "kernel for the appliance", FAIL, "there is no /boot/vmlinuz-*", mend)


def _appliance_xfs(machine: Machine) -> Finding:
    if any((machine.root / "usr").glob("lib*/**/guestfs/supermin.d/*packages-xfs")):
        return Finding(GUESTFS, "xfs in the appliance", OK, "there")
    mend = machine.install("libguestfs-xfs", "libguestfs-xfs")
    return Finding(GUESTFS, "xfs in the appliance", WARN, "missing: images on xfs need the host target", mend)


def _kvm(machine: Machine) -> Finding:
    from dib_py.target.probe import kvm_works

    verdict = kvm_works(machine.environ)
    if verdict.works:
        return Finding(GUESTFS, "KVM", OK, verdict.reason)
    detail = f"{verdict.reason}: the appliance runs under TCG, some fifty times slower"
    return Finding(GUESTFS, "KVM", WARN, detail, "use a machine whose processors KVM can use, or --target host")


def elements(machine: Machine) -> Iterator[Finding]:
    """What only some elements need, beside programs."""
    if any((machine.root / "usr/share/keyrings").glob("debian-archive-keyring.*")):
        yield Finding(ELEMENTS, "Debian's keyring", OK, "there")
    else:
        mend = machine.install("debian-archive-keyring", "debian-keyring")
        yield Finding(ELEMENTS, "Debian's keyring", WARN, "missing: verifies what bootstraps Debian", mend)


def windows(machine: Machine) -> Iterator[Finding]:
    """What Windows images need beside the guestfs target; nothing else does."""
    try:
        import hivex  # noqa: F401 - whether it is there is the question
    except ImportError as error:
        mend = machine.install("python3-hivex", "python3-hivex")
        detail = f"the python bindings can't be imported: {error}"
        yield Finding(WINDOWS, "hivex", WARN, detail, f"{mend}; a virtual environment needs --system-site-packages")
    else:
        yield Finding(WINDOWS, "hivex", OK, "edits registry hives")
    if machine.is_rhel:
        mend = "build on Fedora, Debian or Ubuntu"
        yield Finding(WINDOWS, "the appliance", WARN, "that of RHEL and its rebuilds can't write NTFS", mend)


def host_target(machine: Machine) -> Iterator[Finding]:
    yield (
        Finding(HOST, "root", OK, "yes")
        if machine.is_root
        else Finding(HOST, "root", FAIL, "this user can't mount", "run dib-py as root, for example with sudo")
    )
    for device, module in (("loop-control", "loop"), ("fuse", "fuse")):
        there = (machine.root / "dev" / device).exists()
        mend = "" if there else f"modprobe {module}; in a container, give it /dev/{device}"
        yield Finding(HOST, f"/dev/{device}", OK if there else FAIL, "there" if there else "missing", mend)
    yield _fuse_export(machine)
    yield _namespaces(machine)
    yield from _filesystems(machine)


def _fuse_export(machine: Machine) -> Finding:
    name = "storage daemon's FUSE export"
    if not machine.program("qemu-storage-daemon"):
        return Finding(HOST, name, FAIL, "there is no storage daemon")
    if "fuse" in process.run(["qemu-storage-daemon", "--help"]):
        return Finding(HOST, name, OK, "there")
    return Finding(
        HOST, name, FAIL, "this qemu was built without it", "install a qemu with FUSE exports (6.0 or later)"
    )


def _namespaces(machine: Machine) -> Finding:
    if not machine.is_root:
        return Finding(HOST, "namespaces", WARN, "not tried without root")
    try:
        process.run(["unshare", "--mount", "--pid", "--fork", "true"])
    except HostError:
        mend = "a container needs the capability SYS_ADMIN (podman or docker: --privileged)"
        return Finding(HOST, "namespaces", FAIL, "mount and pid namespaces can't be made", mend)
    return Finding(HOST, "namespaces", OK, "mount and pid namespaces can be made")


def _filesystems(machine: Machine) -> Iterator[Finding]:
    """What the kernel can mount, now or after loading a module that lies ready."""
    known = (machine.root / "proc/filesystems").read_text().split()
    modules = machine.root / "lib/modules" / platform.release() / "modules.dep"
    loadable = modules.read_text() if modules.exists() else ""
    uses = {
        "ext4": (FAIL, "most images have it"),
        "overlay": (FAIL, "it holds what host-side hooks write"),
        "vfat": (WARN, "an EFI system partition needs the guestfs target"),
        "xfs": (WARN, "images on xfs need the guestfs target"),
        "btrfs": (WARN, "images on btrfs need the guestfs target"),
    }
    for name, (verdict, why) in uses.items():
        if name in known or f"/{name}.ko" in loadable:
            yield Finding(HOST, f"filesystem {name}", OK, "mountable")
        else:
            mend = "use a kernel with it" if verdict == FAIL else "--target guestfs, or a kernel with it"
            yield Finding(HOST, f"filesystem {name}", verdict, f"this kernel lacks it: {why}", mend)


def verify(machine: Machine) -> Iterator[Finding]:
    """What only ``dib-py verify`` needs; none of it keeps a build from working."""
    try:
        import nbd
    except ImportError as error:
        mend = machine.install("python3-libnbd", "python3-libnbd")
        yield Finding(VERIFY, "libnbd", WARN, f"verdicts are not kept for another time: {error}", mend)
    else:
        yield Finding(VERIFY, "libnbd", OK, nbd.NBD().get_version())
    try:
        yield Finding(VERIFY, "UEFI firmware", OK, str(ovmf().code))
    except HostError as error:
        mend = machine.install("ovmf", "edk2-ovmf")
        yield Finding(VERIFY, "UEFI firmware", WARN, error.message, mend)


def space(places: Mapping[str, Path]) -> Iterator[Finding]:
    for purpose, path in places.items():
        there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        free = shutil.disk_usage(there).free
        detail = f"{size(free)} free at {path}"
        if free >= SPACE_ENOUGH:
            yield Finding(SPACE, purpose, OK, detail)
        else:
            verdict = WARN if free >= SPACE_LEAST else FAIL
            yield Finding(SPACE, purpose, verdict, detail, _MEND_SPACE[purpose])


_MEND_SPACE = {
    "build directory": "make room, or name a roomier directory in TMPDIR",
    "cache": "make room, or name a roomier directory with --image-cache",
    "layers": "make room (dib-py layers gc), or name a roomier directory with --cache-dir",
}


def layer_store(directory: Path, cap: int) -> Finding:
    """What the store of layers has, or why a build could not use it; none is made here."""
    name = "layer store"
    if not directory.exists():
        return Finding(SPACE, name, OK, f"none yet at {directory}")
    try:
        store = Store.open(directory, read_only=True)
    except HostError as error:
        return Finding(SPACE, name, WARN, str(error), error.hint)
    count, taken = sum(1 for _ in store.places.records.glob("*.json")), eviction.total(store.places)
    return Finding(SPACE, name, OK, f"{count_of(count, 'layer')}, {size(taken)} of at most {size(cap)} in {directory}")
