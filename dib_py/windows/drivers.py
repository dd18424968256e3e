r"""``drivers.yaml``: which drivers an image gets, and where they come from.

::

    source: ${DIB_VIRTIO_WIN:-/usr/share/virtio-win}     # an ISO, a directory, or a distribution's package
    stage: Program Files\Virtio-Win                      # where all their files are kept in the guest
    drivers:
      - viostor                                          # must fit; whether it starts at boot its INF file says
      - {name: viorng, optional: true}                   # left out where the medium has none for the image's Windows
      - {name: fwcfg, else: qemufwcfg, optional: true}
      - {name: nvme-of-mine, boot: true}                 # needed before there is a disk, whatever its INF file says
      - {name: qxldod, when: DIB_QXL = 1}

A ``source`` that is written in the file itself may be a path from there on: an element can bring its drivers. In its
place ``fetched`` is what a hook of extra-data.d has put into ``$TMP_HOOKS_PATH``.

A name is a directory on the medium, or an INF file's without its ``.inf``. Directories named for a generation and an
architecture are heeded wherever they stand above the INF file; a medium without such directories has one INF file for
all, in which the sections for the image's Windows are looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import HostError, TargetError
from dib_py.windows import critical_devices, driver_store, refusals, templating
from dib_py.windows.driver_choice import Chosen, Wanted, choose
from dib_py.windows.driver_signatures import knows_sha2, needs_sha2
from dib_py.windows.installation import Installation
from dib_py.windows.refusals import Refusal, refuse
from dib_py.windows.virtio_media import generations_with, opened
from dib_py.windows.volume import segments
from dib_py.windows.yaml_node import Node, read

_STAGE = r"Program Files\Drivers"
_KEYS = ("source", "fetched", "stage", "drivers")
_DRIVER_KEYS = ("name", "else", "optional", "boot")


@dataclass(frozen=True)
class Drivers:
    """What a file asks for; ``stage`` is a path of C: without the letter.

    ``counted`` says that ``source`` is in the step's key already: by the variable that names it, or the hook that
    fetches it.
    """

    path: Path
    source: Path
    counted: bool
    stage: str
    wanted: tuple[Wanted, ...]


def parse(path: Path, variables: Mapping[str, str]) -> Drivers:
    """A ``drivers.yaml``; FileError with the line for what is wrong, or a source that is not on this machine."""
    root = read(path, variables)
    entries = root.mapping(_KEYS, needs=("drivers",))
    if ("source" in entries) == ("fetched" in entries):
        raise root.error("either source or fetched says where the drivers are")
    if "fetched" in entries:
        source, counted = Path(variables.get("TMP_HOOKS_PATH", "")) / entries["fetched"].text(), True
    else:
        source, counted = _source(entries["source"], variables)
    wanted = tuple(_wanted(node) for node in entries["drivers"].sequence())
    stage = _stage(entries.get("stage"))
    if "source" in entries:
        _check_medium(source, entries["source"], [one for one in wanted if not one.optional], variables)
    return Drivers(path, source, counted, stage, wanted)


def _check_medium(source: Path, node: Node, needed: Iterable[Wanted], variables: Mapping[str, str]) -> None:
    """FileError for what is no medium, or has a driver that every image needs for no Windows at all."""
    holder = templating.holder(node.path, node.text(), variables)
    named = f"{holder}: " if holder else ""
    try:
        with opened(source) as medium:
            missing = [
                one.name
                for one in needed
                if not any(generations_with(medium, name) for name in filter(None, (one.name, one.instead)))
            ]
    except HostError as error:
        raise node.error(f"{named}{error.message}", hint=error.hint) from error
    if missing:
        raise node.error(f"{named}{source} has no driver {', '.join(missing)}", hint="take a complete virtio-win image")


def _source(node: Node, variables: Mapping[str, str]) -> tuple[Path, bool]:
    """What is there for all to see, and whether a variable of the user's names it."""
    written = node.text()
    if not written:
        raise node.error("source is empty")
    holder = templating.holder(node.path, written, variables)
    source = (Path.cwd() if holder else node.path.parent.absolute()) / written
    if not source.exists():
        raise templating.Missing(
            node.path,
            f"{f'{holder}: ' if holder else ''}there is no {source}, from which drivers are taken",
            line=node.line,
            hint="DIB_VIRTIO_WIN names virtio-win.iso where it was downloaded; or install the package virtio-win",
        )
    return source, bool(holder)


def _stage(node: Node | None) -> str:
    text = _STAGE if node is None else node.text()
    try:
        names = segments(text)
    except TargetError as error:
        assert node is not None
        raise node.error(error.message) from error
    if node is not None and not names:
        raise node.error("stage must be a directory of C:, not C: itself")
    return "\\".join(names)


def _wanted(node: Node) -> Wanted:
    if isinstance(node.value, str):
        return Wanted(_name(node))
    entries = node.mapping(_DRIVER_KEYS, needs=("name",))
    instead, optional, boot = (entries.get(key) for key in ("else", "optional", "boot"))
    return Wanted(
        _name(entries["name"]),
        "" if instead is None else _name(instead),
        optional is not None and optional.flag(),
        None if boot is None else boot.flag(),
    )


def _name(node: Node) -> str:
    name = node.text()
    if not name or "/" in name or "\\" in name:
        raise node.error(f"{name!r} is no driver's name", hint="the name of a directory on the medium, without others")
    return name


def reads(wanted: Drivers) -> Iterable[Path]:
    return () if wanted.counted else (wanted.source,)


def check(wanted: Drivers, guest: Installation) -> None:
    """Refuse an image for which the medium lacks a driver, that would not install or not start it, or has no room."""
    chosen, found = _choose(wanted, guest)
    found += refusals.driver_policy(guest.registry, guest.variables)
    if not guest.facts.generation.has_driver_database and not knows_sha2(guest.registry):
        found += (_unverifiable(one, guest) for one in chosen if needs_sha2(_catalog(one)))
    found += refusals.room(guest.facts.free, sum(map(_bytes, chosen)))
    refuse(found)


def apply(wanted: Drivers, guest: Installation) -> None:
    """Install every driver that fits, in the way of the guest's generation, and keep all files of them in ``stage``."""
    chosen, found = _choose(wanted, guest)
    refuse(found)  # the medium may have changed since it was looked at, or was not there then
    database = guest.facts.generation.has_driver_database
    if database and driver_store.remove_foreign(guest):
        print("removed the entries for storage that virt-v2v or virt-customize had made")
    for one in chosen:
        stage = rf"{wanted.stage}\{one.driver}"
        for name, content in {**one.stored, **one.others}.items():
            guest.volume.write(f"{stage}/{name}", content)
        install = driver_store.install if database else critical_devices.install
        install(one, rf"C:\{stage}", guest)
        _tell(one)
    _tell_left_out(wanted, chosen)


def _choose(wanted: Drivers, guest: Installation) -> tuple[list[Chosen], list[Refusal]]:
    with opened(wanted.source) as medium:
        return choose(medium, wanted.wanted, guest.facts)


def _tell(chosen: Chosen) -> None:
    version = ".".join(map(str, chosen.package.version))
    print(f"{chosen.driver} {version} from {chosen.place}")
    if chosen.meant_for:
        print(f"warning: {chosen.driver}: the medium has none for this Windows; that for {chosen.meant_for} is taken")
    if not _catalog(chosen):
        print(f"warning: {chosen.driver} has no catalog of signatures: Windows may refuse to load it")


def _tell_left_out(wanted: Drivers, chosen: list[Chosen]) -> None:
    there = {one.driver for one in chosen}
    for one in wanted.wanted:
        if not there & {one.name, one.instead}:
            print(f"left out {one.name}: {wanted.source} has none for this Windows")


def _catalog(chosen: Chosen) -> bytes:
    return chosen.stored.get(chosen.package.catalog.casefold(), b"")


def _bytes(chosen: Chosen) -> int:
    """Of the disk: packages are in the store and in the stage, and partly where Windows loads them."""
    return 3 * sum(map(len, chosen.stored.values())) + sum(map(len, chosen.others.values()))


def _unverifiable(chosen: Chosen, guest: Installation) -> Refusal:
    return Refusal(
        f"the driver {chosen.driver} is signed with SHA-2, which this {guest.facts.generation.title} can't verify: it "
        "would refuse to start it",
        "install KB3033929 or KB4474419 in the image, or take virtio-win 0.1.173 or older",
    )
