"""What ``dib-py inspect`` prints for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dib_py.inside.escaped import escaped
from dib_py.inside.linux import LinuxFacts
from dib_py.inside.report import Report
from dib_py.render.measures import size
from dib_py.windows.inspection import AUDIT, Drive, Hibernation, Inspection

_NO = "no"
_HIBERNATION = {
    Hibernation.NONE: "no hibernation file",
    Hibernation.IDLE: "a hibernation file without a session",
    Hibernation.SAVED: "hibernated, or shut down for a fast start",
}

Row = tuple[str, str]


def text(report: Report) -> str:
    """Lines of names and values, in columns; what is empty is left out."""
    rows = [("image", f"{report.image} ({report.format}, {size(report.size)})")]
    if report.windows is not None:
        rows += _windows(report.windows)
    if report.linux is not None:
        rows += _linux(report.linux)
    blocks = [list(_columns((name, value) for name, value in rows if value))]
    blocks.append(["", f"partitions ({report.table.kind or 'no table'})", *_table(_partitions(report))])
    blocks.append(["", "filesystems", *_table(_filesystems(report))])
    if report.refusals:
        told = [line for one in report.refusals for line in (f"  - {one.reason}", f"    {one.remedy}")]
        blocks.append(["", "a build would refuse it:", *told])
    return "\n".join(escaped(line) for block in blocks for line in block)


def _windows(facts: Inspection) -> Iterator[Row]:
    yield "system", f"{facts.generation.title}, {facts.edition} ({facts.installation_type})"
    yield "product", facts.product
    yield "version", facts.full_version
    yield "architecture", facts.architecture
    yield "boot", facts.boot_mode.value
    yield "system root", facts.system_root
    yield "control sets", ", ".join(facts.control_sets) or "unknown: Select does not tell"
    yield "drives", "; ".join(map(_drive, facts.drives))
    yield "state", f"{facts.image_state or 'not told'}{_meaning(facts)}"
    yield "host name", facts.hostname
    yield "page files", size(facts.paging) if facts.paging else "none"
    yield "hibernation", _HIBERNATION[facts.hibernation]
    yield "unfinished", ", ".join(facts.unfinished_hives)


def _meaning(facts: Inspection) -> str:
    """What the image's state means, where that decides what can be done."""
    if facts.image_state in AUDIT:
        return " (starts in audit mode)"
    return " (generalized)" if facts.is_generalized else ""


def _linux(facts: LinuxFacts) -> Iterator[Row]:
    yield "system", facts.title or f"{facts.distribution} {facts.version}".strip()
    yield "distribution", f"{facts.distribution} {facts.version}".strip()
    yield "architecture", facts.architecture
    yield "boot", ", ".join(facts.boot_modes) or "no loader was found"
    yield "kernels", ", ".join(facts.kernels) or "none"
    yield "init", facts.init
    yield "host name", facts.hostname
    count = "unknown" if facts.packages is None else facts.packages
    yield "packages", f"{count} ({facts.package_manager})" if facts.package_manager else "of no known manager"
    if facts.cloud_init is None:
        yield "cloud-init", _NO
    else:
        sources = ", ".join(facts.cloud_init.datasources)
        yield "cloud-init", f"{facts.cloud_init.version or 'yes'}{f' ({sources})' if sources else ''}"
    yield "guest agent", "yes" if facts.guest_agent else _NO
    yield "ssh server", "yes" if facts.ssh_server else _NO
    yield "SELinux", facts.selinux


def _drive(drive: Drive) -> str:
    if drive.partition:
        return f"{drive.letter} is partition {drive.partition}"
    return f"{drive.letter} is at {size(drive.offset)} of disk {drive.disk_signature}"


def _partitions(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.table.partitions:
        marks = " ".join(filter(None, [one.name, one.label and f"[{one.label}]", "active" if one.active else ""]))
        yield str(one.number), size(one.start), size(one.size), one.fstype or "-", one.type, marks


def _filesystems(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.filesystems:
        yield one.path, one.fstype, size(one.size), f"{size(one.free)} free", one.device


def _columns(rows: Iterable[Row]) -> Iterator[str]:
    for name, value in rows:
        yield f"{name:<13} {value}"


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    cells = list(rows)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    for row in cells:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
