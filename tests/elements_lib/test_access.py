"""Who may log in: the elements root-passwd, devuser and local-config."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.elements_lib.host_side import Build

if TYPE_CHECKING:
    from .conftest import Guest

PASSWORD = 'for "your" $eyes only'

# -- root-passwd


@pytest.fixture
def root_passwd(guest: Guest) -> Guest:
    guest.merge("root-passwd")
    guest.write("/etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
    guest.write("/etc/pam.d/chpasswd", "password required pam_unix.so yescrypt\nauth sufficient pam_rootok.so\n")
    guest.write("/etc/login.defs", "ENCRYPT_METHOD SHA512\n")
    return guest


def root_hash(guest: Guest) -> str:
    return guest.read("/etc/shadow").split(":")[1]


def fits(password: str, hashed: str) -> bool:
    script = "print crypt($ARGV[0], $ARGV[1])"
    return subprocess.run(["perl", "-e", script, password, hashed], capture_output=True, text=True).stdout == hashed


def test_roots_password_is_set_and_never_shown(root_passwd: Guest) -> None:
    result = root_passwd.hook("install.d/50-root-passwd", DIB_PASSWORD=PASSWORD, DIB_DEBUG_TRACE="1")
    assert fits(PASSWORD, root_hash(root_passwd))
    assert "your" not in result.stdout + result.stderr
    changed, expires = root_passwd.read("/etc/shadow").split(":")[2:8:5]
    assert int(changed) > 20000, "an account whose password is too old asks for a new one"
    assert expires == ""


def test_a_hash_is_taken_as_it_is(root_passwd: Guest) -> None:
    made = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True).stdout
    root_passwd.hook("install.d/50-root-passwd", DIB_PASSWORD=made.strip(), DIB_PASSWORD_HASHED="1")
    assert root_hash(root_passwd) == made.strip()


@pytest.mark.parametrize(
    ("password", "hashed", "message"),
    [
        ("plain", "1", "not what 'openssl passwd -6' prints"),
        ("one\nbin:two", "0", "more than one line"),
        ("", "0", "is empty"),
    ],
)
def test_passwords_that_are_none(root_passwd: Guest, password: str, hashed: str, message: str) -> None:
    variables = {"DIB_PASSWORD": password, "DIB_PASSWORD_HASHED": hashed}
    result = root_passwd.hook("install.d/50-root-passwd", check=False, **variables)
    assert result.returncode != 0
    assert message in result.stderr
    assert root_hash(root_passwd) == "*"


def test_without_a_password_no_build_begins(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dib_py", "plan", "debian-minimal", "root-passwd"],
        env={name: value for name, value in os.environ.items() if name != "DIB_PASSWORD"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "variable DIB_PASSWORD is not set" in done.stderr


def test_no_key_has_the_password_and_no_plan_shows_it(tmp_path: Path) -> None:
    def plan(password: str) -> str:
        command = [sys.executable, "-m", "dib_py", "plan", "--json", "debian-minimal", "root-passwd", "devuser"]
        passwords = {"DIB_PASSWORD": password, "DIB_DEV_USER_PASSWORD": password}
        environment = {**os.environ, **passwords, "DIB_IMAGE_CACHE": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "hunter22" not in plan("hunter22")


# -- devuser: what test_hooks.py has not

DEVUSER = "install.d/50-devuser"


@pytest.fixture
def devuser(guest: Guest) -> Guest:
    guest.merge("devuser")
    guest.fake("chpasswd", "cat > /opt/password")
    guest.fake("visudo")
    guest.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
    return guest


MADE = 'echo "dev.user:x:1000:100::/home/dev:/bin/sh" >> /etc/passwd; echo "users:x:100:" >> /etc/group'
VARIABLES = {
    "DIB_DEV_USER_USERNAME": "dev.user",
    "DIB_DEV_USER_GROUPS": "wheel,adm",
    "DIB_DEV_USER_SHELL": "/bin/bash",
}


def test_busybox_makes_the_user(devuser: Guest) -> None:
    (devuser.hooks / "devuser-ssh-authorized-keys").write_text("ssh-ed25519 AAAA\n")
    devuser.fake("adduser", MADE)
    devuser.fake("addgroup")
    # as in a guest that has no useradd and no usermod
    programs = "bash dirname id install getent cut cat touch grep tail chmod chown"
    devuser.run("/bin/bash", "-c", f"mkdir -p /opt/small; for p in {programs}; do ln -s /usr/bin/$p /opt/small/; done")
    devuser.run("/usr/bin/env", "PATH=/opt/fake:/opt/small", f"/tmp/in_target.d/{DEVUSER}", **VARIABLES)
    assert devuser.calls == [
        "adduser -D -s /bin/bash dev.user",
        "addgroup dev.user wheel",
        "addgroup dev.user adm",
        "chpasswd -e",
    ]
    assert devuser.read("/opt/password") == "dev.user:*\n", "a locked account lets nobody in"
    keys = devuser.root / "home/dev/.ssh/authorized_keys"
    assert (keys.stat().st_uid, keys.stat().st_gid) == (1000, 100)


def test_a_user_who_exists_keeps_the_password(devuser: Guest) -> None:
    devuser.write("/etc/passwd", devuser.read("/etc/passwd") + "dev.user:x:1000:0::/home/dev:/bin/sh\n")
    devuser.fake("usermod")
    devuser.hook(DEVUSER, **VARIABLES)
    assert devuser.calls == ["usermod --append --groups wheel,adm dev.user"]


def test_sudo_reads_the_rule_of_a_name_with_a_dot(devuser: Guest) -> None:
    devuser.fake("useradd", MADE)
    devuser.fake("usermod")
    devuser.hook(DEVUSER, **VARIABLES, DIB_DEV_USER_PWDLESS_SUDO="1")
    assert devuser.read("/etc/sudoers.d/dev_user") == "dev.user ALL=(ALL) NOPASSWD:ALL\n"


def test_the_real_programs_of_this_machine(guest: Guest) -> None:
    """useradd and chpasswd as they are: the account is there, has no password and is not locked."""
    guest.merge("devuser")
    guest.write("/etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
    guest.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
    guest.write("/etc/pam.d/chpasswd", "password required pam_unix.so\nauth sufficient pam_rootok.so\n")
    (guest.root / "home").mkdir()
    guest.hook(DEVUSER)
    name, password, *_ = guest.read("/etc/shadow").splitlines()[-1].split(":")
    assert (name, password) == ("devuser", "*")
    assert (guest.root / "home/devuser").is_dir()


def test_keys_are_added_to_those_of_a_user_who_exists(devuser: Guest) -> None:
    devuser.write("/etc/passwd", devuser.read("/etc/passwd") + "devuser:x:0:0::/home/dev:/bin/sh\n")
    (devuser.hooks / "devuser-ssh-authorized-keys").write_text("ssh-rsa AAAA me\nssh-rsa BBBB you\n")
    keys = devuser.write("/home/dev/.ssh/authorized_keys", "ssh-rsa CCCC\nssh-rsa AAAA me")
    for _ in range(2):
        devuser.hook(DEVUSER)
    assert keys.read_text() == "ssh-rsa CCCC\nssh-rsa AAAA me\nssh-rsa BBBB you\n"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)


# -- local-config


def test_keys_of_the_builder_come_in(tmp_path: Path) -> None:
    build = Build(tmp_path / "build").merge("local-config")
    build.hook("extra-data.d/62-ssh-key")
    assert not (build.hooks / "ssh-authorized-keys").exists()
    home = build.directory / "home/.ssh"
    home.mkdir(parents=True)
    (home / "authorized_keys").write_text("ssh-rsa AAAA me\n")
    build.hook("extra-data.d/62-ssh-key")
    assert (build.hooks / "ssh-authorized-keys").read_text() == "ssh-rsa AAAA me\n"


@pytest.fixture
def local_config(guest: Guest) -> Guest:
    guest.merge("local-config")
    (guest.hooks / "ssh-authorized-keys").write_text("ssh-rsa AAAA me\nssh-rsa BBBB you\n")
    return guest


def test_keys_are_added_once(local_config: Guest) -> None:
    keys = local_config.write("/root/.ssh/authorized_keys", "ssh-rsa CCCC\nssh-rsa AAAA me")
    for _ in range(2):
        local_config.hook("install.d/62-ssh-key")
    assert keys.read_text() == "ssh-rsa CCCC\nssh-rsa AAAA me\nssh-rsa BBBB you\n"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_keys_for_another_user(local_config: Guest) -> None:
    user = {"DIB_LOCAL_CONFIG_USERNAME": "cloud"}
    result = local_config.hook("install.d/62-ssh-key", check=False, **user)
    assert result.returncode == 1
    assert "the image has no user cloud" in result.stderr
    local_config.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\ncloud:x:1000:1001::/srv/cloud:/bin/sh\n")
    local_config.hook("install.d/62-ssh-key", **user)
    keys = local_config.root / "srv/cloud/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-rsa AAAA me\nssh-rsa BBBB you\n"
    assert [(path.stat().st_uid, path.stat().st_gid) for path in (keys, keys.parent)] == [(1000, 1001)] * 2


def test_no_keys(local_config: Guest) -> None:
    (local_config.hooks / "ssh-authorized-keys").unlink()
    local_config.hook("install.d/62-ssh-key")
    assert not local_config.exists("/root/.ssh")


HTTP, HTTPS, NONE = "http://proxy.example:3128", "http://proxy.example:3129", "localhost, 10.0.0.1"
PROXIES = {"http_proxy": HTTP, "https_proxy": HTTPS, "no_proxy": NONE}
PROXY_HOOK = "pre-install.d/02-proxy-settings"


def test_proxies_of_apt(local_config: Guest) -> None:
    (local_config.root / "etc/apt").mkdir()
    for _ in range(2):
        local_config.hook(PROXY_HOOK, **PROXIES)
    script = "apt-config -o Dir::Etc=/etc/apt shell a Acquire::http::Proxy b Acquire::https::Proxy"
    shown = local_config.run(
        *script.split(), "c", "Acquire::https::Proxy::localhost", "d", "Acquire::http::Proxy::10.0.0.1"
    )
    assert shown.stdout == f"a='{HTTP}'\nb='{HTTPS}'\nc='DIRECT'\nd='DIRECT'\n"


def test_proxies_of_dnf_and_yum(local_config: Guest) -> None:
    local_config.write("/etc/dnf/dnf.conf", "[main]\ngpgcheck=1\nproxy=http://old\n")
    (local_config.root / "etc/yum.conf").symlink_to("dnf/dnf.conf")
    for _ in range(2):
        local_config.hook(PROXY_HOOK, **PROXIES)
    assert local_config.read("/etc/dnf/dnf.conf") == f"[main]\nproxy={HTTPS}\ngpgcheck=1\n"
    assert (local_config.root / "etc/yum.conf").is_symlink()


def test_proxies_of_zypper(local_config: Guest) -> None:
    (local_config.root / "etc/zypp").mkdir()
    local_config.write("/etc/sysconfig/proxy", '# settings\nPROXY_ENABLED="no"\nHTTP_PROXY=""\nNO_PROXY="localhost"\n')
    for _ in range(2):
        local_config.hook(PROXY_HOOK, **PROXIES)
    lines = [
        "# settings",
        'PROXY_ENABLED="yes"',
        f'HTTP_PROXY="{HTTP}"',
        f'NO_PROXY="{NONE}"',
        f'HTTPS_PROXY="{HTTPS}"',
    ]
    assert local_config.read("/etc/sysconfig/proxy").splitlines() == lines


def test_proxies_of_alpine_and_arch(local_config: Guest) -> None:
    local_config.hook(PROXY_HOOK, **PROXIES)
    shown = local_config.run("/bin/sh", "-c", '. /etc/profile.d/proxy.sh; echo "$http_proxy $https_proxy $no_proxy"')
    assert shown.stdout == f"{HTTP} {HTTPS} {NONE}\n"


def test_without_a_proxy_nothing_is_set(local_config: Guest) -> None:
    (local_config.root / "etc/apt").mkdir()
    local_config.hook(PROXY_HOOK, no_proxy=NONE)
    assert list((local_config.root / "etc/apt").iterdir()) == []
