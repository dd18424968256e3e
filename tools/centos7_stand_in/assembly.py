"""Debian's files in CentOS 7's places, held against the lists of what CentOS 7 publishes."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from centos7_stand_in import DATA
from centos7_stand_in.debian import Debian
from centos7_stand_in.packages import Package

KEYS = ("RPM-GPG-KEY-CentOS-7", "RPM-GPG-KEY-EPEL-7")


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def install(source: Path, target: Path, mode: int) -> None:
    """Copy a file to its place, whatever was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


class Assembly:
    """Puts Debian's files where CentOS 7 has them, and adds those that are the stand-in's own."""

    def __init__(self, debian: Debian, packages: dict[str, Package], key: Path) -> None:
        self.debian = debian
        self.packages = packages
        self.key = key

    def assemble(self, dropped: list[str], paths: list[str]) -> None:
        for deb in dropped:
            self._forget(deb)
        for package in self.packages.values():
            root = self.debian.tree if package.on_image else self.debian.extra
            for deb in package.debs:
                self._take(package, deb, root, paths)
        for package in self.packages.values():  # after all of them, as they take the place of others' files
            self._add(package, self.debian.tree if package.on_image else self.debian.extra)
        self._kernel()
        self._prune()

    def _prune(self) -> None:
        """Take away directories that nobody has any more."""
        owned = {path for package in self.packages.values() for path in package.files}
        owned -= {path for package in self.packages.values() for path in package.rules.get("link", {})}
        listed = {path for paths in self.debian.files.values() for path in paths} - owned
        for root in (self.debian.tree, self.debian.extra):
            for path in sorted(listed, reverse=True):
                directory = root / path[1:]
                if directory.is_dir() and not directory.is_symlink() and not any(directory.iterdir()):
                    directory.rmdir()

    def _forget(self, deb: str) -> None:
        if deb not in self.debian.files:
            return
        root = self.debian.root_of(deb)
        for path in self.debian.files[deb]:
            if not (root / path[1:]).is_dir() or (root / path[1:]).is_symlink():
                (root / path[1:]).unlink(missing_ok=True)

    def _take(self, package: Package, deb: str, root: Path, paths: list[str]) -> None:
        """Take over what a deb has, with the package's rules."""
        if deb not in self.debian.files:
            raise SystemExit(f"centos7-stand-in: {package.name} wants {deb}, which was not downloaded")
        here = self.debian.root_of(deb)
        if here != root and not package.on_image:
            raise SystemExit(f"centos7-stand-in: {package.name} would take {deb} off the image, which needs it")
        rules = package.rules
        for path in self.debian.files[deb]:
            source = here / path[1:]
            if path == "/" or not os.path.lexists(source):
                continue
            unwanted = path not in rules.get("only", (path,))
            if unwanted or matches(path, [*rules.get("drop", ()), *paths]):
                if not source.is_dir() or source.is_symlink():
                    source.unlink()
                continue
            if source.is_dir() and not source.is_symlink():
                gone = [*rules.get("drop", ()), *paths, *rules.get("move", {})]
                if not matches(f"{path}/", gone):
                    package.files.add(path)
                continue
            for pattern, wrong, right in rules.get("edit", ()):
                if fnmatch.fnmatchcase(path, pattern) and b"\0" not in source.read_bytes()[:512]:
                    source.write_text(re.sub(wrong, right, source.read_text(), flags=re.MULTILINE))
            target = self._moved(path, rules.get("move", {}))
            if target != path or here != root:
                (root / target[1:]).parent.mkdir(parents=True, exist_ok=True)
                source.rename(root / target[1:])
            package.files.add(target)

    @staticmethod
    def _moved(path: str, moves: dict[str, str]) -> str:
        for pattern, target in moves.items():
            if path == pattern:
                return target
            if pattern.endswith("*") and path.startswith(pattern[:-1]):
                return target + path[len(pattern) - 1 :]
        return path

    def _add(self, package: Package, root: Path) -> None:
        rules = package.rules
        own = DATA / "files" / package.name
        for source in sorted(path for path in own.rglob("*") if path.is_file()):
            path = f"/{source.relative_to(own)}"
            install(source, root / path[1:], 0o755 if os.access(source, os.X_OK) else 0o644)
            package.files.add(path)
        for path, mode in rules.get("mode", {}).items():
            (root / path[1:]).chmod(int(mode, 8))
        for path in rules.get("dir", ()):
            (root / path[1:]).mkdir(parents=True, exist_ok=True)
            package.files.add(path)
        for path, target in rules.get("link", {}).items():
            link = root / path[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(link)
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            package.files.add(path)
        keys = {"centos-release": KEYS[0], "epel-release": KEYS[1]}
        if package.name in keys:
            path = f"/etc/pki/rpm-gpg/{keys[package.name]}"
            install(self.key, root / path[1:], 0o644)
            package.files.add(path)

    def _kernel(self) -> None:
        """Debian's kernel under CentOS 7's name; it goes on to say Debian's, so that is written down beside it."""
        deb = next(name for name in self.debian.files if name.startswith("linux-image-"))
        says = deb.removeprefix("linux-image-")
        package = self.packages["kernel"]
        for kernel, root in ((package, self.debian.tree), (package.updated(), self.debian.extra)):
            kernel.files.clear()
            for path in self.debian.files[deb]:
                source = self.debian.extra / path[1:]
                if says not in path or not source.is_file():
                    continue
                target = path.replace(says, kernel.uname)
                (root / target[1:]).parent.mkdir(parents=True, exist_ok=True)
                os.link(source, root / target[1:])
                kernel.files.add(target)
            note = f"/usr/lib/modules/{kernel.uname}/stand-in-release"
            (root / note[1:]).write_text(f"{says}\n")
            kernel.files.update({note, f"/usr/lib/modules/{kernel.uname}"})
            if root == self.debian.tree:
                package.files = set(kernel.files)
        for path in self.debian.files[deb]:
            source = self.debian.extra / path[1:]
            if says in path and source.is_file():
                source.unlink()


def check_published(packages: dict[str, Package]) -> None:
    """Hold the packages against the lists of what CentOS 7 has in them; a line with ! is known to be missing."""
    wrong = []
    for listed in sorted((DATA / "published").glob("*")):
        package = packages[listed.name]
        for line in listed.read_text().splitlines():
            path = line.partition("#")[0].strip().replace("@UNAME@", package.uname)
            if path and not path.startswith("!") and path not in package.files:
                wrong.append(f"{package.name} lacks {path}")
    if wrong:
        raise SystemExit("centos7-stand-in: not as CentOS 7 publishes it:\n" + "\n".join(wrong))
