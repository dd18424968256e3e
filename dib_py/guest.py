"""What the engine itself does inside the guest's tree around the hooks: resolver, authorities, mount points, leftovers.

Everything here goes through the target's file operations, so it is the same for a mounted tree and for the appliance.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dib_py.errors import DibError, UsageError
from dib_py.phases import HOOKS_IN_GUEST
from dib_py.target import Mount, Target

RESOLVER = "/etc/resolv.conf"
ORIGINAL = "/etc/resolv.conf.ORIG"  # an interface: elements edit it to change what the image keeps
CA_FILE = "ca-certificates.crt"
APT_CA_FILE = "apt-authorities.conf"
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
)

_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")

# What a tree may hold and still count as empty after root.d.
NOTHING = {"lost+found", "tmp"}

_TIDY = r"""
set -eu
find /tmp -mindepth 1 -xdev -delete 2>/dev/null || :
[ ! -d /var/log ] || find /var/log -xdev -type f -exec sh -c 'for f; do : > "$f"; done' sh {} +
[ ! -d /root ] || find /root -xdev -type f -name '*.log' -delete
"""


class Resolver:
    """The guest's ``/etc/resolv.conf`` during the build, and what the image gets back at the end."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def install(self) -> None:
        """Put the build's resolver in place, the image's own one aside."""
        target = self._target
        if not target.exists("/etc"):
            return
        if target.is_symlink(RESOLVER) or target.exists(RESOLVER):
            target.rename(RESOLVER, ORIGINAL)
        target.write(RESOLVER, target.resolver())

    def restore(self) -> None:
        """Give the image its resolver back, unless an element made its own (a symbolic link, or an immutable file)."""
        target = self._target
        if target.is_symlink(RESOLVER):
            target.remove(ORIGINAL)
            return
        try:
            target.remove(RESOLVER)
        except DibError:  # immutable: an element wants this one kept
            target.remove(ORIGINAL)
            return
        if target.is_symlink(ORIGINAL) or target.exists(ORIGINAL):
            target.rename(ORIGINAL, RESOLVER)


def authorities(settings_bundle: str, environ: Mapping[str, str]) -> Path | None:
    """The certificate bundle that this build hands to the guest: the one asked for, else the one this machine's
    environment names; None when neither does. UsageError for one that was asked for and holds no certificates."""
    if settings_bundle:
        _require_certificates(Path(settings_bundle))
        return Path(settings_bundle)
    for name in CA_VARIABLES:
        path = Path(environ.get(name, ""))
        if path.is_file():
            return path
    return None


def _require_certificates(bundle: Path) -> None:
    try:
        content = bundle.read_bytes()
    except OSError as error:
        raise UsageError(f"--ca-bundle: {bundle} can't be read: {error.strerror}") from error
    if not _CERTIFICATE.search(content):
        raise UsageError(f"--ca-bundle: {bundle} holds no certificates", hint="it takes a file of PEM certificates")


def stage_authorities(bundle: Path, hooks: Path) -> dict[str, str]:
    """Put the bundle where the guest sees it only during the build; returns the variables that point at it there."""
    (hooks / CA_FILE).write_bytes(bundle.read_bytes())
    inside = f"{HOOKS_IN_GUEST}/{CA_FILE}"
    (hooks / APT_CA_FILE).write_text(f'Acquire::https::CAInfo "{inside}";\n')
    return {**dict.fromkeys(CA_VARIABLES, inside), "APT_CONFIG": f"{HOOKS_IN_GUEST}/{APT_CA_FILE}"}


def hide_lost_and_found(target: Target) -> None:
    """Take ``lost+found`` out of a fresh root: bootstrappers insist on an empty directory."""
    target.remove("/lost+found")


def show_lost_and_found(target: Target, fstype: str) -> None:
    """Give a root of this type its ``lost+found`` back, where such a filesystem has one.

    mke2fs makes it again only when asked; e2fsck would, so it is no loss that a failed build leaves it out.
    """
    if fstype.startswith("ext"):
        target.make_directory("/lost+found", 0o700)


def is_empty(target: Target) -> bool:
    """Whether root.d left nothing in the tree."""
    return not set(target.listdir("/")) - NOTHING


def mount_below(target: Target, mounts: Sequence[Mount]) -> None:
    """Mount the filesystems below the root, moving what root.d put at their mount points into them."""
    for mount in mounts:
        if not mount.path.startswith("/"):
            continue  # swap
        names = target.listdir(mount.path) if target.exists(mount.path) else []
        if not names:
            target.mount([mount])
            continue
        with tempfile.TemporaryDirectory(prefix="moved-") as scratch:
            archive = Path(scratch) / "content.tar"
            target.tar_out(mount.path, archive)
            for name in names:
                target.remove(f"{mount.path.rstrip('/')}/{name}")
            target.mount([mount])
            target.tar_in(archive, mount.path)


def tidy(target: Target, environment: Mapping[str, str]) -> None:
    """Empty /tmp and the logs, as the last thing before the tree is closed."""
    target.run(["/bin/sh", "-c", _TIDY], env=environment, output=lambda chunk: None)
