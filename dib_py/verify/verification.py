"""The plan of a verification: which check starts when, and what becomes of it. One boot serves all checks of it.

Checks start as soon as what they need is there, those that only read beside the boot; the machine is switched off once
all others have ended, for those that need its end. The second boot is of the same disk, and is made where a check asks
for it. Whatever happens ends within the limits, with a verdict.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from dib_py.digest import file_identity
from dib_py.errors import HostError
from dib_py.events import Events, VerificationStarted
from dib_py.units import GIB
from dib_py.verify.board import Board
from dib_py.verify.boot import Boot, Given
from dib_py.verify.checks import DOORS, Check, Limits, Need, Trouble
from dib_py.verify.console_copy import ConsoleCopy
from dib_py.verify.firmware import Firmware, boots, lacks_bootloader, may_hold_windows, ovmf
from dib_py.verify.machine import Hardware, make_overlay, processors, program, qemu_version
from dib_py.verify.metadata import Metadata, served
from dib_py.verify.offline import Offline
from dib_py.verify.readers import Readers
from dib_py.verify.result import BootReport, Outcome, Result, Stage, Verdict, overall, summary
from dib_py.verify.run import Run
from dib_py.verify.seed import make_seed, write_disk

_LEAST_GROWTH = 2  # GiB that the machine's disk has more than the image
_EXPLAIN_WITHIN = 90.0  # seconds to look at an image whose boot got nowhere
_LAST_WORDS = 5.0  # seconds for checks to notice that the machine is gone


def grown(virtual_size: int) -> int:
    """Bytes of the machine's disk: a fifth of it or more is new, so that a filesystem that did not grow stands out."""
    whole = -(-virtual_size // GIB)
    return (whole + max(_LEAST_GROWTH, -(-whole // 4))) * GIB


def identity(image: Path) -> tuple[int, ...]:
    """That of the image's file; empty where it is gone."""
    try:
        return tuple(file_identity(image))
    except OSError:
        return ()


@dataclass(frozen=True)
class Order:
    """What is to be verified, all decided: the image has been examined, and a profile has become its checks."""

    image: Path
    name: Path  # what the image is called, where its file is not called so yet
    image_format: str
    virtual_size: int  # bytes
    digest: str
    checks: tuple[Check, ...]
    profile: str
    limits: Limits
    kvm: bool
    memory: int  # MiB
    terms: dict[str, str]
    kept_console: Path | None = None
    spent: float = 0.0  # seconds of the limit that its examination took
    identity: tuple[int, ...] = ()  # of the file whose digest it is


def carry_out(order: Order, directory: Path, events: Events) -> Verdict:
    """The verdict; of a second attempt where the emulation, and not the image, was at fault in the first.

    ``directory`` is private, and takes the overlays: what the guests write. HostError for what this machine lacks to
    verify anything.
    """
    first = Verification(order, directory / "first", events)
    verdict = first.run()
    spent = order.spent + verdict.seconds
    if not first.had_accident or spent >= order.limits.total:
        return verdict
    events.warning(f"{verdict.reason}; it is verified once more")
    return Verification(replace(order, spent=spent), directory / "second", events).run()


class Verification:
    """Carries an order out, in the network namespace of the thread that calls :meth:`run`."""

    def __init__(self, order: Order, directory: Path, events: Events) -> None:
        """``directory`` is made, and takes the overlays: what the guest writes."""
        directory.mkdir()
        self._order = order
        self._directory = directory
        self._start = directory / "start"  # the first bytes of the image's disk
        self._events = events
        self._began = time.time()
        self._origin = time.monotonic()
        self._deadline = self._origin + order.limits.total - order.spent
        self._boards = (Board(), Board())
        self._runs: list[Run] = []
        self._reports: list[BootReport] = []
        self._trouble = ""  # what kept a boot from coming up, and how far it came
        self._impossible = ""  # why the image can't be booted on this machine
        self._booting: Boot | None = None
        self._boots: list[Boot] = []
        self._firmware: list[Firmware] = []
        self._attaching: list[threading.Thread] = []

    @property
    def had_accident(self) -> bool:
        """Whether the emulation itself kept a guest from coming up."""
        return any(boot.is_accident for boot in self._boots)

    def run(self) -> Verdict:
        """The verdict; HostError for what this machine lacks to verify anything."""
        order = self._order
        self._events.emit(VerificationStarted(str(order.name), order.profile, [check.name for check in order.checks]))
        with ExitStack() as stack:
            offline = Offline(
                order.image, order.image_format, self._directory, kvm=order.kvm, limit=order.limits.offline
            )
            readers = Readers(offline, self._boards, self._look_for_foreign)
            self._readers = readers
            stack.callback(readers.close)
            given = self._given(readers, stack)
            stack.callback(self._settle_all)
            if self._needs(1, Need.IMAGE) or self._ends_well:  # reading tells whether there is a cloud-init to wait for
                readers.start()
            self._carry_out(given)
        return self._verdict()

    def _settle_all(self) -> None:
        """No check waits for anything any more, whatever ended the verification."""
        for board in self._boards:
            board.never("the verification has ended", *Need)

    # -- the plan
    def _carry_out(self, given: Given) -> None:
        disks = [self._directory / f"disk-{number}.qcow2" for number in (1, 2)]
        firmware = self._firmware_of_boots()
        start = self._start.read_bytes() if self._start.exists() else b""
        given = replace(given, lacks_bootloader=lacks_bootloader(start))
        first = Boot(given, 1, self._hardware(firmware[0]), disks[0], self._boards[0])
        wants_boot = any(check.needs & DOORS for check in self._order.checks)
        if wants_boot and not self._impossible and may_hold_windows(start):
            self._explain()
        if self._impossible or not wants_boot:
            self._read_only(first)
            return
        make_overlay(disks[0], given.image_path, given.image_format, given.disk_size)
        went_well = self._boot(first)
        if not first.ended_by_itself:
            self._boards[0].never(f"the guest did not switch the machine off: {first.ending}", Need.END)
        elif self._needs(1, Need.END):
            self._attach(disks[0])
        if self._checks(2):
            second = Boot(given, 2, self._hardware(firmware[1]), disks[1], self._boards[1])
            if went_well and first.ended_by_itself:
                make_overlay(disks[1], disks[0], "qcow2")  # the first boot's disk is being read
                self._boot(second)
            else:
                self._start_checks(2, second)
                self._boards[1].never(self._why_no_second(first), *DOORS)
        self._finish()

    def _boot(self, boot: Boot) -> bool:
        """One boot with its checks, as far as they do not need its end; whether the guest came up and stayed up."""
        self._booting = boot
        self._boots.append(boot)
        self._firmware.append(boot.firmware)
        board = boot.board
        runs = self._start_checks(boot.boot, boot)
        late = [run for run in runs if Need.OTHERS in run.check.needs]
        after = [run for run in runs if Need.END in run.check.needs]
        goes_on = boot.boot == 1 and self._ends_well
        early = [run for run in runs if run not in late and run not in after and run.check.needs & DOORS]
        try:
            with boot:
                self._wait_for(early, boot)
                if goes_on:
                    self._wait_for_first_work(boot)
                came_up = not boot.over and self._left() > 0
                if self._left() <= 0:
                    boot.give_up(self._too_late(boot))
                if came_up:
                    board.up(Need.OTHERS)
                    self._wait_for(late, boot)
                    if goes_on and not boot.over:
                        boot.switch_off(self._left())
        finally:
            self._booting = None
        if not came_up and boot.stage < Stage.KERNEL and self._left() > 0:
            self._explain()
        board.never("the machine has ended before the other checks had", Need.OTHERS)
        if boot.trouble is not None:
            what = f"{boot.trouble.what} (it came to: {boot.trouble.stage.word})"
            self._trouble = what if boot.boot == 1 else f"the second boot: {what}"
        self._reports.append(boot.report())
        return came_up

    def _wait_for(self, runs: Sequence[Run], boot: Boot) -> None:
        """Until they have ended, or the boot or the time is over."""
        while any(not run.ended for run in runs) and not boot.over and self._left() > 0:
            boot.wait_until_over(min(0.2, self._left()))

    def _wait_for_first_work(self, boot: Boot) -> None:
        """Until the guest has come up and cloud-init has ended: what is cut off in between says nothing of either."""
        needs = (Need.LOGIN, Need.CLOUD_INIT)
        while any(boot.board.reason(need) is None for need in needs) and not boot.over and self._left() > 0:
            boot.wait_until_over(min(0.2, self._left()))

    @property
    def _ends_well(self) -> bool:
        """Whether the first boot has to come to an end of its own, for what looks at its disk or starts it again."""
        return self._needs(1, Need.END) or bool(self._checks(2))

    def _read_only(self, subject: Boot) -> None:
        """The checks that need no machine; the others are not run."""
        self._boards[0].never(self._impossible or "nothing asked for a boot", *DOORS)
        self._boards[1].never(self._impossible or "nothing asked for a boot", *DOORS)
        for number in (1, 2):
            self._start_checks(number, subject)
        self._finish()

    def _finish(self) -> None:
        """Wait for what is still at work; what is not done by the limit will not be."""
        for thread in self._attaching:
            thread.join(max(0.0, self._left()))
        for run in self._runs:
            run.wait(self._left())
        end = time.monotonic() + _LAST_WORDS
        if any(not run.ended for run in self._runs):
            self._readers.close()
            for run in self._runs:
                run.wait(end - time.monotonic())

    def _start_checks(self, number: int, subject: Boot) -> list[Run]:
        runs = [
            Run(check, subject, self._boards[number - 1], self._deadline, self._clock, self._judged)
            for check in self._checks(number)
        ]
        self._runs += runs
        for run in runs:
            run.start(self._events)
        return runs

    def _attach(self, disk: Path) -> None:
        """Open the machine's disk beside whatever comes next, once nobody reads the image any more."""
        readers, board = self._readers, self._boards[0]

        def attach() -> None:
            readers.start()
            readers.wait(self._left())
            for run in self._runs:
                if Need.IMAGE in run.check.needs and Need.END not in run.check.needs:
                    run.wait(self._left())
            readers.attach(disk, board)

        thread = threading.Thread(target=attach, name="attach", daemon=True)
        self._attaching.append(thread)
        thread.start()

    # -- what can't be booted
    def _firmware_of_boots(self) -> tuple[Firmware, Firmware]:
        order = self._order
        try:
            program()
            firmware = boots(order.image, order.image_format, self._start)
            if Firmware.UEFI in firmware:
                ovmf()
        except HostError as error:
            self._impossible = error.message
            return Firmware.BIOS, Firmware.BIOS
        return firmware

    def _explain(self) -> None:
        """Look whether an image that came nowhere, or may hold Windows, is one that can't be booted here."""
        self._readers.start()
        self._readers.wait(min(_EXPLAIN_WITHIN, self._left()))

    def _look_for_foreign(self) -> None:
        if foreign := self._readers.foreign:
            self._impossible = foreign
            if self._booting is not None:
                self._booting.give_up(Trouble(self._booting.stage, foreign))

    def _too_late(self, boot: Boot) -> Trouble:
        return Trouble(boot.stage, f"the verification's limit of {self._order.limits.total:g} s has passed")

    def _why_no_second(self, first: Boot) -> str:
        if first.trouble is not None:
            return f"the first boot failed: {first.trouble.what}"
        return f"the first boot did not end by itself: {first.ending}"

    # -- the verdict
    def _verdict(self) -> Verdict:
        order = self._order
        by_name = {run.check.name: self._judged(run.check, run.result) for run in self._runs}
        results = tuple(by_name[check.name] for check in order.checks)
        booted = bool(self._reports) and not self._impossible and not any(boot.broken for boot in self._boots)
        outcome, reason = overall(results), summary(results)
        if booted and self._trouble and outcome is not Outcome.PASSED:
            outcome, reason = Outcome.FAILED, self._trouble
        return Verdict(
            image=str(order.name),
            digest=self._digest(),
            profile=order.profile,
            outcome=outcome,
            reason=reason,
            stage=self._reports[0].stage if self._reports else Stage.NOTHING,
            results=results,
            boots=tuple(self._reports),
            accelerator=("kvm" if order.kvm else "tcg") if booted else "",
            firmware=", then ".join(dict.fromkeys(one.value for one in self._firmware)),
            qemu_version=qemu_version() if self._reports else "",
            started=self._began,
            seconds=self._clock(),
            limit=order.limits.total,
            terms=order.terms,
        )

    def _judged(self, check: Check, result: Result) -> Result:
        """A result, unless its boot proves nothing: the image is for other machines, or somebody ended qemu."""
        why = self._impossible or next((one.broken for one in self._boots if one.boot == check.boot), "")
        if why and check.needs & DOORS:
            return replace(result, outcome=Outcome.NOT_RUN, reason=why)
        return result

    def _digest(self) -> str:
        """The image's, unless somebody wrote to it meanwhile: nobody knows then what was looked at."""
        order = self._order
        if order.identity and identity(order.image) != order.identity:
            self._events.warning(
                "the image was changed while it was verified: the verdict is not kept for another time"
            )
            return ""
        return order.digest

    # -- what is common
    def _given(self, readers: Readers, stack: ExitStack) -> Given:
        order = self._order
        console = ConsoleCopy(order.kept_console, self._events) if order.kept_console else None
        if console is not None:
            stack.callback(console.close)
        seed = make_seed(self._directory)
        seed_disk = self._directory / "seed.iso"
        write_disk(seed_disk, seed)
        metadata = Metadata(seed, self._origin)
        stack.enter_context(served(metadata))
        return Given(
            image_path=order.image,
            image_format=order.image_format,
            virtual_size=order.virtual_size,
            disk_size=grown(order.virtual_size),
            seed=seed,
            seed_disk=seed_disk,
            limits=order.limits,
            metadata=metadata,
            readers=readers,
            directory=self._directory,
            clock=self._clock,
            events=self._events,
            kept_console=console,
        )

    def _hardware(self, firmware: Firmware) -> Hardware:
        return Hardware(self._order.kvm, firmware, self._order.memory, processors())

    def _checks(self, number: int) -> list[Check]:
        return [check for check in self._order.checks if check.boot == number]

    def _needs(self, number: int, need: Need) -> bool:
        return any(need in check.needs for check in self._checks(number))

    def _clock(self) -> float:
        return time.monotonic() - self._origin

    def _left(self) -> float:
        return self._deadline - time.monotonic()
