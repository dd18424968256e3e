"""Archives streamed into the appliance over a port of their own: it works while the handle serves the guest's tree."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence

from dib_py.errors import TargetError
from dib_py.process import CommandFailed
from dib_py.target.guestfs_appliance import Appliance
from dib_py.target.guestfs_runner import ENVIRONMENT, Program, Runner

_ENDED_WITHIN = 10.0  # seconds for what packs the archive, once all of it was read
_COMPLETE = (0, 1)  # tar's exit codes; 1 is that a file changed while it was read


def send(appliance: Appliance, packing: Sequence[str], names: bytes, script: str, arguments: bytes) -> None:
    """Run ``packing``, whose input is ``names``, on this machine, and at the same time ``script`` in the appliance: $1
    is the guest's root, $2 what the archive is read from to its end, and the input ``arguments``.

    TargetError, or CommandFailed for ``packing``, where either fails; nothing can be sent after that.
    """
    port = appliance.archives
    argv = ["/bin/bash", "-euc", script, "bash", "/sysroot", f"/dev/virtio-ports/{port.name}"]
    printed = bytearray()
    with tempfile.TemporaryFile() as listing, tempfile.TemporaryFile() as errors:
        listing.write(names)
        listing.seek(0)
        packer = subprocess.Popen(packing, stdin=listing, stdout=port.fileno(), stderr=errors)
        watch = threading.Thread(target=_end_of_packing, args=(packer, port), name="archive")
        watch.start()
        try:
            # the engine's runner stays free: the disk may have to grow meanwhile
            code = appliance.guest_runner.run(Program(argv, ENVIRONMENT, input=arguments), printed.extend)
            if code == 0:
                packer.wait(_ENDED_WITHIN)
        finally:
            packer.kill()  # unless it has ended
            watch.join()
        if packer.returncode > 0 and packer.returncode not in _COMPLETE:
            errors.seek(0)
            raise CommandFailed(packing, packer.returncode, errors.read().decode(errors="replace"))
    if code != 0:
        said = printed.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise TargetError(f"what host-side hooks wrote can't be put into the image: {said[0]}")


def _end_of_packing(packer: subprocess.Popen[bytes], port: Runner) -> None:
    """Close the port when the archive on it will have no end, which would be waited for in the appliance; with what is
    left of it, the next one would begin."""
    if packer.wait() not in _COMPLETE:
        port.close()
