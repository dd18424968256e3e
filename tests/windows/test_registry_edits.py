from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dib_py import process
from dib_py.errors import FileError, TargetError
from dib_py.windows import reg_file, reg_yaml
from dib_py.windows.hive import Value
from dib_py.windows.registry_edits import Absent, KeyEdit
from tests.windows.applying import subject
from tests.windows.phony import Guest

YAML = r"""
- key: HKLM\SOFTWARE\Every Type
  values:
    "@": {sz: the default}
    expand: {expand_sz: "%A%\\${DIB_NAME}"}
    multi: {multi_sz: [a, "${DIB_NAME}"]}
    dword: {dword: 0x1f}
    qword: {qword: 18446744073709551615}
    binary: {binary: "01 02,fe FF"}
    none: {none: }
    chosen: {dword: "${DIB_LEVEL}", names: {low: 1, high: 3}}
    allowed: {sz: "${DIB_LEVEL}", allowed: [low, high]}
    odd: {type: 0xffff0012, binary: 6100 0000}
    gone: "-"
    maybe: {dword: 1, when: DIB_NAME = other}
- key: -HKLM\SYSTEM\CurrentControlSet\Services\Old
- key: HKLM\SOFTWARE\Maybe
  when: DIB_NAME = other
- key: HKLM\SOFTWARE\Empty
"""


def from_yaml(tmp_path: Path, text: str, **variables: str) -> tuple[KeyEdit, ...]:
    path = tmp_path / "10-x.yaml"
    path.write_text(text)
    return reg_yaml.parse(path, variables).edits


def test_the_yaml_form_has_every_type(tmp_path: Path) -> None:
    wanted = (
        Value.string("", "the default"),
        Value.string("expand", "%A%\\B", expand=True),
        Value.strings("multi", ["a", "B"]),
        Value.dword("dword", 31),
        Value.qword("qword", 2**64 - 1),
        Value.binary("binary", b"\1\2\xfe\xff"),
        Value("none", 0, b""),
        Value.dword("chosen", 3),
        Value.string("allowed", "high"),
        Value("odd", 0xFFFF0012, b"a\0\0\0"),
        Absent("gone"),
    )
    assert from_yaml(tmp_path, YAML, DIB_NAME="B", DIB_LEVEL="high") == (
        KeyEdit(r"HKLM\SOFTWARE\Every Type", wanted),
        KeyEdit(r"HKLM\SYSTEM\CurrentControlSet\Services\Old", deleted=True),
        KeyEdit(r"HKLM\SOFTWARE\Empty"),
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("key: HKLM\\SOFTWARE", 1, "must be a list"),
        ("- ky: HKLM\\SOFTWARE", 1, "unknown key ky"),
        ("- values: {}", 1, "key is missing"),
        ("- key: HKLM\\SOFTWRE", 1, "no hive"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: 1", 3, "has no type"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {}", 3, "has no type"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {sz: a, dword: 1}", 3, "more than one type"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {dwrod: 1}", 3, "unknown key dwrod"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {dword: 4294967296}", 3, "too large"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {dword: -1}", 3, "must be a number"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {binary: 0x1}", 3, "no hexadecimal bytes"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {multi_sz: x}", 3, "must be a list"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {multi_sz: ['']}", 3, "empty string"),
        ('- key: HKLM\\SOFTWARE\n  values:\n    a: {sz: "a\\0b"}', 3, "ends at a NUL"),
        ("- key: -HKLM\\SOFTWARE\\A\n  values:\n    a: {sz: x}", 2, "deleted has no values"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {dword: x, names: {low: 1}}", 3, "a: 'x' is none of low"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {sz: x, allowed: [y, z]}", 3, "a: 'x' is none of y, z"),
        ("- key: HKLM\\SOFTWARE\n  values:\n    a: {dword: '${DIB_A}'}", 3, "DIB_A is not set"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        from_yaml(tmp_path, text)
    assert caught.value.line == line


def test_both_forms_do_the_same_to_a_guest(tmp_path: Path) -> None:
    first, second = subject(tmp_path / "1"), subject(tmp_path / "2")
    (tmp_path / "10-x.yaml").write_text(YAML)
    edits = reg_yaml.parse(tmp_path / "10-x.yaml", {"DIB_NAME": "B", "DIB_LEVEL": "high"})
    (tmp_path / "10-x.reg").write_bytes(reg_file.write(edits))
    for one, wanted in ((first, edits), (second, reg_file.parse(tmp_path / "10-x.reg", {}))):
        guest = one.open()
        reg_yaml.apply(wanted, guest)
        guest.commit()
    assert first.state() == second.state()


def test_values_and_keys_are_set_and_deleted_in_every_control_set(tmp_path: Path) -> None:
    key = r"HKLM\SYSTEM\CurrentControlSet\Control\Made\Here"
    one = subject(tmp_path, Guest(control_set=2, default_control_set=3))
    (tmp_path / "a.yaml").write_text(f"- key: {key}\n  values: {{A: {{dword: 7}}, B: {{sz: b}}}}\n")
    (tmp_path / "b.yaml").write_text(f"- key: {key}\n  values: {{a: '-', C: {{sz: c}}}}\n")
    for name in ("a.yaml", "b.yaml"):
        guest = one.open()
        reg_yaml.apply(reg_yaml.parse(tmp_path / name, {}), guest)
        guest.commit()
    system = one.planted.hive("SYSTEM")
    for number in ("002", "003"):
        assert sorted(system.values(rf"ControlSet{number}\Control\Made\Here")) == ["B", "C"]
    assert not system.exists(r"ControlSet001\Control\Made")
    assert not system.exists("CurrentControlSet")


def test_the_last_word_on_a_value_counts(tmp_path: Path) -> None:
    one = subject(tmp_path)
    (tmp_path / "a.reg").write_text(
        f'{reg_file.HEADER}\n[HKLM\\SOFTWARE\\A]\n"x"="1"\n"X"=-\n"y"=-\n"y"="2"\n[-HKLM\\SOFTWARE\\B]\n'
    )
    guest = one.open()
    reg_file.apply(reg_file.parse(tmp_path / "a.reg", {}), guest)
    assert {name: value.text for name, value in guest.registry.values(r"HKLM\SOFTWARE\A").items()} == {"y": "2"}


def test_a_guest_without_the_hive_is_told_with_the_line(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest("7"))
    path = tmp_path / "a.yaml"
    path.write_text("- key: HKLM\\SOFTWARE\\A\n- key: HKLM\\DRIVERS\\DriverDatabase\n")
    with pytest.raises(TargetError, match=r"a\.yaml:2: the image has no /Windows/System32/config/DRIVERS"):
        reg_yaml.apply(reg_yaml.parse(path, {}), one.open())


def test_another_program_merges_the_same(tmp_path: Path) -> None:
    one = subject(tmp_path)
    (tmp_path / "10-x.yaml").write_text(YAML)
    wanted = reg_yaml.parse(tmp_path / "10-x.yaml", {"DIB_NAME": "B", "DIB_LEVEL": "high"})
    # it knows one prefix, and does not delete a value that is missing
    edits = tuple(
        KeyEdit(edit.key, tuple(value for value in edit.values if isinstance(value, Value)))
        for edit in wanted.edits
        if edit.key.startswith(r"HKLM\SOFTWARE")
    )
    text = reg_file.write(reg_file.RegistryEdits(wanted.path, edits)).decode("utf-16")
    (tmp_path / "ours.reg").write_text(text.replace("\r\n", "\n"))
    merged = tmp_path / "SOFTWARE"
    shutil.copyfile(one.planted.hive_file("SOFTWARE"), merged)
    process.run(["hivexregedit", "--merge", "--prefix", r"HKLM\SOFTWARE", merged, tmp_path / "ours.reg"])

    guest = one.open()
    reg_yaml.apply(wanted, guest)
    guest.commit()
    assert one.export("SOFTWARE") == process.run(["hivexregedit", "--export", "--prefix", "SOFTWARE", merged, "\\"])


def test_another_program_exports_what_was_asked_for(tmp_path: Path) -> None:
    """reged (chntpw) reads hives with code of its own, and writes regedit's text, which we read."""
    one = subject(tmp_path)
    # it writes a value of type 0 without its line's end, and cuts the number of a type to a byte
    text = YAML.replace("    none: {none: }\n", "").replace("    odd: {type: 0xffff0012, binary: 6100 0000}\n", "")
    (tmp_path / "10-x.yaml").write_text(text)
    wanted = reg_yaml.parse(tmp_path / "10-x.yaml", {"DIB_NAME": "B", "DIB_LEVEL": "high"})
    guest = one.open()
    reg_yaml.apply(wanted, guest)
    guest.commit()
    exported = tmp_path / "exported.reg"
    prefix = r"HKEY_LOCAL_MACHINE\SOFTWARE"
    process.run(["reged", "-x", one.planted.hive_file("SOFTWARE"), prefix, r"\Every Type", exported])
    [edit] = reg_file.parse(exported, {}).edits
    assert edit.key == wanted.edits[0].key
    asked = [value for value in wanted.edits[0].values if isinstance(value, Value)]
    assert len(asked) == 8
    assert {value.name: value for value in edit.values} == {value.name: value for value in asked}
