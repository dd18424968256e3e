"""The machine's control: qemu's own protocol over a socket that it was started with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from socket import socket as Socket
from typing import Any, TypeVar

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from dib_py.errors import HostError
from dib_py.loop_thread import LoopThread

_TIMEOUT = 60.0  # seconds for one command: qemu answers at once, unless the machine that it runs on is busy

T = TypeVar("T")


class Qmp:
    """A client for one machine; its event loop runs in a thread of its own, and ends with it."""

    def __init__(self, socket: Socket, told: Callable[[str, dict[str, Any]], None]) -> None:
        """Connect. ``told`` gets each event's name and data, in that thread; HostError if nobody answers."""
        self._told = told
        self._client = QMPClient("verify")
        self._loop = LoopThread("qmp")
        try:
            self._call(self._connect(socket))
        except HostError:
            self.close()
            raise

    def execute(self, command: str, **arguments: Any) -> Any:
        """The value of a command; ``_`` in names of arguments is QMP's ``-``. HostError if it fails."""
        return self._call(
            self._client.execute(command, {name.replace("_", "-"): value for name, value in arguments.items()} or None)
        )

    def close(self) -> None:
        """Hang up. May be called again."""
        with contextlib.suppress(HostError):
            self._call(self._disconnect())
        self._loop.close()

    async def _connect(self, socket: Socket) -> None:
        listener = EventListener()
        self._client.register_listener(listener)  # before there is anything to miss
        await self._client.connect(socket)
        self._listening = asyncio.ensure_future(self._listen(listener))

    async def _listen(self, listener: EventListener) -> None:
        async for event in listener:
            data = event.get("data")
            self._told(str(event["event"]), data if isinstance(data, dict) else {})

    async def _disconnect(self) -> None:
        if hasattr(self, "_listening"):
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._client.disconnect()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.call(work, _TIMEOUT)
        except ExecuteError as error:
            raise HostError(f"qemu: {error}") from error
        except asyncio.TimeoutError as error:  # first: from Python 3.11 on it is an OSError
            raise HostError(f"qemu did not answer within {_TIMEOUT:g} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise HostError("qemu has ended") from error
