"""Hooks of the small elements, each in a guest of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest


# -- install-bin, install-static, dib-init-system


def test_commands_are_installed(guest: Guest) -> None:
    guest.merge("install-bin")
    guest.hook("pre-install.d/01-install-bin")  # nobody brings any
    (guest.hooks / "bin").mkdir()
    (guest.hooks / "bin/hello").write_text("#!/bin/sh\necho hello\n")
    guest.hook("pre-install.d/01-install-bin")
    assert guest.run("hello").stdout == "hello\n"
    assert guest.path("/usr/local/bin/hello").stat().st_mode & 0o777 == 0o755


def test_static_files_lie_over_the_root(guest: Guest) -> None:
    guest.merge("install-static")
    guest.hook("install.d/10-install-static-files")  # nobody brings any
    static = guest.hooks / "static"
    for name, mode in (("etc/app/conf", 0o640), ("lib/app/run", 0o755), ("etc/app/x~", 0o644)):
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text("new\n")
        (static / name).chmod(mode)
    (static / "etc/link").symlink_to("app/conf")
    guest.write("/etc/app/conf", "old\n")
    (guest.root / "etc/app").chmod(0o700)
    guest.hook("install.d/10-install-static-files")
    assert guest.read("/etc/app/conf") == "new\n"
    assert str((guest.root / "etc/link").readlink()) == "app/conf"
    assert (guest.root / "etc/app").stat().st_mode & 0o777 == 0o700
    assert (guest.root / "lib").is_symlink(), "merged /usr has to stay merged"
    assert guest.path("/usr/lib/app/run").stat().st_mode & 0o111
    assert not guest.exists("/etc/app/x~")


@pytest.mark.parametrize(
    ("system", "place"),
    [
        ("systemd", "/usr/lib/systemd/system/app"),
        ("openrc", "/etc/init.d/app"),
        ("sysv", "/etc/init.d/app"),
        ("upstart", "/etc/init/app"),
    ],
)
def test_init_scripts(guest: Guest, system: str, place: str) -> None:
    guest.merge("dib-init-system")
    guest.fake("rc-update")
    guest.variables["DIB_INIT_SYSTEM"] = system
    guest.hook("install.d/20-install-init-scripts")  # nobody brings any
    for name in ("systemd", "openrc", "sysv", "upstart"):
        (guest.hooks / "init-scripts" / name).mkdir(parents=True)
        (guest.hooks / "init-scripts" / name / "app").write_text(name)
    guest.hook("pre-install.d/04-dib-init-system")
    guest.hook("install.d/20-install-init-scripts")
    guest.hook("post-install.d/10-enable-init-scripts")
    assert guest.read(place) == system
    assert guest.run("dib-init-system").stdout == f"{system}\n"
    assert guest.calls == (["rc-update add app default"] if system == "openrc" else [])


@pytest.mark.parametrize("system", ["", "runit"])
def test_an_unknown_init_system_ends_the_build(guest: Guest, system: str) -> None:
    guest.merge("dib-init-system")
    result = guest.run("true", check=False, DIB_INIT_SYSTEM=system)
    assert result.returncode == 1
    assert "DIB_INIT_SYSTEM" in result.stderr


# -- package-installs, pkg-map, svc-map


@pytest.mark.parametrize(
    ("hook", "file", "call"),
    [
        ("pre-install.d/10-package-installs", "pre-install.d/install-system", "install-packages a b"),
        ("install.d/01-package-installs-elements", "install.d/install-elements", "install-packages a b"),
        ("install.d/99-package-uninstalls", "install.d/uninstall-system", "install-packages -e a b"),
        (
            "post-install.d/95-package-uninstalls-elements",
            "post-install.d/uninstall-elements",
            "install-packages -e a b",
        ),
    ],
)
def test_slots_carry_out_the_lists_of_the_plan(guest: Guest, hook: str, file: str, call: str) -> None:
    guest.merge("package-installs")
    guest.fake("install-packages")
    guest.hook(hook)
    assert guest.calls == []
    (guest.hooks / "packages" / file).parent.mkdir(parents=True)
    (guest.hooks / "packages" / file).write_text("a\nb\n")
    guest.hook(hook)
    assert guest.calls == [call]


def test_maps_are_where_the_commands_look(guest: Guest) -> None:
    guest.merge("pkg-map", "svc-map")
    (guest.hooks / "pkg-map").mkdir()
    (guest.hooks / "pkg-map/web").write_text(json.dumps({"default": {"server": "apache2"}}))
    (guest.hooks / "svc-map-services").write_text("dib-test-web\tdebian\tapache2\n")
    guest.hook("pre-install.d/02-pkg-map")
    guest.hook("pre-install.d/02-svc-map")
    assert guest.run("pkg-map", "--element", "web", "server").stdout == "apache2\n"
    assert guest.run("svc-map", "dib-test-web").stdout == "apache2\n"
    assert guest.run("map-packages", "apache2", DISTRO_NAME="centos").stdout == "httpd\n"


def test_maps_that_come_later_join_the_others(guest: Guest) -> None:
    guest.merge("pkg-map")
    for directory, name in (("pkg-map", "web"), ("pkg-map-elements", "editor")):
        (guest.hooks / directory).mkdir()
        (guest.hooks / directory / name).write_text(json.dumps({"default": {"x": name}}))
    guest.hook("pre-install.d/02-pkg-map")
    assert guest.run("pkg-map", "--element", "editor", "x", check=False).returncode == 2
    guest.hook("install.d/01-pkg-map")
    assert [guest.run("pkg-map", "--element", name, "x").stdout for name in ("web", "editor")] == ["web\n", "editor\n"]


def test_a_service_of_the_image_keeps_its_name(guest: Guest) -> None:
    guest.merge("svc-map")
    (guest.hooks / "svc-map-services").write_text("dib-test-web\tdebian\tapache2\n")
    guest.hook("pre-install.d/02-svc-map")
    guest.write("/usr/lib/systemd/system/dib-test-web.service", "")
    assert guest.run("svc-map", "dib-test-web").stdout == "dib-test-web\n"


def test_a_map_packages_of_another_element_stays(guest: Guest) -> None:
    guest.merge("pkg-map")
    guest.write("/usr/local/bin/map-packages", "#!/bin/sh\necho theirs\n", 0o755)
    guest.hook("pre-install.d/02-pkg-map")
    assert guest.run("map-packages", "x").stdout == "theirs\n"


def test_package_installs_from_a_file(guest: Guest) -> None:
    guest.merge("package-installs", "pkg-map")
    guest.fake("install-packages")
    guest.write("/usr/share/pkg-map/web", json.dumps({"default": {"server": "apache2", "none": ""}}))
    slots = {
        "install": [["server", "web"], ["none", "web"], ["vim", "editor"], ["vim", "web"]],
        "uninstall": [["gcc", "x"]],
    }
    guest.write("/tmp/list.json", json.dumps({"install.d": slots}))
    command = ("package-installs-v2", "--phase", "install.d")
    guest.run(*command, "/tmp/list.json")
    guest.run(*command, "--uninstall", "/tmp/list.json")
    assert guest.calls == ["install-packages apache2 vim", "install-packages -e gcc"]
    assert guest.run(*command, "-n", "/tmp/list.json").stdout.splitlines()[-1] == "install-packages apache2 vim"
    assert "Nothing to install" in guest.run("package-installs-v2", "--phase=post-install.d", "/tmp/list.json").stdout
    assert len(guest.calls) == 2


def test_package_lists_of_older_elements(guest: Guest) -> None:
    guest.merge("package-installs", "pkg-map")
    guest.fake("install-packages")
    guest.write("/usr/share/pkg-map/web", json.dumps({"default": {"server": "apache2"}}))
    guest.write("/tmp/install.d/package-installs-web", "# comment\nserver\n\n  curl\n-gcc\n")
    guest.run("package-installs", "-d", "/tmp/install.d")
    guest.run("package-uninstalls", "-d", "/tmp/install.d")
    assert guest.calls == ["install-packages apache2 curl gcc", "install-packages -e gcc"]
    assert guest.run("package-installs", check=False).returncode == 1


# -- base, cloud-init


@pytest.mark.parametrize(("avoid", "calls"), [("", ["install-packages -u"]), ("1", [])])
def test_all_packages_are_brought_up_to_date(guest: Guest, avoid: str, calls: list[str]) -> None:
    guest.merge("base")
    guest.fake("install-packages")
    guest.hook("install.d/00-up-to-date", DIB_AVOID_PACKAGES_UPDATE=avoid)
    assert guest.calls == calls


def test_hosts_file_of_cloud_init(guest: Guest) -> None:
    guest.merge("base")
    guest.hook("install.d/10-cloud-init")
    assert list((guest.root / "etc/cloud/cloud.cfg.d").iterdir()) == []
    guest.hook("install.d/10-cloud-init", DIB_CLOUD_INIT_ETC_HOSTS="localhost")
    assert guest.read("/etc/cloud/cloud.cfg.d/10_etc_hosts.cfg") == "manage_etc_hosts: localhost\n"


def test_the_units_of_this_cloud_init_are_enabled(guest: Guest) -> None:
    guest.merge("cloud-init")
    guest.fake("systemctl")
    for unit in ("cloud-init-local", "cloud-init", "cloud-final"):
        guest.write(f"/etc/systemd/system/{unit}.service", "")
    guest.write("/etc/cloud/cloud-init.disabled", "")
    guest.hook("post-install.d/20-enable-cloud-init")
    assert {"cloud-init-local", "cloud-init", "cloud-final"} <= {call.split()[-1][:-8] for call in guest.calls}
    assert "systemctl enable cloud-init-main.service" not in guest.calls
    assert not guest.exists("/etc/cloud/cloud-init.disabled")


def test_data_sources(guest: Guest) -> None:
    guest.merge("cloud-init-datasources")
    hook = "install.d/05-set-cloud-init-sources"
    configuration = guest.root / "etc/cloud/cloud.cfg.d"
    guest.hook(hook)
    text = (configuration / "91-dib-cloud-init-datasources.cfg").read_text()
    assert text == "datasource_list: [ NoCloud, ConfigDrive, OpenStack, Ec2, None ]\n"
    assert {path.name[:2] for path in configuration.iterdir()} == {"91", "92", "93"}
    guest.hook(hook, DIB_CLOUD_INIT_DATASOURCES="NoCloud")
    assert {path.name[:2] for path in configuration.iterdir()} == {"91"}


# -- machine identity and SSH


def test_machine_identity_is_cleared(guest: Guest) -> None:
    guest.merge("sysprep")
    guest.hook("finalise.d/99-clear-machine-id")
    assert not guest.exists("/etc/machine-id")
    guest.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    (guest.root / "var/lib/dbus").mkdir()
    (guest.root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    guest.hook("finalise.d/99-clear-machine-id")
    assert guest.read("/etc/machine-id") == "uninitialized\n"


def test_host_keys_come_back_one_by_one(guest: Guest) -> None:
    guest.merge("runtime-ssh-host-keys")
    for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "sshd_config", "moduli"):
        guest.write(f"/etc/ssh/{name}", name)
    guest.hook("finalise.d/90-remove-ssh-host-keys")
    assert {path.name for path in (guest.root / "etc/ssh").iterdir()} == {"sshd_config", "moduli"}
    guest.write("/etc/ssh/ssh_host_ecdsa_key", "mine")
    guest.run("/tmp/in_target.d/static/usr/local/sbin/runtime-ssh-host-keys.sh")
    made = {path.name for path in (guest.root / "etc/ssh").iterdir() if path.name.startswith("ssh_host")}
    kept = {"ssh_host_ecdsa_key"}
    assert made == kept | {f"ssh_host_{kind}_key{end}" for kind in ("ed25519", "rsa") for end in ("", ".pub")}
    assert guest.read("/etc/ssh/ssh_host_ecdsa_key") == "mine"
    assert (guest.root / "etc/ssh/ssh_host_rsa_key").stat().st_mode & 0o777 == 0o600


HYBRID = "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com"


@pytest.mark.parametrize("asked", [True, False])
def test_key_exchange_that_is_safe_from_quantum_computers_where_the_server_has_it(guest: Guest, asked: bool) -> None:
    """A server that can't be asked may be too old for it, and would not start."""
    guest.merge("openssh-server")
    guest.fake("ssh", f'[ "$2" = kex ] && echo {HYBRID} curve25519-sha256 | tr ", " "\\n"' if asked else "exit 127")
    guest.write("/etc/ssh/sshd_config", "")
    guest.hook("post-install.d/99-harden-sshd-config")
    first = guest.read("/etc/ssh/sshd_config").splitlines()[0]
    rest = "curve25519-sha256@libssh.org,ecdh-sha2-nistp521,"
    if asked:
        assert first == f"KexAlgorithms {HYBRID},curve25519-sha256"
    else:
        assert first.startswith(f"KexAlgorithms curve25519-sha256,{rest}")


def test_only_known_algorithms_are_offered_and_first_of_all(guest: Guest) -> None:
    guest.merge("openssh-server")
    guest.fake(
        "ssh", 'case "$2" in kex) echo curve25519-sha256;; cipher) echo aes256-ctr;; mac) echo hmac-sha2-256;; esac'
    )
    guest.write("/etc/ssh/sshd_config", "Port 22\nciphers old\nMatch User x\n  X11Forwarding no\n")
    for _ in range(2):
        guest.hook("post-install.d/99-harden-sshd-config")
    assert guest.read("/etc/ssh/sshd_config") == (
        "KexAlgorithms curve25519-sha256\nCiphers aes256-ctr\nMACs hmac-sha2-256\n"
        "Port 22\nMatch User x\n  X11Forwarding no\n"
    )
    guest.write("/etc/ssh/sshd_config", "Port 22\n")
    guest.hook("post-install.d/99-harden-sshd-config", DIB_OPENSSH_SERVER_HARDENING="0")
    assert guest.read("/etc/ssh/sshd_config") == "Port 22\n"


# -- services


@pytest.mark.parametrize(
    ("element", "hook", "distro", "calls"),
    [
        ("runtime-ssh-host-keys", "80-ssh-keygen", "ubuntu", ["systemctl enable ssh-keygen.service"]),
        ("runtime-ssh-host-keys", "80-ssh-keygen", "fedora", []),
        ("growroot", "80-growroot", "debian", ["systemctl enable growroot.service"]),
    ],
)
def test_services_are_enabled(guest: Guest, element: str, hook: str, distro: str, calls: list[str]) -> None:
    guest.merge(element)
    guest.fake("systemctl")
    guest.hook(f"post-install.d/{hook}", DISTRO_NAME=distro)
    assert guest.calls == calls


@pytest.mark.parametrize(("state", "enabled"), [("static", False), ("disabled", True), ("indirect", True)])
def test_the_agent_is_enabled_unless_udev_starts_it(guest: Guest, state: str, enabled: bool) -> None:
    guest.merge("qga")
    guest.fake("systemctl", f'[ "$1" != is-enabled ] || echo {state}')
    guest.hook("post-install.d/80-qga")
    assert ("systemctl enable qemu-guest-agent.service" in guest.calls) is enabled


def test_power_button_without_a_rule_of_the_distribution(guest: Guest) -> None:
    guest.merge("acpid")
    guest.fake("systemctl", "exit ${INACTIVE:-0}")
    guest.hook("post-install.d/80-acpid")
    rule = dict(
        line.split("=", 1) for line in guest.read("/etc/acpi/events/dib-power-button").splitlines() if "=" in line
    )
    assert rule["event"] == "button[ /]power.*"
    (guest.root / "run/systemd/system").mkdir(parents=True)
    guest.run(rule["action"])
    assert guest.calls[-1] == "systemctl --quiet is-active systemd-logind.service", "logind does it"
    guest.run(rule["action"], check=False, INACTIVE="3")
    assert guest.calls[-1] == "systemctl poweroff"


def test_power_button_where_the_distribution_has_a_rule(guest: Guest) -> None:
    guest.merge("acpid")
    guest.fake("systemctl")
    guest.write("/etc/acpi/events/powerconf", "event=button/power.*\naction=/etc/acpi/actions/power.sh %e\n")
    guest.hook("post-install.d/80-acpid")
    assert not guest.exists("/etc/acpi/events/dib-power-button")


def test_zeroconf_route(guest: Guest) -> None:
    guest.merge("nozeroconf")
    guest.hook("post-install.d/80-nozeroconf")
    assert not guest.exists("/etc/sysconfig/network")
    guest.write("/etc/sysconfig/network", "NETWORKING=yes\nNOZEROCONF=no\nGATEWAY=192.0.2.1")
    for _ in range(2):
        guest.hook("post-install.d/80-nozeroconf")
    assert guest.read("/etc/sysconfig/network") == "NETWORKING=yes\nGATEWAY=192.0.2.1\nNOZEROCONF=yes\n"


@pytest.mark.parametrize(("arch", "line"), [("amd64", "-L 115200 ttyS0 "), ("arm64", "-L 115200 ttyAMA0 ")])
def test_serial_login_in_inittab(guest: Guest, arch: str, line: str) -> None:
    guest.merge("enable-serial-console")
    guest.write("/etc/inittab", "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n")
    for _ in range(2):
        guest.hook("install.d/20-enable-serial-console", ARCH=arch, DIB_INIT_SYSTEM="sysv")
    text = guest.read("/etc/inittab")
    assert text.count(line) == 1
    assert text.startswith("id:2:initdefault:\n#T0")


def test_serial_login_with_systemd(guest: Guest) -> None:
    guest.merge("enable-serial-console")
    guest.hook("install.d/20-enable-serial-console")
    assert "serial-getty@%k.service" in guest.read("/etc/udev/rules.d/99-serial-console.rules")


# -- devuser


@pytest.fixture
def devuser(guest: Guest) -> Guest:
    guest.merge("devuser")
    guest.fake("useradd", 'echo "dev:x:1000:1000::/home/dev:/bin/sh" >> /etc/passwd; echo "dev:x:1000:" >> /etc/group')
    guest.fake("usermod")
    guest.fake("chpasswd", "cat > /opt/password")
    guest.fake("visudo", "exit ${BROKEN:-0}")
    guest.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
    guest.variables["DIB_DEV_USER_USERNAME"] = "dev"
    return guest


def test_user_with_everything(devuser: Guest) -> None:
    (devuser.hooks / "devuser-ssh-authorized-keys").write_text("ssh-rsa AAAA\n")
    result = devuser.hook(
        "install.d/50-devuser",
        DIB_DEV_USER_GROUPS="adm,staff",
        DIB_DEV_USER_SHELL="/bin/zsh",
        DIB_DEV_USER_PASSWORD="for your eyes only",
        DIB_DEV_USER_PWDLESS_SUDO="yes",
        DIB_DEBUG_TRACE="1",
    )
    assert devuser.calls[:2] == [
        "useradd --create-home --shell /bin/zsh dev",
        "usermod --append --groups adm,staff dev",
    ]
    assert devuser.read("/opt/password") == "dev:for your eyes only\n"
    assert "for your eyes only" not in result.stdout + result.stderr
    assert devuser.read("/etc/sudoers.d/dev") == "dev ALL=(ALL) NOPASSWD:ALL\n"
    assert (devuser.root / "etc/sudoers.d/dev").stat().st_mode & 0o777 == 0o440
    keys = devuser.root / "home/dev/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-rsa AAAA\n"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert keys.parent.stat().st_mode & 0o777 == 0o700


def test_user_with_nothing(devuser: Guest) -> None:
    devuser.hook("install.d/50-devuser")
    assert devuser.calls == ["useradd --create-home dev", "chpasswd -e"]
    assert not devuser.exists("/etc/sudoers.d")


def test_a_broken_sudo_rule_ends_the_build(devuser: Guest) -> None:
    variables = {"DIB_DEV_USER_PWDLESS_SUDO": "yes", "BROKEN": "1"}
    assert devuser.hook("install.d/50-devuser", check=False, **variables).returncode == 1
