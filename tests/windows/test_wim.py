"""Which edition of a WIM is meant, and what is said where none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import BaseError
from dib_py.windows.wim import Edition, Wim
from tests.windows.phony import Guest
from tests.windows.phony_media import capture

EDITIONS = (
    Edition(1, "Windows Server 2022 Standard", "Windows Server 2022 SERVERSTANDARDCORE", "ServerStandard"),
    Edition(
        2, "Windows Server 2022 Standard (Desktop Experience)", "Windows Server 2022 SERVERSTANDARD", "ServerStandard"
    ),
    Edition(3, "Windows Server 2022 Datacenter", "Windows Server 2022 SERVERDATACENTERCORE", "ServerDatacenter"),
)
SERVER = Wim(Path("install.wim"), EDITIONS)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("2", 2),
        ("windows server 2022 standard", 1),
        ("Windows Server 2022 Standard (Desktop Experience)", 2),
        ("Windows Server 2022 SERVERDATACENTERCORE", 3),
        ("serverdatacenter", 3),
    ],
)
def test_an_edition_has_a_number_two_names_and_an_id(wanted: str, index: int) -> None:
    assert SERVER.choose(wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("", "several editions"),
        ("ServerStandard", "more than one"),
        ("Windows Server 2022 Standart", "no edition"),
        ("9", "no"),
    ],
)
def test_what_names_no_edition_or_two_is_answered_with_what_there_is(wanted: str, told: str) -> None:
    with pytest.raises(BaseError, match=told) as caught:
        SERVER.choose(wanted)
    listed = "3: Windows Server 2022 Datacenter, 'Windows Server 2022 SERVERDATACENTERCORE' (ServerDatacenter)"
    assert listed in caught.value.hint


def test_editions_of_one_name_are_told_apart_and_asked_for_by_number() -> None:
    twins = tuple(Edition(number, "Windows 11 Pro", label, "Pro") for number, label in ((1, "retail"), (2, "volume")))
    with pytest.raises(BaseError, match="more than one edition 'Windows 11 Pro'") as caught:
        Wim(Path("install.wim"), twins).choose("Windows 11 Pro")
    assert caught.value.hint == (
        "use the number, 1 or 2: it has 1: Windows 11 Pro, 'retail' (Pro); 2: Windows 11 Pro, 'volume' (Pro)"
    )


def test_a_near_name_is_offered() -> None:
    with pytest.raises(BaseError) as caught:
        SERVER.choose("Windows Server 2022 Standart")
    assert caught.value.hint.startswith("did you mean 'Windows Server 2022 Standard'?")


def test_the_only_edition_needs_no_name() -> None:
    assert Wim(Path("install.wim"), EDITIONS[2:]).choose("").index == 3


def test_editions_are_read_from_the_file(tmp_path: Path) -> None:
    wim = Wim.read(capture(tmp_path, {"Größe M": Guest("2022"), "second": Guest("11")}))
    assert [(one.index, one.label) for one in wim.editions] == [(1, "Größe M"), (2, "second")]
    assert wim.editions[0].name == "Windows Server 2022 Standard"
    assert wim.editions[0].size > 10_000


def test_what_is_asked_for_is_extracted_where_it_is_there(tmp_path: Path) -> None:
    wim = Wim.read(capture(tmp_path, {"one": Guest("2022")}))
    out = tmp_path / "out"
    taken = wim.extract(wim.editions[0], [r"\Windows\Boot\EFI", r"\Windows\Nothing"], out)
    assert [path.name for path in taken] == ["EFI"]
    assert (out / "EFI/bootmgfw.efi").read_bytes().startswith(b"MZ")


@pytest.mark.parametrize("content", [b"", b"MSWIM\0\0\0", b"MSWIM\0\0\0" + bytes(4000)])
def test_a_file_that_is_no_wim_or_half_of_one_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "install.wim"
    file.write_bytes(content)
    with pytest.raises(BaseError, match=r"install\.wim: is no WIM that can be read"):
        Wim.read(file)
