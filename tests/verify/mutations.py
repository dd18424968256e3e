"""A good image of Debian with one thing broken: for each check, what makes that check fail and no other.

The image's copy is written through libguestfs; nothing of it runs here. Each change must find what it changes, so a
mutation can't quietly become none.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dib_py.target.guestfs_appliance import load_bindings
from dib_py.target.probe import kvm_works

UNITS = "/etc/systemd/system"
GRUB = "/boot/grub/grub.cfg"
CLOUD = "/etc/cloud/cloud.cfg"


@dataclass(frozen=True)
class Mutation:
    """What becomes of the image: by path, files with their texts, links with where they lead, and edits, each a pattern
    and what takes its place; ``disk_gib`` is how large its disk becomes."""

    check: str
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    disk_gib: int = 0


def unit(
    name: str, command: str, about: str = "After=network-online.target\nWants=network-online.target", more: str = ""
) -> dict[str, Any]:
    """A service that runs this at each boot."""
    text = (
        f"[Unit]\nDescription=A mutation\n{about}\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=/bin/sh -c '{command}'\n{more}\n[Install]\nWantedBy=multi-user.target\n"
    )
    path = f"{UNITS}/{name}.service"
    return {"files": {path: text}, "links": {f"{UNITS}/multi-user.target.wants/{name}.service": path}}


MUTATIONS = {
    mutation.check: mutation
    for mutation in (
        Mutation("boots", edits={GRUB: (r"root=\S+", "root=LABEL=elsewhere rootdelay=1")}),
        Mutation("console", edits={GRUB: (r" console=ttyS0\S*", "")}),
        Mutation("cloud-init", files={"/etc/cloud/cloud.cfg.d/99-host-name.cfg": "preserve_hostname: true\n"}),
        Mutation("ssh-key", edits={CLOUD: (r"^ *- ssh\n", "")}),
        Mutation("password", edits={CLOUD: (r"^ *- set[-_]passwords\n", "")}),
        Mutation(
            "growroot",
            files={"/etc/cloud/cloud.cfg.d/99-growth.cfg": 'growpart: {mode: "off"}\nresize_rootfs: false\n'},
            links={f"{UNITS}/growroot.service": "/dev/null"},
        ),
        Mutation("qga", links={f"{UNITS}/qemu-guest-agent.service": "/dev/null"}),
        Mutation("acpi", files={"/etc/systemd/logind.conf.d/mutation.conf": "[Login]\nHandlePowerKey=ignore\n"}),
        Mutation(
            "metadata-route",
            **unit(
                "zeroconf", 'ip route add 169.254.0.0/16 dev $$(ip -o route show default | sed "s/.* dev //; s/ .*//")'
            ),
        ),
        Mutation("no-leftovers", files={"/var/log/build.log": "how it was built\n"}),
        Mutation("services", **unit("once", "[ -e /var/lib/once ] || { touch /var/lib/once; exit 1; }")),
        Mutation(
            "clean-shutdown",
            **unit("abrupt", ":", more="ExecStop=/bin/sh -c 'echo o >/proc/sysrq-trigger; sleep 30'\n"),
        ),
        Mutation("size", disk_gib=81),
        Mutation(
            "second-boot",
            **unit(
                "forgetful",
                "rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/sem /var/lib/cloud/data",
                about="DefaultDependencies=no\nAfter=systemd-remount-fs.service\nBefore=cloud-init-local.service",
            ),
        ),
    )
}


def mutated(good: Path, copies: Mapping[Path, tuple[str, ...]]) -> None:
    """Make these copies of the good image, each with the mutations for those checks; one appliance writes them all."""
    for path in copies:
        shutil.copyfile(good, path)
    _in_appliance(
        list(copies), lambda handle: [_mutate(handle, number, names) for number, names in enumerate(copies.values())]
    )
    for path, names in copies.items():
        size = max(MUTATIONS[name].disk_gib for name in names)
        if size:
            subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", path, f"{size}G"], check=True)


def _in_appliance(images: list[Path], work: Callable[[Any], object]) -> None:
    handle = load_bindings().GuestFS(python_return_dict=True)
    try:
        handle.set_backend("direct")
        if not kvm_works().works:
            handle.set_backend_setting("force_tcg", "1")
        for image in images:
            handle.add_drive_opts(str(image), format="qcow2")
        handle.launch()
        work(handle)
        handle.shutdown()
    finally:
        handle.close()


def _mutate(handle: Any, number: int, names: tuple[str, ...]) -> None:
    disk = handle.list_devices()[number]
    root = next(one for one, kind in handle.list_filesystems().items() if one.startswith(disk) and kind == "ext4")
    handle.mount(root, "/")
    for name in names:
        mutation = MUTATIONS[name]
        for path, text in mutation.files.items():
            assert not handle.exists(path), f"{path} is there already, perhaps from another mutation"
            handle.mkdir_p(str(Path(path).parent))
            handle.write(path, text.encode())
        for path, destination in mutation.links.items():
            handle.ln_sf(destination, path)
        for path, (pattern, replacement) in mutation.edits.items():
            before = handle.read_file(path).decode()
            after = re.sub(pattern, replacement, before, flags=re.MULTILINE)
            assert after != before, f"{path} has nothing that {pattern} matches"
            handle.write(path, after.encode())
    handle.umount_all()
