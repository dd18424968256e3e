"""Packages that no repository has are named with who asked for them, whatever the package manager."""

from __future__ import annotations

import pytest

from dib_py.packages.lists import Packages, Slot
from dib_py.packages.missing import explain_unknown, unknown_packages


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Reading package lists...\nE: Unable to locate package nginx-x\n", ["nginx-x"]),
        ("E: Package 'netcat' has no installation candidate", ["netcat"]),
        ("E: Unable to locate package libfoo1.2\nE: Couldn't find any package by glob 'libfoo1.2'", ["libfoo1.2"]),
        ("No match for argument: no-such\nError: Unable to find a match: no-such", ["no-such"]),
        ("\x1b[91mNo match for argument: \x1b[0m\x1b[1mno-such\x1b[0m", ["no-such"]),
        ("No package no-such available.\nError: Nothing to do", ["no-such"]),
        ("'no-such' not found in package names. Trying capabilities.\nNo provider of 'no-such' found.", ["no-such"]),
        (
            "ERROR: unable to select packages:\n  a-b (no such package):\n  c++ (no such package):\n    required by: x",
            ["a-b", "c++"],
        ),
        ("error: target not found: one\nerror: target not found: two", ["one", "two"]),
        ("Setting up nginx (1.22) ...\nsh: 1: nothing: not found", []),
    ],
)
def test_what_package_managers_say(text: str, names: list[str]) -> None:
    assert unknown_packages(text.splitlines()) == names


def test_who_asked() -> None:
    slot, other = Slot("install.d", "install", "elements"), Slot("pre-install.d", "install", "system")
    packages = Packages(True, {slot: {"a": ("web", "shop"), "b": ("web",)}, other: {"b": ("base",)}})

    def explained(*names: str) -> str:
        lines = [f"E: Unable to locate package {name}" for name in names]
        return explain_unknown(lines, packages, {"mine": "asked for with -p"})

    assert explained("b") == "there is no package b (base and web ask for it)"
    assert explained("a", "mine") == ("there are no packages a (shop and web ask for it), mine (asked for with -p)")
    assert explained("else") == "there is no package else"
    assert explained() == ""
