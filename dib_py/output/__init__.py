"""What a build leaves: the image in each format that was asked for, whole or not at all.

A format is a driver in the stevedore namespace ``dib_py.output``. Every file is written beside its name, hidden, and
renamed when all of them are whole; a result never has a backing file. All formats are written at the same time: those
of the disk from its chain of overlays, or from the raw image where that is one of them, and those of the guest's files
from one archive of these, which exists nowhere as a whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeGuard

from dib_py.digest import digests
from dib_py.disk.chain import Chain, ImageFile
from dib_py.errors import OutputError, UsageError, nearest
from dib_py.events import Events, OutputWritten
from dib_py.extensions import without_extension
from dib_py.output.beside import Naming, Partial, check_directory, hidden_name
from dib_py.output.checksums import checksum_line
from dib_py.output.feed import OpenTree, feed
from dib_py.output.keep import make_room
from dib_py.output.sinks import Sink
from dib_py.output.together import Work, together
from dib_py.settings import Settings

NAMESPACE = "dib_py.output"
RAW = "raw"


class Output(Protocol):
    """One format of image; the class is called without arguments. It is a DiskOutput or a TreeOutput."""

    @property
    def name(self) -> str:
        """As given to -t."""
        ...

    @property
    def suffix(self) -> str:
        """Of the file, without its dot."""
        ...

    def check(self, settings: Settings) -> None:
        """Raise a DibError if an image of this kind can't be written; nothing has started yet."""
        ...


class DiskOutput(Output, Protocol):
    """A format that has the disk, with its partitions and all that boots it."""

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        """Write the disk ``source``, which nobody writes any more, to ``destination``, which is there and empty."""
        ...


class TreeOutput(Output, Protocol):
    """A format that has the files of the guest."""

    def receive(self, destination: Path, settings: Settings, events: Events) -> AbstractContextManager[Sink]:
        """A function that is given the tar archive of the guest's files chunk by chunk, for ``destination``, which is
        there and empty; when this ends without an error, the image is whole."""
        ...


def load(names: tuple[str, ...]) -> list[Output]:
    """The drivers of ``names``, in their order; UsageError for one that no entry point has."""
    from stevedore.named import NamedExtensionManager  # costs as much as the rest of a small command

    if not names:
        raise UsageError("no output format is asked for", hint="-t qcow2 is the default")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"output format asked for twice: {', '.join(twice)}")

    def broken(_manager: object, entry_point: object, error: BaseException) -> None:
        raise OutputError(f"the driver of output format {getattr(entry_point, 'name', '')} does not load: {error}")

    manager: NamedExtensionManager[Output] = NamedExtensionManager(
        NAMESPACE,
        list(names),
        invoke_on_load=True,
        on_load_failure_callback=broken,
        on_missing_entrypoints_callback=lambda _missing: None,  # told below, with the known names
    )
    found = {extension.name: extension.obj for extension in manager}
    for name in names:
        if name not in found:
            known = sorted(manager.entry_points_names())
            meant = nearest(name, known)
            hint = f"did you mean {' or '.join(meant)}? " if meant else ""
            raise UsageError(f"unknown output format '{name}'", hint=f"{hint}there are {', '.join(known)}")
    return [driver for name in names if (driver := found[name]) is not None]


def stem(settings: Settings) -> str:
    """The image's name without its extension: with one type only, ``-o x.qcow2`` means ``x``, as in DIB."""
    name = settings.image_name
    return without_extension(name, settings.image_types[0]) if len(settings.image_types) == 1 else name


def given_path(settings: Settings, driver: Output) -> str:
    """The path of a result as the user gave it; checksum files repeat it."""
    return f"{stem(settings)}.{driver.suffix}"


def check_output(settings: Settings, only_disks: str = "") -> None:
    """Raise OutputError or UsageError for whatever would keep the results from being written.

    ``only_disks`` says what the image is, if formats that have its files make no sense with it.
    """
    if stem(settings).rpartition("/")[2] in ("", ".", ".."):
        raise UsageError(f"-o names no file: '{settings.image_name}'")
    named: dict[str, str] = {}
    for driver in load(settings.image_types):
        given = given_path(settings, driver)
        if given in named:
            raise UsageError(f"the output formats {named[given]} and {driver.name} would both be {given}")
        named[given] = driver.name
        if only_disks and _has_files(driver):
            raise UsageError(
                f"-t {driver.name} has the files of an image, and this is {only_disks}",
                hint="qcow2, raw, vmdk, vhd, vhdx and vdi have the disk",
            )
        check_directory(Path(given))
        driver.check(settings)


@dataclass(frozen=True)
class _Result:
    driver: Output
    given: str
    image: Partial


@dataclass(frozen=True)
class Written:
    """An image that is whole, and the name that it is about to take; ``format`` as given to -t."""

    format: str
    path: Path
    destination: Path


Judge = Callable[[Sequence[Written]], Path]


def write_all(
    source: Chain,
    settings: Settings,
    events: Events,
    naming: Naming = hidden_name,
    tree: OpenTree | None = None,
    formats: Collection[str] | None = None,
    judge: Judge | None = None,
) -> list[Path]:
    """Write the disk ``source`` in every format of the settings, with checksum files, and return the images' paths.

    ``formats`` are those of them that are wanted, unless it is all. Either all of them take their names or, where one
    can't be written, none does. ``naming`` says what a file is called until then; ``tree`` opens the guest on that
    disk, for formats that have its files. ``judge`` is asked when all are whole, and answers with the name of the one
    whose verdict it has kept; what it raises keeps them from their names.
    """
    with ExitStack() as stack:
        results = []
        for driver in load(settings.image_types):
            if formats is not None and driver.name not in formats:
                continue
            given = given_path(settings, driver)
            results.append(_Result(driver, given, stack.enter_context(Partial(Path(given), naming))))
        _fill(results, source, settings, events, tree)
        sums = [_sums(result, settings, events, naming, stack) for result in results]
        judged = None
        if judge is not None:
            judged = judge([Written(one.driver.name, one.image.path, one.image.destination) for one in results])
        for result, beside in zip(results, sums, strict=True):
            _publish(result, beside, settings, events, judged)
    return [result.image.destination for result in results]


def _has_files(driver: Output) -> TypeGuard[TreeOutput]:
    return hasattr(driver, "receive")


def _has_disk(driver: Output) -> TypeGuard[DiskOutput]:
    return hasattr(driver, "write")


def _fill(results: list[_Result], source: Chain, settings: Settings, events: Events, tree: OpenTree | None) -> None:
    """Write all of the images. The guest is opened by this thread, and whatever only starts programs by others."""
    works: list[Work] = []
    trees = [(result.driver, result.image.path) for result in results if _has_files(result.driver)]
    if trees:
        if tree is None:
            raise OutputError(f"the guest's files can't be read here, which {trees[0][0].name} needs")
        works.append(_feeding(trees, settings, tree))
    works.append(functools.partial(_convert_all, results, source, settings))
    together(works, events)


def _feeding(trees: list[tuple[TreeOutput, Path]], settings: Settings, tree: OpenTree) -> Work:
    def work(events: Events) -> None:
        with ExitStack() as stack:
            sinks = [stack.enter_context(driver.receive(path, settings, events)) for driver, path in trees]
            feed(tree, sinks, ", ".join(driver.name for driver, _ in trees), events)

    return work


def _convert_all(results: list[_Result], source: Chain, settings: Settings, events: Events) -> None:
    """Images of the disk; the raw one first, as reading that is less work than reading a chain."""
    waiting = [result for result in results if not _has_files(result.driver)]
    first = next((result for result in waiting if result.driver.name == RAW), None)
    if first is not None and len(waiting) > 1:
        _convert(first, source, settings, events)
        waiting.remove(first)
        source = Chain((ImageFile(first.image.path.absolute(), RAW),))
    together([functools.partial(_convert, result, source, settings) for result in waiting], events)


def _convert(result: _Result, source: Chain, settings: Settings, events: Events) -> None:
    if _has_disk(result.driver):
        result.driver.write(source, result.image.path, settings, events)


def _sums(result: _Result, settings: Settings, events: Events, naming: Naming, stack: ExitStack) -> list[Partial]:
    sums = []
    task = f"checksum {Path(result.given).name}"
    for kind, digest in digests(result.image.path, settings.checksum, task, events).items():
        sums.append(stack.enter_context(Partial(Path(f"{result.given}.{kind}"), naming)))
        sums[-1].path.write_text(checksum_line(digest, result.given))
    return sums


def _publish(result: _Result, sums: list[Partial], settings: Settings, events: Events, judged: Path | None) -> None:
    image = result.image.destination
    if moved := make_room(image, replace=settings.overwrite, judged=image == judged):
        events.info(f"Old image found. Renaming it to {moved}")
    for partial in (result.image, *sums):
        partial.publish()
    events.emit(OutputWritten(str(image), result.driver.name, image.stat().st_size))
