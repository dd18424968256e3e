"""The RPMs of the stand-in: what packages.toml says, and one for each package of Debian that it does not name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from centos7_stand_in.debian import Debian


@dataclass
class Package:
    """One RPM of the stand-in. ``files`` has the paths in its root, ``scripts`` the text of its scriptlets."""

    name: str
    version: str
    release: str
    epoch: str = ""
    arch: str = ""
    repository: str = "os"
    on_image: bool = False
    update: str = ""
    debs: tuple[str, ...] = ()
    rules: dict[str, Any] = field(default_factory=dict)
    provides: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    @property
    def uname(self) -> str:
        return f"{self.version}-{self.release}.x86_64"

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    def updated(self) -> Package:
        version, release = self.update.rsplit("-", 1)
        files = {path.replace(self.uname, f"{version}-{release}.x86_64") for path in self.files}
        own = {**self.__dict__, "version": version, "release": release, "repository": "updates", "files": files}
        return Package(**own)


def split_version(text: str) -> tuple[str, str, str]:
    epoch, _, rest = text.rpartition(":")
    version, _, release = rest.rpartition("-")
    return epoch, version, release


def read_packages(debian: Debian, table: dict[str, Any]) -> tuple[dict[str, Package], list[str], list[str]]:
    """What packages.toml says, and an RPM for each Debian package that it does not name; debs and paths to drop."""
    dropped = table["drop"]["debs"].split()
    packages = {}
    for name, rules in table["packages"].items():
        epoch, version, release = split_version(rules["v"])
        packages[name] = Package(
            name, version, release, epoch, rules.get("arch", "x86_64"), rules.get("repo", "os"), rules.get("on", False),
            rules.get("update", ""), tuple(rules.get("debs", "").split()), rules,
            list(rules.get("provides", [])), list(rules.get("requires", [])),
        )  # fmt: skip
    owner = {deb: package.name for package in packages.values() for deb in package.debs}
    for deb in debian.files:
        if deb in owner or deb in dropped or deb.startswith("linux-image-"):
            continue
        epoch, _, rest = debian.versions.get(deb, "0").rpartition(":")
        version, _, release = rest.rpartition("-")
        version, release = (version, release) if version else (release, "0")
        packages[deb] = Package(
            deb, version.replace("-", "_"), f"{release}.standin", epoch, "x86_64",
            on_image=deb in debian.on_image, debs=(deb,),
        )  # fmt: skip
        owner[deb] = deb
    for package in packages.values():
        needed = {owner[wanted] for deb in package.debs for wanted in debian.depends.get(deb, ()) if wanted in owner}
        package.requires += sorted(needed - {package.name, *package.requires})
    return packages, dropped, table["drop"]["paths"].split()
