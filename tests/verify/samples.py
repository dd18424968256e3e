"""Verdicts as verifications make them: of an image that is good, of bad ones, and of one whose guest is hostile."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from dib_py.verify.result import (
    BootReport,
    Evidence,
    Line,
    Moment,
    Outcome,
    Result,
    Stage,
    Verdict,
    overall,
    summary,
)

Maker = Callable[[], Verdict]

STARTED = 1767225600.0  # 2026-01-01 00:00:00 UTC
DIGEST = "blake2b:20965664e3a6286a1d1702cedf95d87fe61ad0353520ea3d7277fd21734d4d92"
HOSTILE = (
    "</span></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "{{ 7*7 }}{% raw %}&lt;\"'`]]><!--\u202e\x00\x1b[31m\x08\ud800\ufffe"
)


def png(width: int = 720, height: int = 400) -> bytes:
    """A picture that a browser shows: black with a white bar."""
    rows = b"".join(
        b"\0" + (b"\xff" if height // 3 < row < height // 3 + 16 else b"\0") * width for row in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


CONSOLE = (
    (0.4, "SeaBIOS (version 1.16.2-debian-1.16.2-1)", Stage.FIRMWARE),
    (0.9, "Booting from Hard Disk...", None),
    (1.2, "GNU GRUB  version 2.06-13+deb12u1", Stage.BOOTLOADER),
    (6.8, "[    0.000000] Linux version 6.1.0-28-cloud-amd64 (debian-kernel@lists.debian.org)", Stage.KERNEL),
    (6.8, "[    0.000000] Command line: root=LABEL=cloudimg-rootfs ro console=tty0 console=ttyS0,115200", None),
    (19.5, "[    8.415221] Run /init as init process", Stage.INITRAMFS),
    (31.0, "[   19.204417] systemd[1]: Hostname set to <debian>.", Stage.USERSPACE),
    (58.2, "[  OK  ] Reached target multi-user.target - Multi-User System.", None),
    (61.7, "Debian GNU/Linux 12 verify ttyS0", None),
    (61.7, "", None),
    (61.8, "verify login:", Stage.LOGIN),
)


def boot(
    number: int = 1, begun: float = 0.5, *, until: Stage = Stage.LOGIN, ending: str = "it switched itself off"
) -> BootReport:
    said = list(itertools.takewhile(lambda one: one[2] is None or one[2] <= until, CONSOLE))
    lines = tuple(Line(line, begun + at, text) for line, (at, text, _) in enumerate(said, start=1))
    moments = tuple(
        Moment(begun + at, text, stage, line)
        for line, (at, text, stage) in enumerate(said, start=1)
        if stage is not None
    )
    return BootReport(number, until, ending, begun, 75.0, moments, lines, png())


def result(
    check: str, outcome: Outcome = Outcome.PASSED, started: float = 62.0, seconds: float = 1.5, **more: object
) -> Result:
    proves = f"what {check} is there to prove"
    return replace(Result(check, proves, outcome, started=started, seconds=seconds), **more)


def verdict(*results: Result, boots: tuple[BootReport, ...] = (), **more: object) -> Verdict:
    made = Verdict(
        image="/images/debian12.qcow2",
        digest=DIGEST,
        profile="openstack",
        outcome=overall(results),
        reason=summary(results),
        stage=boots[0].stage if boots else Stage.NOTHING,
        results=results,
        boots=boots,
        accelerator="tcg" if boots else "",
        firmware="BIOS" if boots else "",
        qemu_version="7.2.22" if boots else "",
        started=STARTED,
        seconds=152.25,
        limit=900.0,
        terms={"memory": "1024 MiB"},
    )
    return replace(made, **more)


def good() -> Verdict:
    lines = "Filesystem     1M-blocks  Used Available\n/dev/vda1          3900  1100      2600"
    return verdict(
        result("boots", started=0.5, seconds=61.3),
        result("no-leftovers", started=0.2, seconds=24.0),
        result("growroot", evidence=(Evidence("df -m /", lines),)),
        result("second-boot", started=76.0, seconds=75.0),
        boots=(boot(), boot(2, 76.0)),
    )


def failed() -> Verdict:
    """It has come up, but growth is broken, and one check could not look."""
    return verdict(
        result("boots", started=0.5, seconds=61.3),
        result(
            "growroot",
            Outcome.FAILED,
            reason="the root partition has 1.6 GiB of a disk of 4.0 GiB",
            evidence=(Evidence("lsblk -b", "vda  4294967296\nvda1 1803550720"),),
        ),
        result("no-leftovers", Outcome.NOT_RUN, 0.0, 0.0, reason="libguestfs is not installed"),
        boots=(boot(),),
    )


def panicked() -> Verdict:
    """It got as far as the kernel."""
    report = boot(until=Stage.KERNEL, ending="the kernel panicked")
    last = Line(len(report.console) + 1, 20.0, "[    9.1] Kernel panic - not syncing: VFS: Unable to mount root fs")
    return verdict(
        result("boots", Outcome.FAILED, 0.5, 20.0, reason="kernel panic: VFS: Unable to mount root fs"),
        result("growroot", Outcome.NOT_RUN, 0.0, 0.0, reason="the guest has not come up"),
        boots=(replace(report, console=(*report.console, last)),),
    )


def unbooted() -> Verdict:
    """Windows: only what can be read was looked at."""
    return verdict(
        result("boots", Outcome.NOT_RUN, 0.0, 0.0, reason="Windows is not booted here"),
        result("size", started=0.1, seconds=0.2),
        image="/images/windows.qcow2",
        seconds=0.4,
    )


def hostile() -> Verdict:
    """Every text that comes from outside tries to be more than text."""
    report = boot()
    console = tuple(replace(line, text=f"{HOSTILE}{line.text}") for line in report.console)
    moments = tuple(replace(moment, text=HOSTILE) for moment in report.moments)
    return verdict(
        result("growroot", Outcome.FAILED, reason=HOSTILE, evidence=(Evidence(HOSTILE, f"{HOSTILE}\n{HOSTILE}"),)),
        result("boots", Outcome.NOT_RUN, reason=HOSTILE),
        boots=(replace(report, console=console, moments=moments, ending=HOSTILE),),
        image=f"/images/{HOSTILE.replace('/', '')}",
        terms={HOSTILE: HOSTILE},
        profile=HOSTILE,
        qemu_version=HOSTILE,
    )
