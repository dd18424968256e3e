"""Debian's packages: where their files are, and what they depend on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from centos7_stand_in.programs import run

SUITE = "bookworm"
MERGED = re.compile(r"^/(bin|sbin|lib|lib32|lib64|libx32)(?=/|$)")


def merged(path: str) -> str:
    """A path of Debian's as it is where /bin and its like are links into /usr."""
    path = "/" + path.strip().removeprefix("./").strip("/")
    return MERGED.sub(r"/usr/\1", path)


class Debian:
    """The Debian packages: where their files are, and what they depend on."""

    def __init__(self, work: Path, wanted: dict[str, str]) -> None:
        self.wanted = {name: listed.split() for name, listed in wanted.items()}
        self.tree = work / "tree"
        self.extra = work / "extra"
        self.files: dict[str, list[str]] = {}
        self.depends: dict[str, list[str]] = {}
        self.versions: dict[str, str] = {}
        self.on_image: set[str] = set()

    def bootstrap(self, kept: Path | None) -> None:
        """Make the tree, or unpack it from the archive that an earlier run has kept."""
        if kept and kept.exists():
            self.tree.mkdir()
            run("tar", "-C", self.tree, "-xf", kept)
            return
        script = (
            'set -e; chroot "$1" apt-get install --no-install-recommends --yes --download-only '
            + " ".join(self.wanted["in-repository"])
            + '; kernel=$(chroot "$1" apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: //p");'
            ' chroot "$1" sh -c "cd /var/cache/apt/archives && apt-get download $kernel"'
        )
        leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
        # no locale is generated, and C.UTF-8 is there without
        arguments = [
            "--variant=minbase",
            f"--include={','.join(self.wanted['on-image'])}",
            '--aptopt=APT::Install-Recommends "0"',
        ]
        arguments += [
            "--dpkgopt=force-unsafe-io",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
        ]
        arguments += ["--skip=essential/unlink,cleanup/apt,check/empty", *leave_out, f"--customize-hook={script}"]
        run("mmdebstrap", "--mode=root", *arguments, SUITE, self.tree, timeout=900)
        if kept:
            fresh = kept.with_suffix(f".{os.getpid()}")
            run("tar", "-C", self.tree, "--one-file-system", "-cf", fresh, ".")
            fresh.rename(kept)

    def read(self) -> None:
        archives = self.tree / "var/cache/apt/archives"
        info = self.tree / "var/lib/dpkg/info"
        for listed in info.glob("*.list"):
            name = listed.stem.partition(":")[0]
            self.on_image.add(name)
            self.files[name] = [merged(path) for path in listed.read_text().splitlines()]
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.extra / "usr" / name).mkdir(parents=True)
            (self.extra / name).symlink_to(f"usr/{name}")
        for archive in sorted(archives.glob("*.deb")):
            text = run("dpkg-deb", "--field", archive, "Package", "Version", "Depends", "Pre-Depends")
            fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            name = fields["Package"]
            self.versions[name] = fields["Version"]
            wanted = f"{fields.get('Depends', '')}, {fields.get('Pre-Depends', '')}"
            self.depends[name] = [re.split(r"[\s(:|]", word.strip(), maxsplit=1)[0] for word in wanted.split(",")]
            if name not in self.on_image:
                self.files[name] = self._unpack(archive)

    def _unpack(self, archive: Path) -> list[str]:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as source:
            extract: list[str | Path] = ["tar", "--extract", "--verbose", "--keep-directory-symlink", "-C", self.extra]
            listed = subprocess.run(extract, stdin=source.stdout, stdout=subprocess.PIPE, text=True, check=True)
        return [merged(path) for path in listed.stdout.splitlines()]

    def root_of(self, deb: str) -> Path:
        return self.tree if deb in self.on_image else self.extra
