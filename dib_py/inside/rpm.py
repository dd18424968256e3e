"""The packages of an rpm database, read by the appliance's own librpm."""

from __future__ import annotations

from typing import Any

from dib_py.inside.guests import LinuxGuest, mount
from dib_py.target.guestfs_appliance import Appliance


def packages(appliance: Appliance, guest: LinuxGuest) -> dict[str, str]:
    """``epoch:version-release`` by ``name.architecture``. libguestfs's inspection takes as long as its start."""

    def ask(handle: Any) -> list[dict[str, Any]]:
        handle.umount_all()  # libguestfs looks at filesystems by mounting them
        roots = handle.inspect_os()
        if len(roots) != 1:
            return []
        for path, device in sorted(handle.inspect_get_mountpoints(roots[0]).items()):
            handle.mount(device, path)  # SQLite wants to write, to what is thrown away here
        found: list[dict[str, Any]] = handle.inspect_list_applications2(roots[0])
        handle.umount_all()
        return found

    applications = appliance.call(ask)
    mount(appliance, guest.found)
    return {f"{one['app2_name']}.{one['app2_arch']}": _version(one) for one in applications}


def _version(application: dict[str, Any]) -> str:
    version = f"{application['app2_version']}-{application['app2_release']}"
    return f"{application['app2_epoch']}:{version}" if application["app2_epoch"] else version
