"""Elements that are for some distributions only, as their file ``distributions`` says."""

from __future__ import annotations

from dib_py.element import Element
from dib_py.errors import ElementError
from dib_py.packages.pkg_map import FAMILIES
from dib_py.resolve import Resolution


def refuse_foreign(resolution: Resolution) -> None:
    """Raise ElementError for an element that is for other distributions than the operating system's.

    Both have to say what they are for, by names that ``DISTRO_NAME`` takes or by those of families.
    """
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


def _listed(element: Element) -> str:
    return " and ".join(sorted(element.distributions))


def _with_families(element: Element) -> frozenset[str]:
    return element.distributions | {FAMILIES[name] for name in element.distributions if name in FAMILIES}
