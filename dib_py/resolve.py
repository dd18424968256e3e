"""From names to a resolution: the elements of an image with all that they depend on, in one order for ever.

The set is the one that diskimage-builder's expansion gives. That walks breadth first, but takes the dependencies of one
element in random order, and which of two siblings comes first decides whether an element that another one provides is
still expanded itself. Here those that are nearest to something provided come first, which is one of its outcomes, the
same every time. In one thing this is wider: a virtual name without a directory may be provided by an element that is
met only later.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dib_py.element import DEPS_FILE, LINUX, OPERATING_SYSTEM, WINDOWS, Catalog, Element
from dib_py.errors import ElementError

if TYPE_CHECKING:
    import networkx

    from dib_py.settings import Settings

BLOCK_DEVICE = "block-device"


class NoElements(ElementError):
    """Nothing was asked for."""


class UnknownElement(ElementError):
    """A name is neither an element of the catalog nor provided by one of the resolution."""


class AlreadyProvided(ElementError):
    """Two elements stand for the same virtual name, or for one that was asked for itself."""


class NoOperatingSystem(ElementError):
    """No element of the resolution provides an operating system."""


@dataclass(frozen=True)
class Resolution:
    """What was asked for with all that it depends on.

    ``members`` are its elements by name, ``provided`` maps each virtual name to the element that stands for it, and
    ``asked_by`` says for each name which element asked for it first, None where the user did.
    """

    requested: tuple[str, ...]
    members: Mapping[str, Element]
    provided: Mapping[str, str]
    asked_by: Mapping[str, str | None]

    @cached_property
    def graph(self) -> networkx.DiGraph[str]:
        """Who depends on whom: nodes are names, edges lead to the dependency.

        An edge's ``virtual`` is the name that was asked for where the element only provides it, else empty.
        """
        import networkx  # here, because it costs more than all the rest of a resolution

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(sorted(self.members))
        for element in self.members.values():
            for dep in sorted(element.deps, key=self.members.__contains__):  # a direct edge replaces a virtual one
                needed = dep if dep in self.members else self.provided.get(dep, dep)
                # what provides a name may itself be left out, where something provides that one's name
                if needed in self.members and needed != element.name:
                    graph.add_edge(element.name, needed, virtual="" if needed == dep else dep)
        return graph

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """Dependencies before what needs them; then as on the command line, then by name.

        Elements that depend on each other count as one, so that a cycle does not disturb the order of the rest.
        """
        import networkx

        condensed = networkx.condensation(self.graph)
        groups = {node: sorted(members, key=self._rank) for node, members in condensed.nodes(data="members")}
        order = networkx.lexicographical_topological_sort(
            condensed.reverse(copy=False), key=lambda node: self._rank(groups[node][0])
        )
        return tuple(self.members[name] for node in order for name in groups[node])

    @property
    def operating_system(self) -> Element:
        """The element that provides the operating system; NoOperatingSystem where a resolution may do without."""
        if not self.has_operating_system:
            raise NoOperatingSystem("no element of the image provides an operating system", hint=_NO_OS_HINT)
        return self.members[self.provided[OPERATING_SYSTEM]]

    @property
    def has_operating_system(self) -> bool:
        return self.provided.get(OPERATING_SYSTEM) in self.members

    @property
    def os_family(self) -> str:
        """``linux`` or ``windows``; the former where no element provides an operating system."""
        return self.operating_system.os_family if self.has_operating_system else LINUX

    def chain(self, name: str) -> tuple[str, ...]:
        """How ``name`` came in: from what the user asked for down to it; KeyError for a name that did not."""
        return _chain(self.asked_by, name)

    def __contains__(self, name: object) -> bool:
        """Whether an element of this name is in, or something that provides it."""
        return name in self.members or name in self.provided

    def _rank(self, name: str) -> tuple[int, str]:
        return self._positions[self.chain(name)[0]], name

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.requested)}


_NO_OS_HINT = "add one, like debian; dib-py elements operating-system lists them"


def resolve(catalog: Catalog, names: Iterable[str], *, require_os: bool = True) -> Resolution:
    """The elements called ``names`` with all that they depend on.

    Without ``require_os`` a part of an image may be resolved, even nothing. Raises ElementError: NoElements,
    UnknownElement, AlreadyProvided, NoOperatingSystem, and FileError for a file that cannot be read.
    """
    names = tuple(names)
    if require_os and not names:
        raise NoElements("no element was asked for", hint="name at least an operating system, like debian")
    family = _family(catalog, names)
    catalog = catalog.looked_at_for(family)
    # an element that wants a block device has nothing for Windows, which is what its user has to know
    tolerated = [OPERATING_SYSTEM] * (not require_os) + [BLOCK_DEVICE] * (family == WINDOWS)
    resolution = _expand(catalog, names, tolerated)
    if require_os and OPERATING_SYSTEM not in resolution.provided:
        raise NoOperatingSystem(
            f"no operating system among the elements: {' '.join(resolution.requested)}", hint=_NO_OS_HINT
        )
    return resolution


def requested_names(settings: Settings, catalog: Catalog) -> tuple[str, ...]:
    """What is asked for in effect: the user's elements with the defaults that diskimage-builder adds.

    ``base`` comes first unless left out, before it the ramdisk's element; a block device comes last if ``vm`` wants one
    and nothing in the whole resolution provides it. Only Linux images get these, and nothing is added to nothing: a
    base image can be worked on without any element.
    """
    names = settings.elements
    if not names:
        return ()
    if _family(catalog, names) != LINUX:
        return names
    defaults = [settings.ramdisk_element] * settings.ramdisk + ["base"] * (not settings.skip_base)
    names = (*defaults, *(name for name in names if name not in defaults))
    if _needs_block_device(_expand(catalog, names, tolerated=(OPERATING_SYSTEM, BLOCK_DEVICE))):
        return (*names, _default_block_device(settings))
    return names


def _family(catalog: Catalog, names: Iterable[str]) -> str:
    """The family of the operating system among these elements and what they depend on.

    It decides which dependencies count, and they may bring it in: it is Windows if that is the only one when they are
    read for Windows.
    """
    queue = deque(names)
    seen: set[str] = set()
    families: set[str] = set()
    while queue:
        name = queue.popleft()
        element = None if name in seen else catalog.get(name)
        seen.add(name)
        if element is not None:
            queue.extend(element.deps_for(WINDOWS))
            if element.is_operating_system:
                families.add(element.os_family)
    return WINDOWS if families == {WINDOWS} else LINUX


def _needs_block_device(resolution: Resolution) -> bool:
    # one that is named counts even if it forgets to say what it provides, as in diskimage-builder
    named = any(name.startswith("block-device-") for name in resolution.requested)
    wanted = "vm" in resolution.requested or BLOCK_DEVICE in resolution.asked_by
    return wanted and not named and BLOCK_DEVICE not in resolution.provided


def _default_block_device(settings: Settings) -> str:
    arch = settings.arch or os.uname().machine
    return "block-device-efi" if arch in ("arm64", "aarch64") else "block-device-mbr"


def _expand(catalog: Catalog, names: Iterable[str], tolerated: Collection[str]) -> Resolution:
    """Diskimage-builder's breadth-first expansion; unknown names in ``tolerated`` are left out."""
    names = tuple(names)
    requested = tuple(dict.fromkeys(names))
    distances = _distances_to_providers(catalog, requested)
    asked_by: dict[str, str | None] = dict.fromkeys(requested)
    provided: dict[str, str] = {}
    awaited: list[str] = []  # unknown names, which something may still provide
    queue = deque(names)
    while queue:
        name = queue.popleft()
        if name in provided:
            continue
        element = catalog.get(name)
        if element is None:
            awaited.append(name)
            continue
        for virtual in sorted(element.provides):
            if virtual in provided:
                _check_known(catalog, awaited, {*provided, *tolerated}, asked_by)
                raise _provided_twice(virtual, provided[virtual], name, asked_by)
        provided.update(dict.fromkeys(element.provides, name))
        fresh = [dep for dep in element.deps if dep not in asked_by and dep not in provided]
        queue.extend(_providers_first(catalog, fresh, distances))
        for dep in element.deps:
            asked_by.setdefault(dep, name)
    _check_known(catalog, awaited, {*provided, *tolerated}, asked_by)
    _check_not_replaced(requested, provided)
    members = {name: catalog[name] for name in asked_by if name not in provided and name in catalog}
    return Resolution(requested, members, provided, asked_by)


def _distances_to_providers(catalog: Catalog, requested: Sequence[str]) -> dict[str, int]:
    """For each element that can be reached, how many dependencies it is away from one that provides something."""
    reached = dict.fromkeys(name for name in requested if name in catalog)
    needed_by: dict[str, list[str]] = {}
    queue = deque(reached)
    while queue:
        name = queue.popleft()
        for dep in catalog[name].deps:
            needed_by.setdefault(dep, []).append(name)
            if dep in catalog and dep not in reached:
                reached[dep] = None
                queue.append(dep)
    distances = {name: 0 for name in reached if catalog[name].provides}
    queue.extend(distances)
    while queue:
        name = queue.popleft()
        for dependent in needed_by.get(name, ()):
            if dependent not in distances:
                distances[dependent] = distances[name] + 1
                queue.append(dependent)
    return distances


def _providers_first(catalog: Catalog, siblings: Sequence[str], distances: Mapping[str, int]) -> list[str]:
    """The dependencies of one element in the order in which they are expanded."""
    provided = {virtual for name in siblings if name in catalog for virtual in catalog[name].provides}
    nowhere = len(catalog) + 1
    return sorted(siblings, key=lambda name: (distances.get(name, nowhere), name in provided, name))


def _chain(asked_by: Mapping[str, str | None], name: str) -> tuple[str, ...]:
    links = [name]
    while (asker := asked_by[links[-1]]) is not None:
        links.append(asker)
    return tuple(reversed(links))


def _check_known(
    catalog: Catalog, awaited: Sequence[str], known: Collection[str], asked_by: Mapping[str, str | None]
) -> None:
    for name in awaited:
        if name not in known:
            raise _unknown(catalog, name, asked_by)


def _unknown(catalog: Catalog, name: str, asked_by: Mapping[str, str | None]) -> UnknownElement:
    *askers, _ = _chain(asked_by, name)
    asked_for = f", asked for by {' -> '.join(askers)}" if askers else ""
    where = _place_in_deps(catalog[askers[-1]], name) if askers else ""
    return UnknownElement(f"unknown element '{name}'{asked_for}", hint=hint_for_unknown(catalog, name), where=where)


def hint_for_unknown(catalog: Catalog, name: str) -> str:
    """What to tell somebody who named an element that there is none of."""
    if name.startswith("#"):
        return f"{DEPS_FILE} knows no comments: every line is a name"
    providers = [element.name for element in catalog.providers(name)]
    if providers:
        return f"it is provided by {', '.join(providers)}: add one of them"
    near = catalog.nearest(name)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return "dib-py elements lists what can be seen; ELEMENTS_PATH says where else to look"


def _place_in_deps(element: Element, name: str) -> str:
    path = element.deps_file(element.family)
    lines = path.read_text(encoding="utf-8").split("\n")
    return f"{path}:{1 + [line.strip() for line in lines].index(name)}"


def _provided_twice(virtual: str, first: str, second: str, asked_by: Mapping[str, str | None]) -> AlreadyProvided:
    if first == second:
        return AlreadyProvided(f"{first} is asked for twice, but provides {virtual}", hint="name it once")
    both = " and ".join(_with_chain(name, asked_by) for name in (first, second))
    message = f"two operating systems: {both}" if virtual == OPERATING_SYSTEM else f"{virtual} is provided by {both}"
    return AlreadyProvided(message, hint="an image can have only one of them: leave the other out")


def _with_chain(name: str, asked_by: Mapping[str, str | None]) -> str:
    *askers, _ = _chain(asked_by, name)
    return f"{name} (asked for by {' -> '.join(askers)})" if askers else name


def _check_not_replaced(requested: Iterable[str], provided: Mapping[str, str]) -> None:
    replaced = [name for name in requested if name in provided]
    if replaced:
        said = ", ".join(f"{name} is provided by {provided[name]}" for name in replaced)
        raise AlreadyProvided(f"{said} already", hint=f"leave out {' and '.join(replaced)}")
