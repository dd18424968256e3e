r"""``bcd.yaml``: how an image starts, in the words of bcdedit.

::

    objects:
      default: {ems: true, graphicsmodedisabled: "-"}    # the Windows that is started
      loaders: {recoveryenabled: false}                  # every Windows of the store
      emssettings: {bootems: true, emsport: 1, emsbaudrate: 115200}
      bootmgr: {timeout: 5, displaybootmenu: true}
      "{5189b25c-5558-4bf2-bca4-289b11bd29e2}": {0x1700000a: [0x1000]}
    fallback-loader: true

An object is named as bcdedit names it, or by its GUID; an element by its name or its number, by which it is yes or no,
a number (or its name, as ``ignoreallfailures``), text, an object, or a list; ``-`` removes an element. A device is
``boot`` (where the boot manager was loaded from) or ``locate`` (whichever partition has the path of the loader, or for
``osdevice`` the directory ``systemroot``). ``fallback-loader`` puts a copy of the boot manager where firmware looks
that remembers nothing.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import TargetError, nearest
from dib_py.windows import boot_configuration as bcd
from dib_py.windows import boot_elements as elements
from dib_py.windows import refusals
from dib_py.windows.hive import Hive, Value
from dib_py.windows.inspection import UEFI_STORE
from dib_py.windows.installation import Installation
from dib_py.windows.refusals import Refusal, refuse
from dib_py.windows.yaml_node import Node, read

DEFAULT, LOADERS = "default", "loaders"
_LARGEST = (1 << 64) - 1
_MANAGER = "/EFI/Microsoft/Boot/bootmgfw.efi"
_FALLBACKS = {"amd64": "/EFI/Boot/bootx64.efi", "x86": "/EFI/Boot/bootia32.efi", "arm64": "/EFI/Boot/bootaa64.efi"}


@dataclass(frozen=True)
class Edit:
    """An element of an object (a GUID, DEFAULT or LOADERS); without ``value`` it is removed."""

    object: str
    element: int
    value: Value | None


@dataclass(frozen=True)
class BootConfiguration:
    path: Path
    edits: tuple[Edit, ...]
    fallback_loader: bool


def parse(path: Path, variables: Mapping[str, str]) -> BootConfiguration:
    """A ``bcd.yaml``; FileError with the line for what is wrong."""
    root = read(path, variables)
    entries = {} if root.is_nothing else root.mapping(("objects", "fallback-loader"))
    objects, fallback = entries.get("objects"), entries.get("fallback-loader")
    edits = [] if objects is None else [edit for name, node in objects.mapping().items() for edit in _edits(name, node)]
    return BootConfiguration(path, tuple(edits), fallback is not None and fallback.flag())


def _edits(name: str, node: Node) -> Iterator[Edit]:
    target = name.lower() if name.lower() in (DEFAULT, LOADERS) else elements.guid_of(name)
    if target is None:
        known = [DEFAULT, LOADERS, *elements.OBJECTS_BY_NAME]
        meant = nearest(name.lower(), known, 1)
        hint = f"is {meant[0]} meant?" if meant else f"known are {', '.join(known)}, or a GUID in braces"
        raise node.error(f"there is no object {name}", hint)
    for word, value in node.mapping().items():
        element = _element(word, value)
        yield Edit(target, element, None if value.value == "-" else _value(element, value))


def _element(word: str, node: Node) -> int:
    known = elements.ELEMENTS.get(word.lower())
    if known is not None:
        return known
    try:
        number = int(word, 16)
    except ValueError:
        number = -1
    if not 0x10000000 <= number <= 0x3FFFFFFF or not elements.DEVICE <= elements.form(number) <= elements.INTEGERS:
        meant = nearest(word.lower(), elements.ELEMENTS, 1)
        raise node.error(f"there is no element {word}", f"is {meant[0]} meant?" if meant else "a number is 0x260000b0")
    return number


def _value(element: int, node: Node) -> Value:
    form = elements.form(element)
    if form == elements.BOOLEAN:
        return bcd.boolean(node.flag())
    if form == elements.INTEGER:
        return bcd.integer(_number(element, node))
    if form == elements.INTEGERS:
        return bcd.integers(_number(element, item) for item in node.sequence())
    if form == elements.OBJECT:
        return bcd.text(_object(node))
    if form == elements.OBJECTS:
        return bcd.texts([_object(item) for item in node.sequence()])
    if form == elements.STRING:
        return bcd.text(node.text())
    if node.text() == elements.BOOT:
        return bcd.boot_device()
    if node.text() == elements.LOCATE:
        return elements.locating(element)
    raise node.error(f"a device is {elements.BOOT} or {elements.LOCATE}, not {node.text()}")


def _number(element: int, node: Node) -> int:
    names = elements.NUMBERS_BY_NAME.get(element, {})
    text = node.text().lower()
    if text in names:
        return names[text]
    if names and not text[:1].isdecimal():
        raise node.error(f"{elements.name_of_element(element)} can't be {text}", f"it is one of {', '.join(names)}")
    return node.number(_LARGEST)


def _object(node: Node) -> str:
    guid = elements.guid_of(node.text())
    if guid is None:
        raise node.error(f"{node.text()} is no object", "a name that bcdedit has, or a GUID in braces")
    return guid


def check(wanted: BootConfiguration, guest: Installation) -> None:
    """Refuse an image without a store, or whose store was not written to its end."""
    refuse(_refusals(wanted, guest))


def _refusals(wanted: BootConfiguration, guest: Installation) -> Iterator[Refusal]:
    place = guest.boot_store()
    if place is None:
        if wanted.edits:
            yield Refusal(
                "it has no boot configuration data, neither on C: nor on the partition that it starts from",
                "take an image that starts, with its system partition",
            )
        return
    volume, path = place
    first, second = struct.unpack("<II", volume.read(path, 12)[4:].ljust(8, b"\0"))
    if first != second and guest.variables.get(refusals.DISCARD_LOGS, "") in ("", "0"):
        yield Refusal(
            f"Windows did not finish writing its boot configuration data ({path})",
            f"start it once more and shut it down, or give up what is in the logs: {refusals.DISCARD_LOGS}=1",
        )


def apply(wanted: BootConfiguration, guest: Installation) -> None:
    """Edit the store that the image starts with, and give firmware a loader to fall back on."""
    place = guest.boot_store()
    if place is not None and wanted.edits:
        volume, path = place
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "BCD"
            volume.fetch(path, copy)
            store = Hive(copy, path)
            for edit in wanted.edits:
                _apply(edit, store)
            _warn_of_settings_that_nobody_inherits(wanted, store)
            if store.changed:
                store.commit()
                volume.store(copy, path)
    if wanted.fallback_loader:
        _add_fallback_loader(guest)


def _apply(edit: Edit, store: Hive) -> None:
    for guid in _objects(edit.object, store):
        if not store.exists(bcd.object_key(guid)):
            kind = elements.SETTINGS.get(guid)
            if edit.value is None:
                continue
            if kind is None:
                raise TargetError(f"the image's boot configuration data have no object {elements.name_of_object(guid)}")
            store.set(rf"{bcd.object_key(guid)}\Description", [Value.dword("Type", kind)])
        key = bcd.element_key(guid, edit.element)
        if edit.value is None:
            store.delete_key(key)
        else:
            store.set(key, [edit.value])


def _objects(target: str, store: Hive) -> list[str]:
    """The objects that a name stands for; TargetError where the store has none."""
    if target not in (DEFAULT, LOADERS):
        return [target]
    loaders = [guid for guid in store.keys("Objects") if kind_of(store, guid) == bcd.TYPE_LOADER]
    if target == DEFAULT:
        default = store.value(bcd.element_key(bcd.BOOT_MANAGER, bcd.DEFAULT_OBJECT), bcd.ELEMENT)
        named = default.text.lower() if default is not None else ""
        loaders = [guid for guid in loaders if guid.lower() == named] or (loaders if len(loaders) == 1 else [])
    if not loaders:
        raise TargetError("the image's boot configuration data don't say which Windows is started")
    return loaders


def kind_of(store: Hive, guid: str) -> int:
    """The type of an object; 0 where it has none."""
    kind = store.value(rf"{bcd.object_key(guid)}\Description", "Type")
    return 0 if kind is None else kind.number


def _warn_of_settings_that_nobody_inherits(wanted: BootConfiguration, store: Hive) -> None:
    edited = {edit.object for edit in wanted.edits if edit.object in elements.SETTINGS and edit.value is not None}
    if not edited:
        return
    reached: set[str] = set()
    waiting = [bcd.BOOT_MANAGER, *_objects(LOADERS, store)]
    while waiting:
        guid = waiting.pop().lower()
        if guid not in reached:
            reached.add(guid)
            inherited = store.value(bcd.element_key(guid, bcd.INHERIT), bcd.ELEMENT)
            waiting += [] if inherited is None else inherited.texts
    for guid in sorted(edited - reached):
        print(f"warning: no boot entry of the image inherits {elements.name_of_object(guid)}, so it has no effect")


def _add_fallback_loader(guest: Installation) -> None:
    place = guest.boot_store()
    if place is None or place[1] != UEFI_STORE:
        return
    volume, fallback = place[0], _FALLBACKS.get(guest.facts.architecture)
    if fallback is None or volume.exists(fallback):
        return
    if not volume.exists(_MANAGER):
        raise TargetError(f"the image has no {_MANAGER}, with which it would start")
    volume.write(fallback, volume.read(_MANAGER))
    print(f"copied {_MANAGER} to {fallback}")
