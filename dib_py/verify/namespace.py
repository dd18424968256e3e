"""A network namespace of its own for a verification: nothing in it but this machine's end of the guest's network.

Its loopback interface holds the address of clouds' metadata service. qemu's user-mode network hands connections to
addresses outside of the guest's network on to the machine that qemu runs on, so a server that listens here is what the
guest finds there. It can't be forwarded (``guestfwd`` takes addresses of the guest's network only), and a network that
has the address would put a zeroconf route into the guest. There is no way out to other machines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from dib_py import namespaces
from dib_py.errors import HostError
from dib_py.process import run

METADATA_ADDRESS = "169.254.169.254"

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What ``work`` returns, run in a thread that is in a new network namespace, with all that it starts.

    The namespace lasts as long as anything in it does. HostError where none can be made.
    """
    outcome: Future[T] = Future()

    def enter() -> None:
        try:
            _enter()
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=enter, name="verification")
    thread.start()
    thread.join()
    return outcome.result()


def _enter() -> None:
    try:
        namespaces.unshare(namespaces.CLONE_NEWNET)
    except OSError as error:
        raise HostError(
            f"a network namespace can't be made: {error.strerror}",
            hint="run as root, or allow user namespaces (sysctl user.max_user_namespaces)",
        ) from error
    run(["ip", "link", "set", "lo", "up"], timeout=10)
    run(["ip", "address", "add", f"{METADATA_ADDRESS}/32", "dev", "lo"], timeout=10)
