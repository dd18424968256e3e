"""Elements that are for some operating systems only, as their file ``distributions`` says, or what else they have."""

from __future__ import annotations

from dib_py import phases
from dib_py.element import DEPS_FILE, LINUX, OS_FAMILY_FILE, WINDOWS, Catalog, Element
from dib_py.errors import ElementError
from dib_py.packages.pkg_map import FAMILIES
from dib_py.resolve import Resolution

# what an element has for Linux, beside the directories of phases: hooks, or declarations that only matter there
_FOR_LINUX = ("package-installs.yaml", "package-installs.json", "svc-map", "block-device-default.yaml")


def refuse_other_distributions(resolution: Resolution) -> None:
    """Raise ElementError for an element that has nothing for the operating system, or is for other distributions.

    For the latter both have to say what they are for, by names that ``DISTRO_NAME`` takes or by those of families.
    """
    for element in resolution.elements:
        what = _only_for_windows(element) if resolution.os_family == LINUX else _only_for_linux(element)
        if what:
            raise _wrong_family(resolution, element, what)
    system = next((found for found in resolution.elements if found.is_operating_system and found.distributions), None)
    if system is None:
        return
    names = _with_families(system)
    for element in resolution.elements:
        if element.distributions and not names & element.distributions:
            *askers, _ = resolution.chain(element.name)
            via = f" (asked for by {' -> '.join(askers)})" if askers else ""
            raise ElementError(
                f"element {element.name}{via} is for {_listed(element)}, and {system.name} is {_listed(system)}",
                hint=f"leave {[*askers, element.name][0]} out, or choose another operating system",
            )


def families(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """For which families of operating systems each element is: with what it depends on it has something for them."""
    fit = {family: _for_family(catalog, family) for family in (LINUX, WINDOWS)}
    return {element.name: tuple(family for family in fit if element.name in fit[family]) for element in catalog}


def _for_family(catalog: Catalog, family: str) -> frozenset[str]:
    foreign = {element.name for element in catalog if _is_foreign(element, family)}
    needed_by: dict[str, set[str]] = {}
    for element in catalog:
        for dep in element.deps_for(family):
            needed_by.setdefault(dep, set()).add(element.name)
    queue = list(foreign)
    while queue:
        fresh = needed_by.get(queue.pop(), set()) - foreign
        foreign |= fresh
        queue.extend(fresh)
    return frozenset(element.name for element in catalog) - foreign


def _is_foreign(element: Element, family: str) -> bool:
    if element.is_operating_system:
        return element.os_family != family
    return bool(_only_for_windows(element) if family == LINUX else _only_for_linux(element))


def _only_for_windows(element: Element) -> str:
    """What shows that an element is for Windows alone; empty where nothing does."""
    declared = [place for place in element.declares if not place.startswith(DEPS_FILE)]
    if element.os_family == WINDOWS:
        declared.append(f"{OS_FAMILY_FILE} {WINDOWS}")
    return "" if _for_linux(element) else " and ".join(declared)


def _only_for_linux(element: Element) -> str:
    """What shows that an element does nothing for Windows; empty where it does, or only depends on others."""
    if element.declares or (element.path / "files").is_dir() or element.os_family == WINDOWS:
        return ""
    return " and ".join(_for_linux(element))


def _for_linux(element: Element) -> list[str]:
    names = (*(phase.directory for phase in phases.PHASES if phase is not phases.EXTRA_DATA), *_FOR_LINUX)
    return [name for name in names if (element.path / name).exists()]


def _wrong_family(resolution: Resolution, element: Element, what: str) -> ElementError:
    """What the user named comes first, then how it leads to the element that can't be had."""
    chain = resolution.chain(element.name)
    asked = chain[0]
    message = f"element {asked}"
    if resolution.os_family == LINUX:
        message += f" asks for {' -> '.join(chain[1:])}, which" if chain[1:] else ""
        message += f" is for Windows only: it has {what}"
    else:
        message += f" is for Linux: it asks for {' -> '.join(chain[1:])}, which" if chain[1:] else ""
        message += f" has nothing for Windows, only {what}"
    if not resolution.has_operating_system:
        return ElementError(message, hint="name the operating system too: windows")
    instead = resolution.members[asked].counterpart if asked in resolution.members else ()
    other = "Linux" if resolution.os_family == LINUX else "Windows"
    offered = f", or name {' and '.join(instead)} in its place: it is for {other}" if instead else ""
    return ElementError(message, hint=f"leave {asked} out{offered}")


def _listed(element: Element) -> str:
    return " and ".join(sorted(element.distributions))


def _with_families(element: Element) -> frozenset[str]:
    return element.distributions | {FAMILIES[name] for name in element.distributions if name in FAMILIES}
