"""Which sections of an INF file are meant for a system: ``[Models.NTamd64.10.0...17763]`` and the like.

The decoration is Microsoft's TargetOSVersion: ``NT[architecture][.[major][.[minor][.[product][.[suite][.[build]]]]]]``.
Windows takes the section that fits and asks for most.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from dib_py.errors import DibError
from dib_py.windows.inf import Entry, Inf

WORKSTATION, DOMAIN_CONTROLLER, SERVER = 1, 2, 3  # VER_NT_... of winnt.h
ARCHITECTURES = ("x86", "amd64", "arm64")
_DECORATION = re.compile(r"nt(?P<arch>x86|ia64|amd64|arm|arm64)?(?P<rest>(?:\.\w*)*)", re.IGNORECASE)


@dataclass(frozen=True)
class System:
    """For what a driver is chosen: the architecture as in INF files, and Windows' version."""

    arch: str
    major: int
    minor: int
    build: int
    product: int  # WORKSTATION or SERVER

    def __str__(self) -> str:
        kind = "client" if self.product == WORKSTATION else "server"
        return f"{self.arch} {kind} {self.major}.{self.minor}.{self.build}"

    def fit(self, decoration: str) -> tuple[int, ...] | None:
        """How much the decoration asks for, to be compared; None where this system isn't meant.

        DibError for what is no decoration.
        """
        match = _DECORATION.fullmatch(decoration)
        fields = ([] if match is None else match["rest"].split("."))[1:]
        if match is None or len(fields) > 5 or not all(field == "" or field.isdecimal() for field in fields):
            raise DibError(f"{decoration} is no version of Windows", hint="NTamd64.10.0...17763, for example")
        arch = (match["arch"] or "").lower()
        if arch not in ("", self.arch):
            return None
        major, minor, product, suite, build = (
            int(field[:9]) if field else None for field in [*fields, *[""] * (5 - len(fields))]
        )
        asked = (major or 0, minor or 0, build or 0)
        if asked > (self.major, self.minor, self.build):
            return None
        if suite or (product or self.product) not in self._products:
            return None  # which suites an image has is not known
        return (*asked, product is not None, bool(arch))

    @property
    def _products(self) -> tuple[int, ...]:
        return (WORKSTATION,) if self.product == WORKSTATION else (SERVER, DOMAIN_CONTROLLER)


def models_section(inf: Inf, system: System, manufacturer: Entry) -> str | None:
    """The models section of an entry of ``[Manufacturer]`` that is meant for ``system``."""
    names = [inf.expand(value) for value in manufacturer.values]
    models, *decorations = names or [inf.expand(manufacturer.key)]
    best: tuple[tuple[int, ...], str] | None = None
    for decoration in filter(None, decorations):
        try:
            fit = system.fit(decoration)
        except DibError as error:
            raise inf.error(error.message, manufacturer, error.hint) from error
        if fit is not None and inf.has(f"{models}.{decoration}") and (best is None or fit > best[0]):
            best = fit, f"{models}.{decoration}"
    if best is not None:
        return best[1]
    return models if system.arch == "x86" and inf.has(models) else None  # others must be named since Windows 2003


def install_section(inf: Inf, system: System, name: str) -> str | None:
    """The name of the install section ``name``, or of its decorated form that fits ``system`` best, as spelled."""
    prefix = f"{name.lower()}."
    fits: list[tuple[tuple[int, ...], str]] = []
    for section in inf.sections:
        if section.startswith(prefix + "nt"):
            with contextlib.suppress(DibError):  # one of another kind, such as name.nt.services
                fit = system.fit(section.removeprefix(prefix))
                fits += [] if fit is None else [(fit, section)]
    return inf.names.get(max(fits)[1] if fits else name.lower())
