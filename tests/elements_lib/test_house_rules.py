"""What every element that comes with dib-py keeps to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from dib_py.element import Catalog, Element
from dib_py.errors import DibError
from dib_py.phases import BY_DIRECTORY
from dib_py.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]
CATALOG = Catalog.load([], builtin=ROOT / "elements")
ELEMENTS = list(CATALOG)
NAMES = {
    *("base", "debian", "debian-minimal", "dpkg", "vm", "block-device-mbr", "block-device-gpt", "block-device-efi"),
    *("bootloader", "cloud-init", "cloud-init-datasources", "growroot", "qga", "acpid", "console", "nozeroconf"),
    *("enable-serial-console", "openssh-server", "runtime-ssh-host-keys", "devuser", "sysprep", "manifests"),
    *("package-installs", "pkg-map", "svc-map", "install-bin", "install-static", "install-types", "dib-init-system"),
    *("almalinux", "centos", "centos7", "epel", "fedora", "opensuse", "redhat-common", "rhel", "rhel-common", "rocky"),
    *("rpm-distro", "yum", "zypper"),
    *("baremetal", "dhcp-all-interfaces", "fetch-ssh-key", "local-config", "no-firewall", "root-passwd", "sbom"),
    *("simple-init", "source-repositories", "cache-url"),
    *("admin-password", "clock-utc", "cloudbase-init", "crash-dump", "ems", "execution-policy", "firstboot"),
    *("grow-root", "icmp", "locale", "no-first-logon-animation", "page-file", "power", "product-key", "rdp"),
    *("san-policy", "server-manager-off", "ssh", "timezone", "unattend", "updates-policy", "virtio", "wallpaper"),
    *("win-sysprep-check", "windows", "windows-iso", "winrm"),
    *("cloud-init-nocloud", "no-hardcoded-mac", "selinux-permissive", "disable-selinux", "selinux-fixfiles-restore"),
    *("windows", "windows-iso", "windows-autounattend", "virtio", "ems", "unattended-boot", "unattend", "firstboot"),
    *("rdp", "icmp", "ssh", "winrm", "cloudbase-init", "grow-root", "admin-password", "product-key", "locale"),
    *("clock-utc", "power", "page-file", "san-policy", "crash-dump", "execution-policy", "updates-policy", "wallpaper"),
    *("timezone", "server-manager-off", "no-first-logon-animation", "win-sysprep-check"),
}
OPENING = """
if [ "${DIB_DEBUG_TRACE:-0}" -gt 0 ]; then
    set -x
fi
set -euo pipefail
"""


def every_element() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.name)


def hooks(element: Element) -> list[Path]:
    return [
        path
        for name in element.phase_dirs
        if name in BY_DIRECTORY
        for path in element.files(name)
        if os.access(path, os.X_OK)
    ]


def test_all_of_them_are_there() -> None:
    assert {element.name for element in ELEMENTS} >= NAMES


@every_element()
def test_readme_says_what_it_does_in_one_sentence(element: Element) -> None:
    assert element.description.endswith(".")
    assert element.description == element.readme.text


@every_element()
def test_readme_has_its_variables(element: Element) -> None:
    documented = (element.path / "README.rst").read_text()
    for path in element.environment_files:
        for name in re.findall(r"export (\w+)=", path.read_text()):
            internal = name in {"DISTRO_NAME", "DIB_INIT_SYSTEM", "EFI_BOOT_DIR", "DIB_BLOCK_DEVICE", "YUM"}
            if not internal and not name.endswith(("_WS", "_PACKAGES", "USE_SERIAL_CONSOLE")):
                assert f"``{name}``" in documented, name


@every_element()
def test_every_documented_variable_has_a_default_and_a_meaning(element: Element) -> None:
    text = (element.path / "README.rst").read_text().partition("Variables\n---------\n")[2]
    for block in re.findall(r"^``.*?(?=^``|\Z)", text, re.MULTILINE | re.DOTALL):
        assert "  :Default: " in block
        assert "  :Description: " in block


@every_element()
def test_hooks_begin_as_all_of_them_do(element: Element) -> None:
    for path in hooks(element):
        text = path.read_text()
        assert text.startswith("#!/bin/bash\n# "), path
        assert OPENING in text, path
        assert "\t" not in text.replace("'\t'", ""), path


@every_element()
def test_dependencies_are_sorted_and_known(element: Element) -> None:
    deps = list(element.deps)
    assert deps == sorted(deps)
    known = {name for other in ELEMENTS for name in (other.name, *other.provides)}
    assert set(deps) <= known


@every_element()
def test_package_names_go_through_a_map(element: Element) -> None:
    for path in element.package_installs:
        assert {"package-installs", "pkg-map"} & set(element.deps), path
        yaml.safe_load(path.read_text())
    path = element.path / "pkg-map"
    if path.is_file():
        sections = json.loads(path.read_text())
        assert set(sections) <= {"release", "distro", "family", "default"}


@pytest.mark.parametrize(
    "names",
    [
        ["base", "debian", "vm", "block-device-mbr", "cloud-init", "growroot", "qga"],
        ["base", "debian-minimal", "vm", "block-device-gpt", "acpid", "console", "nozeroconf", "devuser"],
        ["debian-minimal", "vm", "block-device-efi", "svc-map", "source-repositories", "enable-serial-console"],
        ["debian", "cloud-init-datasources", "manifests", "install-types"],
        [
            "debian",
            "vm",
            "block-device-mbr",
            "baremetal",
            "sbom",
            "root-passwd",
            "local-config",
            "no-firewall",
            "fetch-ssh-key",
        ],
        ["debian-minimal", "dhcp-all-interfaces", "simple-init"],
        ["windows", "virtio", "cloudbase-init", "rdp", "icmp", "qga", "ems", "unattend", "firstboot", "grow-root"],
    ],
    ids="-".join,
)
def test_they_work_together(names: list[str]) -> None:
    assert resolve(CATALOG, names).has_operating_system


def test_two_block_devices_are_refused() -> None:
    with pytest.raises(DibError, match="block-device"):
        resolve(CATALOG, ["debian", "block-device-mbr", "block-device-gpt"])


def test_no_two_elements_bring_the_same_file() -> None:
    seen: dict[str, str] = {}
    for element in ELEMENTS:
        for directory in element.directories:
            if element.name.startswith("block-device-"):
                continue  # of these an image has one
            for path in directory.rglob("*"):
                if path.is_file() and path.name != "install-packages":  # an image has one package manager
                    name = str(path.relative_to(element.path))
                    assert name not in seen, f"{name} of {element.name} and {seen[name]}"
                    seen[name] = element.name
