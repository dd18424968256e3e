"""From the tree of a block-device file to its flat entries, and typed access to what an entry holds.

Both forms of diskimage-builder's grammar are read: entries nested in what they lie on, and flat ones that name their
``base``. Findings are collected, never raised one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dib_py.disk.size import parse_size
from dib_py.disk.yaml_nodes import Finding, Mapping, Sequence, Text, Value
from dib_py.errors import nearest

KEYS = {
    "local_loop": ("name", "size", "directory", "block_size"),
    "partitioning": ("name", "base", "label", "align", "partitions"),
    "lvm": ("name", "base", "pvs", "vgs", "lvs"),
    "mkfs": ("name", "base", "type", "label", "opts", "uuid"),
    "mount": ("name", "base", "mount_point"),
    "fstab": ("name", "base", "options", "dump-freq", "fsck-passno"),
}
PARTITION_KEYS = ("name", "base", "size", "type", "flags")


@dataclass
class Findings:
    """What was found so far: ``errors`` forbid the layout, ``warnings`` don't."""

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def error(self, line: int, message: str, hint: str = "") -> None:
        self.errors.append(Finding(line, message, hint))

    def warn(self, line: int, message: str, hint: str = "") -> None:
        self.warnings.append(Finding(line, message, hint))


@dataclass
class Entry:
    """One node of the file: its plugin (or ``partition``, ``pv``, ``vg``, ``lv``), name, base and values."""

    plugin: str
    name: str
    base: str | None
    line: int
    values: dict[str, Value]
    findings: Findings

    def line_of(self, key: str) -> int:
        return self.values[key].line if key in self.values else self.line

    def text(self, key: str) -> str | None:
        """A single value as written; None where there is none."""
        value = self.values.get(key)
        if value is None or (isinstance(value, Text) and value.null):
            return None
        if isinstance(value, Text):
            return value.value
        self.findings.error(value.line, f"{key} of {self.name} is a single value")
        return None

    def required(self, key: str, example: str) -> str | None:
        """A value that must be there."""
        value = self.text(key)
        if value is None and not isinstance(self.values.get(key), (Sequence, Mapping)):
            self.findings.error(self.line, f"{self.plugin} {self.name} has no {key}", f"for example {key}: {example}")
        return value

    def size(self, key: str) -> int | None:
        """Bytes; None where nothing or nothing readable is there."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_size(text)
        except ValueError as error:
            self.findings.error(self.line_of(key), f"{key} of {self.name}: {error}")
            return None

    def number(self, key: str, default: int) -> int:
        text = self.text(key)
        if text is None:
            return default
        if not text.isdecimal():
            self.findings.error(self.line_of(key), f"{key} of {self.name} is a whole number, not '{text}'")
            return default
        return int(text)

    def names(self, key: str) -> tuple[str, ...]:
        """A list of words; a single one may stand for itself."""
        value = self.values.get(key)
        if isinstance(value, Sequence):
            if all(isinstance(item, Text) for item in value.items):
                return tuple(item.value for item in value.items if isinstance(item, Text))
            self.findings.error(value.line, f"{key} of {self.name} is a list of words")
            return ()
        text = self.text(key)
        return () if text is None else (text,)

    def children(self, key: str, plugin: str) -> list[Entry]:
        """The mappings in a list, as entries of their own."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, Sequence):
            self.findings.error(value.line, f"{key} of {self.name} is a list")
            return []
        return [entry for item in value.items if (entry := self._child(item, plugin)) is not None]

    def _child(self, item: Value, plugin: str) -> Entry | None:
        name = item.items.get("name") if isinstance(item, Mapping) else None
        if not isinstance(item, Mapping) or not isinstance(name, Text) or not name.value:
            self.findings.error(item.line, f"each {plugin} is a mapping with a name", "for example - name: root")
            return None
        base = item.items.get("base")
        return Entry(
            plugin, name.value, base.value if isinstance(base, Text) else None, item.line, item.items, self.findings
        )


def flatten(document: Value, findings: Findings) -> list[Entry]:
    """All entries of the file, partitions among them, in its order."""
    if not isinstance(document, Sequence):
        findings.error(document.line, "a block-device file is a list", "for example - local_loop: {name: image0}")
        return []
    entries: list[Entry] = []
    for item in document.items:
        if not isinstance(item, Mapping) or len(item.items) != 1:
            findings.error(item.line, "an entry is a mapping with one key, the plugin's name", _plugins())
            continue
        [(plugin, value)] = item.items.items()
        if plugin not in KEYS:
            findings.error(item.lines[plugin], f"there is no plugin {plugin}", _did_you_mean(plugin, KEYS))
            continue
        entries += _entries(plugin, value, item.lines[plugin], None, findings)
    return entries


def _entries(plugin: str, value: Value, line: int, parent: str | None, findings: Findings) -> Iterator[Entry]:
    """An entry, and after it those that are nested in it."""
    if isinstance(value, Text) and value.null:  # "fstab:" alone takes all defaults
        value = Mapping(line, {}, {})
    if not isinstance(value, Mapping):
        findings.error(line, f"{plugin} is a mapping of keys and values")
        return
    base = value.items.get("base")
    base_name = base.value if isinstance(base, Text) else parent
    name = value.items.get("name")
    if not isinstance(name, Text) and base_name is None:
        findings.error(line, f"{plugin} has neither name nor base, so nothing can refer to it", "give it a name")
        return
    entry_name = name.value if isinstance(name, Text) else f"{plugin}_{base_name}"
    own = {key: one for key, one in value.items.items() if key not in KEYS}
    entry = Entry(plugin, entry_name, base_name, line, own, findings)
    _warn_unknown(entry, KEYS[plugin], value)
    yield entry
    for key, one in value.items.items():
        if key in KEYS:
            yield from _entries(key, one, value.lines[key], entry_name, findings)
    if plugin == "partitioning":
        yield from _partitions(entry)


def _partitions(table: Entry) -> Iterator[Entry]:
    for partition in table.children("partitions", "partition"):
        nested = {key: value for key, value in partition.values.items() if key in KEYS}
        partition.values = {key: value for key, value in partition.values.items() if key not in KEYS}
        partition.base = table.base
        _warn_unknown(partition, PARTITION_KEYS, None)
        yield partition
        for key, value in nested.items():
            yield from _entries(key, value, value.line, partition.name, table.findings)


def _warn_unknown(entry: Entry, known: Iterable[str], value: Mapping | None) -> None:
    for key, one in entry.values.items():
        if key not in known:
            line = value.lines[key] if value is not None else one.line
            what = f"{entry.plugin} {entry.name} has a key {key} that means nothing"
            entry.findings.warn(line, what, _did_you_mean(key, known))


def _plugins() -> str:
    return "plugins are " + ", ".join(KEYS)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = nearest(word, names, 1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(names)
