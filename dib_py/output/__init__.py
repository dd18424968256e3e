"""What a build leaves: the image in each format that was asked for, whole or not at all.

A format is a driver in the stevedore namespace ``dib_py.output``. Every file is written beside its name, hidden, and
renamed when all of them are whole; a result never has a backing file.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dib_py.digest import digests
from dib_py.disk.chain import Chain
from dib_py.errors import OutputError, UsageError, nearest
from dib_py.events import Events, OutputWritten
from dib_py.output.beside import Naming, Partial, check_directory, hidden_name
from dib_py.output.checksums import checksum_line
from dib_py.output.keep import make_room
from dib_py.settings import Settings

NAMESPACE = "dib_py.output"


class Output(Protocol):
    """One format of image; the class is called without arguments."""

    name: str  # as given to -t
    suffix: str  # of the file, without its dot

    def check(self, settings: Settings) -> None:
        """Raise OutputError or UsageError if an image of this kind can't be written; nothing has started yet."""
        ...

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        """Write the disk ``source``, which nobody writes any more, to ``destination``, which is there and empty."""
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
    if len(settings.image_types) == 1:
        name = name.removesuffix(f".{settings.image_types[0]}")
    return name


def given_path(settings: Settings, driver: Output) -> str:
    """The path of a result as the user gave it; checksum files repeat it."""
    return f"{stem(settings)}.{driver.suffix}"


def check_output(settings: Settings) -> None:
    """Raise OutputError or UsageError for whatever would keep the results from being written."""
    if stem(settings).rpartition("/")[2] in ("", ".", ".."):
        raise UsageError(f"-o names no file: '{settings.image_name}'")
    for driver in load(settings.image_types):
        destination = Path(given_path(settings, driver))
        check_directory(destination)
        driver.check(settings)


@dataclass(frozen=True)
class _Result:
    driver: Output
    image: Partial
    sums: list[Partial]


def write_all(source: Chain, settings: Settings, events: Events, naming: Naming = hidden_name) -> list[Path]:
    """Write the disk ``source`` in every format of the settings, with checksum files, and return the images' paths.

    Either all of them take their names or, where one can't be written, none does. ``naming`` says what a file is
    called until then.
    """
    with ExitStack() as stack:
        results = [_write(driver, source, settings, events, naming, stack) for driver in load(settings.image_types)]
        for result in results:
            _publish(result, settings, events)
    return [result.image.destination for result in results]


def _write(
    driver: Output, source: Chain, settings: Settings, events: Events, naming: Naming, stack: ExitStack
) -> _Result:
    given = given_path(settings, driver)
    image = stack.enter_context(Partial(Path(given), naming))
    driver.write(source, image.path, settings, events)
    sums = []
    for kind, digest in digests(image.path, settings.checksum, f"checksum {Path(given).name}", events).items():
        sums.append(stack.enter_context(Partial(Path(f"{given}.{kind}"), naming)))
        sums[-1].path.write_text(checksum_line(digest, given))
    return _Result(driver, image, sums)


def _publish(result: _Result, settings: Settings, events: Events) -> None:
    image = result.image.destination
    if moved := make_room(image, replace=settings.overwrite):
        events.info(f"Old image found. Renaming it to {moved}")
    for partial in (result.image, *result.sums):
        partial.publish()
    events.emit(OutputWritten(str(image), result.driver.name, image.stat().st_size))
