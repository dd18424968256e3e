"""The readers of a verification: of the image beside the boot, and of the machine's disk after its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from dib_py.errors import DibError
from dib_py.verify.board import Board
from dib_py.verify.checks import Need, Reader, Unreachable
from dib_py.verify.offline import Offline

CLOUD_INIT = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/bin/cloud-init")
_BOOTABLE = ("x86_64", "i386", "i686", "")
_JOIN_WITHIN = 5.0


class Readers:
    """Opened in a thread, as an appliance needs a while; says on the boards what can be read."""

    def __init__(self, offline: Offline, boards: Sequence[Board], known: Callable[[], None]) -> None:
        """``known`` is called once the image could be looked at."""
        self._offline = offline
        self._boards = boards
        self._known = known
        self._image: Reader | None = None
        self._disk: Reader | None = None
        self._why_no_image = "the image was not opened for reading"
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def image(self) -> Reader:
        if self._image is None:
            raise Unreachable(self._why_no_image)
        return self._image

    @property
    def disk(self) -> Reader:
        if self._disk is None:
            raise Unreachable("the machine's disk was not opened for reading")
        return self._disk

    @property
    def foreign(self) -> str:
        """Why the image can't be booted on this machine, as far as reading it tells; empty if nothing is against it."""
        if self._image is None:
            return ""
        system, arch = self._image.system, self._image.arch
        if system not in ("linux", ""):
            return f"images of {system.capitalize()} can't be booted here, only read"
        if arch not in _BOOTABLE:
            return f"images for {arch} can't be booted here, only read"
        return ""

    def start(self) -> None:
        """Begin to open the image, unless that was begun before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._open, name="readers", daemon=True)
            self._thread.start()

    def wait(self, timeout: float) -> None:
        """Wait until the image is open, or can't be opened."""
        if self._thread is not None:
            self._thread.join(max(0.0, timeout))

    def attach(self, disk: Path, board: Board) -> None:
        """Read this disk, which nothing writes any more, instead of the image from now on."""
        try:
            self._disk = self._offline.attach(disk)
        except DibError as error:
            board.never(f"the machine's disk can't be read: {error}", Need.END)
        else:
            board.up(Need.END)

    def close(self) -> None:
        self._closing = True
        self._offline.close()
        self.wait(_JOIN_WITHIN)

    def _open(self) -> None:
        try:
            self._offline.__enter__()
            if self._closing:
                return
            self._image = self._offline.image()
            has_cloud_init = self._image.system != "linux" or any(self._image.exists(path) for path in CLOUD_INIT)
        except DibError as error:
            self._why_no_image = f"the image can't be read: {error}"
            for board in self._boards:
                board.never(self._why_no_image, Need.IMAGE)
            return
        for board in self._boards:
            board.up(Need.IMAGE)
            if not has_cloud_init:
                board.never("there is no cloud-init in the image", Need.CLOUD_INIT)
        self._known()
