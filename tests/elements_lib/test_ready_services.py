"""The services of the cloud elements on each distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dib_py.packages import svc_map

from .distributions import ALPINE, ARCH, CENTOS7, DEBIAN, FEDORA, NEW_CLOUD_INIT, Distribution, on_each, twice
from .test_ready_packages import CATALOG

if TYPE_CHECKING:
    from .conftest import Guest


def enabled(guest: Guest, distribution: Distribution, element: str, hook: str) -> list[str]:
    """The services that an element's hook enables: with the runlevel on OpenRC, without ``.service`` on systemd."""
    guest.merge(element, "svc-map")
    distribution.lay(guest)
    services = svc_map.merge([CATALOG["openssh-server"]])
    (guest.hooks / "svc-map-services").write_text("".join(f"{s.name}\t{s.selector}\t{s.real}\n" for s in services))
    guest.hook("pre-install.d/02-svc-map")
    guest.fake("systemctl")
    guest.fake("rc-update")
    twice(guest, hook)
    begin = "systemctl enable " if distribution.init == "systemd" else "rc-update add "
    calls = [call for call in guest.calls if call.startswith(begin)]
    return [call.removeprefix(begin).removesuffix(".service") for call in calls]


@on_each()
def test_cloud_init(guest: Guest, distribution: Distribution) -> None:
    guest.write("/etc/cloud/cloud-init.disabled", "")
    if distribution is ALPINE:
        for service in ("udev", "udev-trigger", "udev-settle", "udev-postmount"):
            guest.write(f"/etc/init.d/{service}", "")
    services = enabled(guest, distribution, "cloud-init", "post-install.d/20-enable-cloud-init")
    assert not guest.exists("/etc/cloud/cloud-init.disabled")
    if distribution is ALPINE:
        assert services == [
            "cloud-init-ds-identify boot",
            "cloud-init-local boot",
            "cloud-init default",
            "cloud-config default",
            "cloud-final default",
            "cloud-init-hotplugd default",
            "udev sysinit",
            "udev-trigger sysinit",
            "udev-settle sysinit",
            "udev-postmount default",
        ]
        assert "rc-update --quiet delete mdev sysinit" in guest.calls
    else:
        assert sorted(services) == sorted(distribution.services)
        assert ("cloud-init-main" in services) is (distribution.services is NEW_CLOUD_INIT)


@on_each()
@pytest.mark.parametrize(
    ("element", "hook", "service"),
    [
        ("acpid", "80-acpid", "acpid"),
        ("qga", "80-qga", "qemu-guest-agent"),
        ("openssh-server", "80-enable-sshd-service", "sshd"),
    ],
    ids=["acpid", "qga", "openssh-server"],
)
def test_one_service(guest: Guest, distribution: Distribution, element: str, hook: str, service: str) -> None:
    if service == "sshd" and distribution.family == "debian":
        service = "ssh"
    expected = f"{service} default" if distribution.init == "openrc" else service
    assert enabled(guest, distribution, element, f"post-install.d/{hook}") == [expected]


@on_each()
def test_host_keys_are_made_by_a_service_of_ours_on_debian_only(guest: Guest, distribution: Distribution) -> None:
    guest.write("/usr/lib/systemd/system/ssh-keygen.service", "")
    expected = ["ssh-keygen"] if distribution.family == "debian" else []
    assert enabled(guest, distribution, "runtime-ssh-host-keys", "post-install.d/80-ssh-keygen") == expected
    ours = distribution.family == "debian" or distribution.init != "systemd"
    assert guest.exists("/usr/lib/systemd/system/ssh-keygen.service") is ours


# -- what the power button does


@pytest.mark.parametrize(
    ("distribution", "files", "ours"),
    [
        (DEBIAN, {}, True),
        (CENTOS7, {"/etc/acpi/events/powerconf": "event=button/power.*\naction=/etc/acpi/actions/power.sh\n"}, False),
        (ALPINE, {"/etc/acpi/events/anything": "event=.*\n", "/etc/acpi/handler.sh": "poweroff\n"}, False),
        (ARCH, {"/etc/acpi/events/anything": "event=.*\n", "/etc/acpi/handler.sh": "logger 'pressed'\n"}, True),
    ],
    ids=["debian", "centos7", "alpine", "arch"],
)
def test_power_button(guest: Guest, distribution: Distribution, files: dict[str, str], ours: bool) -> None:
    for path, text in files.items():
        guest.write(path, text)
    enabled(guest, distribution, "acpid", "post-install.d/80-acpid")
    assert guest.exists("/etc/acpi/events/dib-power-button") is ours


# -- the agent

AGENT = "post-install.d/81-qga-settings"
PACKAGED = (
    "# Comma-separated blacklist of RPCs to disable, or empty list to enable all.\n"
    "BLACKLIST_RPC=guest-file-open,guest-exec\n"
    "\n"
    "FSFREEZE_HOOK_PATHNAME=/dev/null\n"
)


def test_the_agent_of_centos_7_can_change_passwords(guest: Guest) -> None:
    guest.merge("qga")
    CENTOS7.lay(guest)
    guest.write("/etc/sysconfig/qemu-ga", PACKAGED, 0o640)
    guest.write("/etc/qemu-ga/fsfreeze-hook", "#!/bin/sh\n", 0o755)
    twice(guest, AGENT)
    assert guest.read("/etc/sysconfig/qemu-ga") == (
        "# Comma-separated blacklist of RPCs to disable, or empty list to enable all.\n"
        'BLACKLIST_RPC=""\n'
        "\n"
        "FSFREEZE_HOOK_PATHNAME=/etc/qemu-ga/fsfreeze-hook\n"
        'TRANSPORT_METHOD="virtio-serial"\n'
        'DEVPATH="/dev/virtio-ports/org.qemu.guest_agent.0"\n'
        'LOGFILE="/var/log/qemu-ga/qemu-ga.log"\n'
        'PIDFILE="/var/run/qemu-ga.pid"\n'
        "FSFREEZE_HOOK_ENABLE=1\n"
    )
    assert guest.path("/etc/sysconfig/qemu-ga").stat().st_mode & 0o777 == 0o640


def test_the_agent_of_centos_7_without_a_hook_for_freezing(guest: Guest) -> None:
    guest.merge("qga")
    CENTOS7.lay(guest)
    guest.write("/etc/sysconfig/qemu-ga", PACKAGED)
    guest.hook(AGENT, DIB_QGA_BLOCKED_RPCS="guest-exec")
    text = guest.read("/etc/sysconfig/qemu-ga")
    assert 'BLACKLIST_RPC="guest-exec"\n' in text
    assert "FSFREEZE_HOOK_PATHNAME=/dev/null\n" in text, "a hook that is not there would make every freeze fail"


@on_each(DEBIAN, FEDORA, ALPINE)
def test_the_agent_elsewhere_is_as_the_distribution_has_it(guest: Guest, distribution: Distribution) -> None:
    guest.merge("qga")
    distribution.lay(guest)
    if distribution is FEDORA:
        guest.write("/etc/sysconfig/qemu-ga", 'FILTER_RPC_ARGS="--allow-rpcs=guest-ping"\n')
    guest.hook(AGENT)
    if distribution is FEDORA:
        assert guest.read("/etc/sysconfig/qemu-ga") == 'FILTER_RPC_ARGS="--allow-rpcs=guest-ping"\n'
    else:
        assert not guest.exists("/etc/sysconfig/qemu-ga")


@pytest.mark.parametrize(
    ("before", "blocked", "after"),
    [
        ('FILTER_RPC_ARGS="--allow-rpcs=guest-ping"\n', "a,b", 'FILTER_RPC_ARGS="--block-rpcs=a,b"\n'),
        ('FILTER_RPC_ARGS="--allow-rpcs=guest-ping"\n', "", 'FILTER_RPC_ARGS=""\n'),
        ("BLOCK_RPCS=guest-exec\n", "", 'BLOCK_RPCS=""\n'),
        ("BLACKLIST_RPC=guest-exec\n", "a", 'BLACKLIST_RPC="a"\n'),
    ],
)
def test_commands_that_the_agent_refuses(guest: Guest, before: str, blocked: str, after: str) -> None:
    guest.merge("qga")
    FEDORA.lay(guest)
    guest.write("/etc/sysconfig/qemu-ga", before)
    twice(guest, AGENT, DIB_QGA_BLOCKED_RPCS=blocked)
    assert guest.read("/etc/sysconfig/qemu-ga") == after


def test_commands_to_refuse_where_there_is_no_place_for_them(guest: Guest) -> None:
    guest.merge("qga")
    DEBIAN.lay(guest)
    result = guest.hook(AGENT, check=False, DIB_QGA_BLOCKED_RPCS="guest-exec")
    assert result.returncode == 1
    assert "DIB_QGA_BLOCKED_RPCS" in result.stderr


# -- cloud-init's data sources


def test_only_disks_and_the_seed(guest: Guest) -> None:
    guest.merge("cloud-init-datasources", "cloud-init-nocloud")
    guest.write("/var/lib/cloud/seed/nocloud/user-data", "#cloud-config\n")
    twice(guest, "install.d/05-inject-local-source-data", "install.d/05-set-cloud-init-sources")
    configuration = guest.root / "etc/cloud/cloud.cfg.d"
    assert [path.name for path in configuration.iterdir()] == ["91-dib-cloud-init-datasources.cfg"]
    assert guest.read("/etc/cloud/cloud.cfg.d/91-dib-cloud-init-datasources.cfg") == (
        "datasource_list: [ NoCloud, None ]\n"
    )
    assert guest.read("/var/lib/cloud/seed/nocloud/user-data") == "#cloud-config\n"
    assert guest.read("/var/lib/cloud/seed/nocloud/meta-data") == ""


# -- the SSH server's algorithms where its configuration is not in /etc


def test_algorithms_beside_a_configuration_that_is_not_to_be_changed(guest: Guest) -> None:
    guest.merge("openssh-server")
    guest.fake("ssh", 'case "$2" in kex) echo curve25519-sha256;; *) echo none;; esac')
    guest.write("/usr/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n")
    twice(guest, "post-install.d/99-harden-sshd-config")
    assert guest.read("/etc/ssh/sshd_config.d/00-dib-hardening.conf").startswith("KexAlgorithms curve25519-sha256\n")
    assert not guest.exists("/etc/ssh/sshd_config")


# -- a login on the serial port


def test_serial_login_of_busybox_init(guest: Guest) -> None:
    guest.merge("enable-serial-console")
    ALPINE.lay(guest)
    guest.write("/bin/busybox", "")
    guest.path("/usr/sbin/init").parent.mkdir(parents=True, exist_ok=True)
    guest.path("/usr/sbin/init").symlink_to("/bin/busybox")
    guest.write("/etc/inittab", "tty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100\n")
    guest.write("/etc/securetty", "tty1")
    twice(guest, "install.d/20-enable-serial-console")
    assert guest.read("/etc/inittab").splitlines()[1:] == [
        "#ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100",
        "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100",
    ]
    assert guest.read("/etc/securetty") == "tty1\nttyS0\n"


def test_serial_login_of_openrc_without_an_inittab(guest: Guest) -> None:
    guest.merge("enable-serial-console")
    guest.fake("rc-update")
    guest.write("/etc/init.d/agetty", "")
    twice(guest, "install.d/20-enable-serial-console", DIB_INIT_SYSTEM="openrc")
    assert str((guest.root / "etc/init.d/agetty.ttyS0").readlink()) == "agetty"
    assert guest.calls == ["rc-update add agetty.ttyS0 default"]
