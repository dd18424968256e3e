"""Which target is chosen, for every machine that matters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dib_py.disk.block_device import parse
from dib_py.errors import TargetError, UsageError
from dib_py.events import Events
from dib_py.settings import Settings
from dib_py.target import choose as choosing
from dib_py.target import host_layouts
from dib_py.target.choose import choose, open_target, refuse_other_architecture
from dib_py.target.probe import Verdict
from tests.target.machines import ROOT_ON_LVM

PLAIN = ROOT_ON_LVM.partition("- lvm")[0].replace("1GiB", "1GiB, mkfs: {type: ext4, mount: {mount_point: /}}")
GOOD = Verdict(True, "KVM ran the test in 0.2 s")
BAD = Verdict(False, "there is no /dev/kvm")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each target lacks; tests fill it in."""
    lacking = {"guestfs": "", "host": ""}
    monkeypatch.setattr(choosing, "why_no_guestfs", lambda: lacking["guestfs"])
    monkeypatch.setattr(choosing, "why_no_host", lambda: lacking["host"])
    return lacking


@pytest.mark.parametrize(
    ("verdict", "no_guestfs", "no_host", "trusted", "expected"),
    [
        (GOOD, "", "", True, "guestfs"),
        (GOOD, "", "", False, "guestfs"),
        (GOOD, "", "it needs root", True, "guestfs"),
        (BAD, "", "", True, "host"),
        (BAD, "", "", False, "guestfs"),
        (BAD, "", "it needs root", True, "guestfs"),
        (GOOD, "no bindings", "", True, "host"),
        (GOOD, "no bindings", "", False, None),
        (GOOD, "no bindings", "it needs root", True, None),
    ],
)
def test_auto(
    machine: dict[str, str], verdict: Verdict, no_guestfs: str, no_host: str, trusted: bool, expected: str | None
) -> None:
    machine.update(guestfs=no_guestfs, host=no_host)
    if expected is None:
        with pytest.raises(TargetError) as error:
            choose(Settings(), trusted, probe=lambda settings: verdict)
        assert "no bindings" in error.value.message
        assert error.value.hint
        return
    choice = choose(Settings(), trusted, probe=lambda settings: verdict)
    assert choice.name == expected
    assert "\n" not in choice.reason
    assert (no_guestfs or (no_host if not verdict.works else "") or verdict.reason) in choice.reason


def test_the_probe_is_not_run_when_it_does_not_matter(machine: dict[str, str]) -> None:
    def probe(settings: Settings) -> Verdict:
        raise AssertionError("probed")

    assert choose(Settings(target="host"), True, probe=probe).name == "host"
    assert choose(Settings(target="guestfs"), False, probe=probe).name == "guestfs"
    machine["guestfs"] = "no bindings"
    assert choose(Settings(), True, probe=probe).name == "host"


def test_host_is_refused_for_an_untrusted_base(machine: dict[str, str]) -> None:
    with pytest.raises(TargetError, match="not verified"):
        choose(Settings(target="host"), False)


@pytest.mark.parametrize("name", ["host", "guestfs"])
def test_what_was_asked_for_and_can_not_work(machine: dict[str, str], name: str) -> None:
    machine[name] = "something is missing"
    with pytest.raises(TargetError, match=f"the {name} target can't work here: something is missing"):
        choose(Settings(target=name), True)


def test_a_target_of_a_third_party_is_left_alone(machine: dict[str, str]) -> None:
    assert choose(Settings(target="theirs"), False).name == "theirs"


def test_unknown_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown target 'nothing'"):
        open_target("nothing", None, tmp_path, Settings(), Events())  # never reached


@pytest.mark.parametrize(
    ("arch", "machine"),
    [("amd64", "x86_64"), ("", "aarch64"), ("arm64", "aarch64"), ("x86_64",) * 2, ("i386", "x86_64")],
)
def test_own_architecture(arch: str, machine: str) -> None:
    refuse_other_architecture(arch, machine)


@pytest.mark.parametrize(("arch", "machine"), [("arm64", "x86_64"), ("amd64", "aarch64"), ("ppc64le", "x86_64")])
def test_foreign_architecture(arch: str, machine: str) -> None:
    with pytest.raises(TargetError, match=f"an image for {arch} can't be built on this machine, which is {machine}"):
        refuse_other_architecture(arch, machine)


def test_a_layout_that_only_guestfs_can_make(machine: dict[str, str]) -> None:
    volumes = parse(ROOT_ON_LVM, source="lvm.yaml")
    choice = choose(Settings(), True, volumes, probe=lambda settings: BAD)
    assert choice.name == "guestfs"
    assert "it can't make logical volumes" in choice.reason
    with pytest.raises(TargetError, match="can't make this layout: it can't make logical volumes") as caught:
        choose(Settings(target="host"), True, volumes)
    assert caught.value.where == "lvm.yaml"
    assert "--target guestfs" in caught.value.hint
    machine["guestfs"] = "no bindings"
    with pytest.raises(TargetError, match=r"no target can work here.*logical volumes"):
        choose(Settings(), True, volumes)


def test_a_layout_that_this_machine_can_make(machine: dict[str, str]) -> None:
    layout = parse(PLAIN, source="x")
    assert choose(Settings(target="host"), True, layout).name == "host"


def test_what_this_machine_lacks_for_a_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = parse(PLAIN, source="x")
    monkeypatch.setattr(host_layouts, "_kernel_has", lambda fstype: False)
    assert host_layouts.why_not(layout) == "this machine's kernel has no ext4, which this layout needs"
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    assert host_layouts.why_not(layout) == "mkfs.ext4 is not installed"
