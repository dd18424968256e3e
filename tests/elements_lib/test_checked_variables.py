"""What is wrong with variables of elements is said when a plan is made, not when a hook fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.element import Catalog
from dib_py.errors import DibError
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings

ELEMENTS = Path(__file__).resolve().parents[2] / "elements"
CATALOG = Catalog.load([], builtin=ELEMENTS)
HASH = "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."


def plan(names: str, environ: dict[str, str], arch: str = "amd64", base: str = "") -> Plan:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", **environ}
    return make_plan(Settings(elements=tuple(names.split()), arch=arch, environ=environ, base=base), CATALOG)


@pytest.mark.parametrize(
    ("names", "environ", "said"),
    [
        ("debian-minimal", {"DIB_DEBIAN_KERNEL": "foo"}, "generic, cloud or none"),
        ("ubuntu-minimal", {"DIB_UBUNTU_KERNEL": "linux-image-lts"}, "linux-image-virtual"),
        (
            "debian-minimal sbom",
            {"DIB_SBOM_FORMATS": "spdx spdxx"},
            "DIB_SBOM_FORMATS is 'spdx spdxx'; it may have spdx and",
        ),
        (
            "debian-minimal",
            {"DIB_SYSPREP_OPERATIONS": "defaults,-foo"},
            "DIB_SYSPREP_OPERATIONS: sysprep has no operation 'foo'",
        ),
        (
            "debian-minimal dhcp-all-interfaces",
            {"DIB_DHCP_TIMEOUT": "abc"},
            "DIB_DHCP_TIMEOUT is 'abc'; it has to be a number",
        ),
        (
            "debian-minimal fetch-ssh-key",
            {"DIB_FETCH_SSH_KEY_TRIES": "x"},
            "DIB_FETCH_SSH_KEY_TRIES is 'x'; it has to be a whole",
        ),
        ("debian-minimal qga", {"DIB_QGA_BLOCKED_RPCS": ""}, "debian has no /etc/sysconfig/qemu-ga"),
        ("rocky qga", {"DIB_QGA_BLOCKED_RPCS": "guest-exec guest-ping"}, "with commas between"),
        (
            "debian-minimal root-passwd",
            {"DIB_PASSWORD": ""},
            "DIB_PASSWORD, the password that root is to have, is empty",
        ),
        ("debian-minimal root-passwd", {"DIB_PASSWORD": "a\nb"}, "more than one line"),
        ("rhel", {"REG_METHOD": "portall"}, "REG_METHOD is 'portall'; it has to be portal, satellite or disable"),
        ("rhel", {"REG_METHOD": "portal"}, "REG_USER and REG_PASSWORD"),
        ("rhel", {"REG_METHOD": "portal", "REG_ACTIVATION_KEY": "hunter22"}, "REG_ACTIVATION_KEY needs REG_ORG"),
        ("rhel", {"REG_METHOD": "satellite", "REG_USER": "u"}, "needs REG_SAT_URL"),
        ("rhel", {"DIB_RELEASE": "7.9"}, "releases 8 and later"),
        ("centos", {"DIB_RELEASE": "8-stream"}, "rocky and almalinux have 8"),
        ("centos", {"DIB_RELEASE": "stream"}, "9-stream or later"),
        ("rocky simple-init", {"DIB_SIMPLE_INIT_NETWORKMANAGER": "0"}, "has nothing but NetworkManager"),
        ("fedora simple-init", {"DIB_SIMPLE_INIT_NETWORKMANAGER": "0"}, "has nothing but NetworkManager"),
        ("debian-minimal simple-init", {"DIB_SIMPLE_INIT_NETWORKMANAGER": "yes"}, "it may be auto, 0 or 1"),
        ("opensuse simple-init", {}, "wicked, which openSUSE 16.0 does not have"),
        ("fedora simple-init", {"DIB_SIMPLE_INIT_NO_DHCP_FALLBACK": "1"}, "glean configures no network of fedora"),
        ("alpine simple-init", {}, "simple-init is for almalinux and"),
        ("arch simple-init", {}, "simple-init is for almalinux and"),
    ],
)
def test_no_build_begins_with_a_wrong_value(names: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(DibError) as raised:
        plan(names, environ, base="/none.qcow2" if names.startswith("rhel") else "")
    assert said in str(raised.value)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "environ"),
    [
        ("debian-minimal sbom", {"DIB_SBOM_FORMATS": "cyclonedx"}),
        ("debian-minimal", {"DIB_SYSPREP_OPERATIONS": "defaults,-logfiles, -zsh-history"}),
        ("rocky qga", {"DIB_QGA_BLOCKED_RPCS": "guest-exec,guest-file-open"}),
        ("rocky qga", {"DIB_QGA_BLOCKED_RPCS": ""}),
        ("debian-minimal root-passwd", {"DIB_PASSWORD": HASH, "DIB_PASSWORD_HASHED": "1"}),
        ("rhel", {"REG_METHOD": "disable", "DIB_RELEASE": "8.10"}),
        ("centos7 simple-init", {"DIB_SIMPLE_INIT_NETWORKMANAGER": "0"}),
        ("opensuse simple-init", {"DIB_RELEASE": "15.6"}),
        ("fedora simple-init", {}),
    ],
)
def test_good_values_pass(names: str, environ: dict[str, str]) -> None:
    assert plan(names, environ, base="/none.qcow2").steps


def test_a_hash_that_is_none_is_not_shown() -> None:
    with pytest.raises(DibError) as raised:
        plan("debian-minimal root-passwd", {"DIB_PASSWORD": "hunter22", "DIB_PASSWORD_HASHED": "1"})
    assert "not what 'openssl passwd -6' prints" in str(raised.value)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [({}, "DIB_DEBIAN_KERNEL is not set"), ({"DIB_DEBIAN_KERNEL": "generic"}, "no kernel for ppc64el is known here")],
)
def test_an_architecture_without_a_kernel(kernel: dict[str, str], said: str) -> None:
    with pytest.raises(DibError) as raised:
        plan("debian-minimal", kernel, arch="ppc64el")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("kernel", "base"),
    [({"DIB_DEBIAN_KERNEL": "none"}, ""), ({}, "/none.qcow2"), ({"DIB_DEBIAN_CLOUD_IMAGE": "1"}, "")],
)
def test_an_architecture_that_needs_none(kernel: dict[str, str], base: str) -> None:
    found = plan("debian", kernel, arch="ppc64el", base=base)
    assert found.environment["DIB_DEBIAN_KERNEL"] == "none"


@pytest.mark.parametrize("given", [{}, {"DIB_RELEASE": "10"}, {"DIB_RELEASE": "10-stream"}])
def test_centos_stream_is_called_so(given: dict[str, str]) -> None:
    assert plan("centos", given).environment["DIB_RELEASE"] == "10-stream"


@pytest.mark.parametrize(("release", "client"), [("9", True), ("9.6", True), ("10.1", False)])
def test_minor_releases_have_the_packages_of_their_major_one(release: str, client: bool) -> None:
    text = repr(plan("rocky simple-init", {"DIB_RELEASE": release}).packages)
    assert ("dhcp-client" in text) is client
