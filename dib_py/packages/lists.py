"""From wishes to lists: the packages of each slot, and how a build finds them in the merged hooks.

A slot is one transaction: a phase, an action, and a part. The operating system's own packages and those of ``base``
come in one part and all others in a second one, so that a change in a late element does little anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dib_py.element import Element
from dib_py.hooks import MergedHooks, sort_key
from dib_py.packages import package_caches, package_installs, pkg_map, svc_map
from dib_py.packages.package_caches import PackageCache
from dib_py.packages.package_installs import Conditions, Wish
from dib_py.resolve import Resolution

INSTALL, UNINSTALL = "install", "uninstall"
SYSTEM, ELEMENTS = "system", "elements"
ELEMENT = "package-installs"

MAPS, LATER_MAPS = pkg_map.FILE, f"{pkg_map.FILE}-{ELEMENTS}"  # directories of package maps, below the merged hooks
LATER_MAPS_HOOK = "install.d", "01-pkg-map"  # brings the second, after all transactions that begin install.d

# The hooks of our own element, one for each slot; those for the second part end in "-elements".
HOOKS = {
    ("pre-install.d", INSTALL): "10-package-installs",
    ("pre-install.d", UNINSTALL): "99-package-uninstalls",
    ("install.d", INSTALL): "01-package-installs",
    ("install.d", UNINSTALL): "99-package-uninstalls",
    ("post-install.d", INSTALL): "00-package-installs",
    ("post-install.d", UNINSTALL): "95-package-uninstalls",
}


@dataclass(frozen=True)
class Slot:
    """One transaction: ``action`` is install or uninstall, ``part`` system or elements."""

    phase: str  # its directory
    action: str
    part: str

    @property
    def hook(self) -> str:
        suffix = "" if self.part == SYSTEM else f"-{ELEMENTS}"
        return HOOKS[self.phase, self.action] + suffix

    @property
    def file(self) -> str:
        """Where the list is, below the merged hooks."""
        return f"packages/{self.phase}/{self.action}-{self.part}"


SLOTS = tuple(Slot(phase, action, part) for phase, action in HOOKS for part in (SYSTEM, ELEMENTS))


@dataclass(frozen=True)
class Packages:
    """What is installed and removed: by slot the packages as the guest calls them, with the elements that want each.

    ``native`` says whether this is for us to do; otherwise the hooks of another package-installs element do it.
    """

    native: bool = False
    slots: Mapping[Slot, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    services: tuple[svc_map.Service, ...] = ()
    maps: Mapping[str, Path] = field(default_factory=dict)  # pkg-map files by element
    later: frozenset[str] = frozenset()  # elements whose map nobody needs before LATER_MAPS_HOOK
    warnings: tuple[str, ...] = ()
    caches: tuple[PackageCache, ...] = ()  # where the guest keeps downloads


def compute(resolution: Resolution, merged: MergedHooks, environment: Mapping[str, str], arch: str) -> Packages:
    """All of it, from the planned environment; FileError or ElementError for what is wrong in an element's file."""
    elements = resolution.elements
    found = {element.name: pkg_map.PackageMap.read(element) for element in elements}
    maps = {name: package_map for name, package_map in found.items() if package_map is not None}
    files = {name: package_map.document.path for name, package_map in maps.items()}
    services = svc_map.merge(elements)
    caches = package_caches.declared(elements, environment)
    if not _is_native(resolution):
        return Packages(False, {}, services, files, warnings=tuple(_without_effect(resolution)), caches=caches)
    conditions = Conditions(environment, arch)
    wishes = [wish for element in elements for wish in package_installs.wishes(element, conditions)]
    wishes += package_installs.legacy_wishes(merged)
    system = system_elements(resolution)
    slots: dict[Slot, dict[str, tuple[str, ...]]] = {}
    for phase in package_installs.PHASES:
        mine = [wish for wish in wishes if wish.phase == phase]
        real = {
            wish: maps[wish.element].translate(wish.name, environment) if wish.element in maps else [wish.name]
            for wish in mine
        }
        slots.update(_of_phase(phase, real, system))
    later = files.keys() - system - early_elements(merged) if merged.has_hook(*LATER_MAPS_HOOK) else frozenset()
    return Packages(True, slots, services, files, frozenset(later), tuple(_unknown_phases(wishes)), caches)


def _is_native(resolution: Resolution) -> bool:
    """Whether the package-installs of this resolution is the kind whose hooks read our lists."""
    element = resolution.members.get(ELEMENT)
    return element is not None and (element.path / "install.d" / f"01-package-installs-{ELEMENTS}").is_file()


def _without_effect(resolution: Resolution) -> Iterable[str]:
    if ELEMENT in resolution.members:
        return  # another one of that name: its own hooks read the files
    for element in resolution.elements:
        for path in element.package_installs:
            yield f"{path} has no effect: no element of the image depends on {ELEMENT}"


def _unknown_phases(wishes: Iterable[Wish]) -> Iterable[str]:
    for wish in wishes:
        if wish.phase not in package_installs.PHASES:
            known = ", ".join(package_installs.PHASES)
            yield f"package {wish.name} of element {wish.element} is for {wish.phase}: only {known} install packages"


def system_elements(resolution: Resolution) -> frozenset[str]:
    """The operating system's elements and ``base``, with all that they depend on."""
    members = resolution.members
    waiting = [e.name for e in members.values() if e.is_operating_system or e.base_image or _is_own_os(e)]
    waiting += ["base"] if "base" in members else []
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in members and name not in found:
            found.add(name)
            waiting += [resolution.provided.get(dep, dep) for dep in members[name].deps]
    return frozenset(found)


def early_elements(merged: MergedHooks) -> frozenset[str]:
    """Elements with hooks in the guest before the maps that come later are there: those may ask for their own."""
    directory, name = LATER_MAPS_HOOK
    early = [hook for hook in merged.hooks(directory) if sort_key(hook.name) < sort_key(name)]
    return frozenset(hook.element for hook in (*merged.hooks("pre-install.d"), *early))


def _is_own_os(element: Element) -> bool:
    return (element.path / "os-family").is_file()


def _of_phase(
    phase: str, real: Mapping[Wish, list[str]], system: frozenset[str]
) -> dict[Slot, dict[str, tuple[str, ...]]]:
    """The slots of a phase that have packages; what somebody installs to stay is not removed in the same phase."""
    staying = {package for wish, packages in real.items() if wish.action == INSTALL for package in packages}
    taken: dict[str, set[str]] = {INSTALL: set(), UNINSTALL: set(staying)}
    slots: dict[Slot, dict[str, tuple[str, ...]]] = {}
    for slot in (slot for slot in SLOTS if slot.phase == phase):
        wanted: dict[str, list[str]] = {}
        for wish, packages in real.items():
            if wish.action in (slot.action, "build-only") and (wish.element in system) == (slot.part == SYSTEM):
                for package in packages:
                    if package not in taken[slot.action]:
                        wanted.setdefault(package, []).append(wish.element)
        taken[slot.action].update(wanted)
        if wanted:
            # sorted, so that the order of elements on the command line makes no difference to the package manager
            slots[slot] = {name: tuple(dict.fromkeys(wanted[name])) for name in sorted(wanted)}
    return slots


def slot_of(phase: str, hook: str) -> Slot | None:
    """The slot that a hook of our package-installs element carries out."""
    return next((slot for slot in SLOTS if slot.phase == phase and slot.hook == hook), None)


def left_out(packages: Packages, phase: str) -> frozenset[str]:
    """The hooks of a phase directory that have nothing to do and are not run."""
    if not packages.native:
        return frozenset()
    maps = frozenset(name for directory, name in [LATER_MAPS_HOOK] if directory == phase and not packages.later)
    return maps | {slot.hook for slot in SLOTS if slot.phase == phase and slot not in packages.slots}


def files(packages: Packages) -> dict[str, bytes]:
    """The lists, the services and the package maps, by where hooks find them below the merged hooks.

    ``pkg-map`` is a directory there; the merged tree has the last element's file of this name, which nobody can use.
    Maps that come later have a directory of their own, so that another element's does not make the operating system's
    packages be installed again.
    """
    made = {slot.file: _lines(wanted) for slot, wanted in packages.slots.items()}
    services = packages.services
    made["svc-map-services"] = _lines(f"{service.name}\t{service.selector}\t{service.real}" for service in services)
    for element, source in packages.maps.items():
        made[f"{LATER_MAPS if element in packages.later else MAPS}/{element}"] = source.read_bytes()
    return made


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def write(packages: Packages, hooks: Path) -> None:
    """Put these files there."""
    directory = hooks / MAPS
    if directory.is_file():
        directory.unlink()
    directory.mkdir(exist_ok=True)
    for path, content in files(packages).items():
        (hooks / path).parent.mkdir(parents=True, exist_ok=True)
        (hooks / path).write_bytes(content)
