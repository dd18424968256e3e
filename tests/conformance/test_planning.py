"""What the plan makes of diskimage-builder's own elements, against what its own programs make of them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import diskimage_builder
import pytest

from dib_py.element import Catalog, Element
from dib_py.environment import INSTALL_TYPE_FILE, install_type_text
from dib_py.hooks import list_hooks
from dib_py.packages.package_installs import Conditions, wishes
from dib_py.packages.pkg_map import PackageMap
from dib_py.phases import PHASES
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings
from dib_py.sourcing import parse_environment, sourcing_script

ROOT = Path(diskimage_builder.__file__).parent
ELEMENTS = ROOT / "elements"
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/root", "DIB_PACKAGES_EPOCH": "x"}
IMAGES = [
    ["debian", "vm", "cloud-init", "growroot", "dhcp-all-interfaces", "devuser", "openssh-server"],
    ["ubuntu-minimal", "vm", "simple-init", "pip-and-virtualenv", "baremetal", "dracut-regenerate", "iscsi-boot"],
    ["centos", "vm", "cloud-init", "block-device-efi", "bootloader", "epel", "rhel-common"],
    ["fedora-container", "vm", "growroot", "ironic-agent", "cloud-init-nocloud", "stable-interface-names"],
    ["opensuse-minimal", "vm", "block-device-gpt", "enable-serial-console"],
    ["gentoo", "vm", "cloud-init", "openssh-server"],
]


def made(elements: list[str]) -> Plan:
    catalog = Catalog.load([ELEMENTS])
    known = tuple(name for name in elements if name in catalog)
    environ = {**ENVIRON, "DIB_CONTAINERFILE_RUNTIME": "podman"}
    return make_plan(Settings(elements=known, arch="amd64", environ=environ, elements_path=(ELEMENTS,)), catalog)


@pytest.fixture(scope="module", params=IMAGES, ids=lambda elements: str(elements[0]))
def plan(request: pytest.FixtureRequest) -> Plan:
    return made(request.param)


@pytest.fixture
def staged(plan: Plan, tmp_path: Path) -> Path:
    plan.stage(tmp_path / "hooks")
    (tmp_path / "hooks" / "environment.d" / INSTALL_TYPE_FILE).write_text(install_type_text(plan.settings))
    return tmp_path / "hooks"


def test_hooks_are_those_that_dib_run_parts_lists(staged: Path) -> None:
    directories = [staged / phase.directory for phase in PHASES if (staged / phase.directory).is_dir()]
    for directory in directories:
        listed = subprocess.run(
            [ROOT / "lib" / "dib-run-parts", "--list", directory], capture_output=True, text=True, check=True
        )
        assert list_hooks(directory) == [line.rpartition("/")[2] for line in listed.stdout.splitlines()]
    assert len(directories) > 3


def test_environment_is_what_a_hook_of_dib_run_parts_sees(plan: Plan, staged: Path, tmp_path: Path) -> None:
    phase = staged / "probe.d"
    phase.mkdir()
    probe = phase / "10-probe"
    probe.write_text(f"#!/bin/bash\nenv -0 | base64 > {tmp_path}/seen\n")
    probe.chmod(0o755)
    variables = {**plan.environment, "TMP_HOOKS_PATH": str(staged)}
    for name in plan.environment.keys() - ENVIRON.keys():
        if name.startswith("DIB_") or name in ("DISTRO_NAME", "EFI_BOOT_DIR", "YUM"):
            del variables[name]  # for the files to set again
    subprocess.run([ROOT / "lib" / "dib-run-parts", phase], env=variables, capture_output=True, check=True)
    seen = base64.b64decode((tmp_path / "seen").read_bytes())
    names = [path.name for path in (staged / "environment.d").iterdir()]
    script = sourcing_script(names, staged / "environment.d", "nonce")
    printed = subprocess.run(["bash", "-c", script], env=variables, stdout=subprocess.PIPE, check=True).stdout
    result = parse_environment(printed, "nonce").variables
    assert result is not None
    theirs = dict(item.split("=", 1) for item in seen.decode().split("\0") if item)
    assert result == {name: value for name, value in theirs.items() if name not in ("_", "SHLVL", "PWD", "OLDPWD")}


def test_packages_are_those_that_package_installs_squash_finds(plan: Plan, tmp_path: Path) -> None:
    names = " ".join(element.name for element in plan.elements)
    squash = ELEMENTS / "package-installs" / "bin" / "package-installs-squash"
    environment = {**plan.environment, "ARCH": "amd64"}
    subprocess.run(
        [sys.executable, squash, f"--elements={names}", f"--path={ELEMENTS}", tmp_path / "out.json"],
        env=environment,
        capture_output=True,
        check=True,
    )
    theirs = {
        (phase, action, name, element)
        for phase, actions in json.loads((tmp_path / "out.json").read_text()).items()
        for action, packages in actions.items()
        for name, element in packages
    }
    found = [wish for e in plan.elements for wish in wishes(e, Conditions(environment, "amd64"))]
    ours = {
        (wish.phase, action, wish.name, wish.element)
        for wish in found
        for action in (["install", "uninstall"] if wish.action == "build-only" else [wish.action])
    }
    # a plain install keeps a package that others have for the build only; which entries that takes away, and when,
    # depends on the order of elements, which is random there
    kept = {(wish.phase, wish.name) for wish in found if wish.action == "install"}
    assert {wish for wish in ours if wish[1] == "install"} >= {wish for wish in theirs if wish[1] == "install"}
    assert {wish for wish in ours ^ theirs if (wish[0], wish[2]) not in kept} == set()
    assert theirs


@pytest.mark.parametrize("distro", ["debian", "centos", "opensuse", "gentoo"])
def test_translations_are_those_of_pkg_map(distro: str) -> None:
    tool = ELEMENTS / "pkg-map" / "bin" / "pkg-map"
    checked = 0
    for path in sorted(ELEMENTS.glob("*/pkg-map")):
        if not path.is_file():
            continue
        package_map = PackageMap.read(Element(path.parent.name, path.parent))
        assert package_map is not None
        sections = package_map.document.data
        names = sorted({name for family in sections.values() for group in family.values() for name in _names(group)})
        command = [
            sys.executable,
            tool,
            "--missing-ok",
            "--pkg-map",
            path,
            "--distro",
            distro,
            "--release",
            "8",
            *names,
        ]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        environment = {"DISTRO_NAME": distro, "DIB_RELEASE": "8"}
        assert [real for name in names for real in package_map.translate(name, environment)] == theirs, path
        checked += len(names)
    assert checked > 50


def _names(group: object) -> list[str]:
    """Names of packages in one section: it maps them, or holds further sections."""
    if not isinstance(group, dict):
        return []
    return [name for name, value in group.items() if isinstance(value, str)] + [
        name for value in group.values() for name in _names(value)
    ]


def test_a_plan_does_not_depend_on_the_hash_seed() -> None:
    printed = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-m", "dib_py", "plan", "--json", *IMAGES[0]],
            env={**ENVIRON, "ELEMENTS_PATH": str(ELEMENTS), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.add(done.stdout)
    assert len(printed) == 1


def test_settings_stay_out_of_a_plan_that_does_not_use_them(plan: Plan) -> None:
    other = replace(plan.settings, hook_timeout=5.0, verbosity=2, memory=4096)
    again = make_plan(other, Catalog.load([ELEMENTS]))
    assert [step.key for step in again.steps] == [step.key for step in plan.steps]
