"""RPMs from the two trees, signed, in repositories like those of the vault."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from centos7_stand_in import DATA
from centos7_stand_in.debian import Debian
from centos7_stand_in.packages import Package
from centos7_stand_in.programs import run

VAULT = "7.9.2009"


class Builder:
    """RPMs from the two trees, signed, in repositories laid out as the vault's."""

    def __init__(self, work: Path, debian: Debian, keys: Path) -> None:
        self.work = work
        self.debian = debian
        self.keys = keys

    def build(self, packages: Iterable[Package]) -> dict[str, Path]:
        """The files of packages, by name. One run of rpmbuild makes all of them."""
        packages = list(packages)
        out = Path(tempfile.mkdtemp(dir=self.work))
        counted = Counter(path for package in packages for path in package.files)
        spec = out / "stand-in.spec"
        lines = ["Name: stand-in", "Version: 1", "Release: 1", "Summary: none of it is built", "License: various"]
        lines += ["%description", "x", ""]
        for package in packages:
            lines += self._sections(package, out, counted)
        spec.write_text("\n".join(lines) + "\n")
        define = {
            "_topdir": out / "top",
            "_rpmdir": out / "rpms",
            "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_binary_payload": "w1.zstdio",
            "_unpackaged_files_terminate_build": "0",
            "__os_install_post": "%{nil}",
            "_binaries_in_noarch_packages_terminate_build": "0",
            "_build_id_links": "none",
            "__brp_mangle_shebangs": "%{nil}",
            "vendor": "stand-in for CentOS 7, built from Debian's packages",
        }
        arguments = [word for key, value in define.items() for word in ("--define", f"{key} {value}")]
        root = self.work / "root"
        run("rpmbuild", "-bb", "--noclean", *arguments, "--buildroot", root, spec, timeout=600)
        return {package.name: out / "rpms" / package.file_name for package in packages}

    def _sections(self, package: Package, out: Path, counted: Counter[str]) -> Iterator[str]:
        name = package.name
        yield f"%package -n {name}"
        yield f"Summary: stand-in for CentOS 7's {name}"
        yield f"Version: {package.version}"
        yield f"Release: {package.release}"
        if package.epoch:
            yield f"Epoch: {package.epoch}"
        if package.arch == "noarch":
            yield "BuildArch: noarch"
        yield "AutoReqProv: no"
        yield from (f"Provides: {text}" for text in package.provides)
        yield from (f"Requires: {text}" for text in package.requires)
        yield f"%description -n {name}\nDebian's files under the name of CentOS 7's {name}. Not CentOS.\n"
        for kind in ("pre", "post", "preun", "postun", "posttrans"):
            script = DATA / "scripts" / f"{name}.{kind}"
            if script.exists():
                yield f"%{kind} -n {name}\n{script.read_text().replace('@UNAME@', package.uname)}"
        yield f"%files -n {name}"
        yield from self._file_lines(package, counted)
        yield ""

    def _file_lines(self, package: Package, counted: Counter[str]) -> Iterator[str]:
        for path in sorted(package.files):
            real = self.work / "root" / path[1:]
            quoted = '"' + re.sub(r"([\[?*])", r"[\1]", path.replace("%", "%%")) + '"'
            if real.is_dir() and not real.is_symlink():
                if counted[path] == 1:
                    yield f"%dir {quoted}"
            elif path.startswith("/etc/") and not real.is_symlink():
                yield f"%config(noreplace) {quoted}"
            else:
                yield quoted

    def sign(self, files: Iterable[Path]) -> None:
        arguments = [
            "--define",
            "_gpg_name stand-in",
            "--define",
            f"_gpg_path {self.keys}",
            "--define",
            "__gpg /usr/bin/gpg",
        ]
        run("rpmsign", *arguments, "--addsign", *files, timeout=300)


@contextmanager
def signing_key(directory: Path) -> Iterator[Path]:
    """A key for signing packages, in a keyring of its own; gives the public half as a file."""
    directory.mkdir(mode=0o700)
    environment = {**os.environ, "GNUPGHOME": str(directory)}
    options = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    name = "stand-in for CentOS 7 <stand-in@example.com>"
    public = directory / "public.asc"
    try:
        run("gpg", *options, "--quick-generate-key", name, "rsa2048", "sign", "never", env=environment)
        run("gpg", "--batch", "--armor", "--output", public, "--export", env=environment)
        yield public
    finally:
        run("gpgconf", "--kill", "all", env=environment)  # the agent that gpg has started


def make_repositories(output: Path, files: Iterable[tuple[Package, Path]]) -> None:
    """The vault's layout, below other names for the same that mirrors have, and EPEL beside it."""
    places = {name: output / VAULT / name / "x86_64" for name in ("os", "updates", "extras", "centosplus", "fasttrack")}
    places["epel"] = output / "epel/7/x86_64"
    for place in places.values():
        (place / "Packages").mkdir(parents=True)
    for package, file in files:
        directory = places[package.repository] / "Packages"
        if package.repository == "epel":
            directory = directory / package.name[0]
            directory.mkdir(exist_ok=True)
        shutil.copyfile(file, directory / file.name)
    for place in places.values():
        run("createrepo_c", "--quiet", "--general-compress-type=gz", place, timeout=120)
    for link, target in (("7", VAULT), ("centos", "."), ("pub", ".")):
        (output / link).symlink_to(target)
