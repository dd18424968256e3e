from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dib_py.errors import FileError, TargetError
from dib_py.windows import file_list, placing
from tests.windows.applying import Subject, read, subject
from tests.windows.phony import Case, Guest


def element(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = tmp_path / "element" / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "element" / "files"


def placed(tmp_path: Path, files: dict[str, str], guest: Guest | None = None) -> Subject:
    one = subject(tmp_path, guest)
    placing.apply(placing.parse(element(tmp_path, files), {}), one.open())
    return one


def tree(one: Subject) -> set[str]:
    return {str(path.relative_to(one.planted.system)) for path in one.planted.system.rglob("*")}


@pytest.mark.parametrize("case", Case)
def test_files_land_in_the_folders_that_are_there(tmp_path: Path, case: Case) -> None:
    guest = Guest(case=case)
    before = tree(subject(tmp_path / "before", guest))
    one = placed(tmp_path, {"Windows/System32/Drivers/New.sys": "x", "Program Files/App/a.txt": "y"}, guest)
    assert tree(one) - before == {
        f"{case.of('Windows/System32/drivers')}/New.sys",
        f"{case.of('Program Files')}/App",
        f"{case.of('Program Files')}/App/a.txt",
    }


def test_windows_is_wherever_it_is(tmp_path: Path) -> None:
    one = placed(tmp_path, {"Windows/Web/a.txt": "x"}, Guest(system_root="WINNT"))
    assert (one.planted.system / "WINNT/Web/a.txt").read_text() == "x"
    assert not (one.planted.system / "Windows").exists()


def test_what_is_there_is_replaced_under_its_own_name(tmp_path: Path) -> None:
    one = placed(tmp_path, {"WINDOWS/system32/CMD.EXE": "new"}, Guest(files={"readme.txt": b"old"}))
    assert (one.planted.system / "Windows/System32/CMD.EXE").read_text() == "new"
    assert "Windows/System32/cmd.exe" not in tree(one)


def test_nobody_may_write_what_is_placed_and_secrets_nobody_may_read(tmp_path: Path) -> None:
    one = subject(tmp_path)
    script = one.planted.system / "ProgramData/App/run.cmd"
    script.parent.mkdir(parents=True)
    script.write_text("everybody may write this one")
    script.chmod(0o777)
    names = {
        "ProgramData/App/run.cmd": 0o755,
        "ProgramData/App/data.txt": 0o755,
        "ProgramData/ssh/administrators_authorized_keys": 0o700,
        "ProgramData/ssh/ssh_host_rsa_key": 0o700,
        "Windows/Panther/unattend.xml": 0o700,
        "Windows/Setup/FirstBoot/scripts/a.cmd": 0o700,
    }
    placing.apply(placing.parse(element(tmp_path, dict.fromkeys(names, "x")), {}), one.open())
    assert {name: (one.planted.system / name).stat().st_mode & 0o777 for name in names} == names


def test_empty_directories_are_made(tmp_path: Path) -> None:
    (element(tmp_path, {"a.txt": "x"}) / "Empty").mkdir()
    one = placed(tmp_path, {})
    assert (one.planted.system / "Empty").is_dir()


@pytest.mark.parametrize("name", ["a:b", "aux.txt", "dot.", "star*", 'quo"te'])
def test_names_that_windows_does_not_allow_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="Windows does not allow"):
        placing.parse(element(tmp_path, {name: "x"}), {})


def test_names_that_differ_by_case_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="by case only"):
        placing.parse(element(tmp_path, {"App/a.txt": "x", "app/A.txt": "y"}), {})


def test_links_are_followed_and_dead_ones_refused(tmp_path: Path) -> None:
    files = element(tmp_path, {"a.txt": "x"})
    (files / "b.txt").symlink_to("a.txt")
    assert [file.path for file in placing.parse(files, {})] == ["a.txt", "b.txt"]
    (files / "c.txt").symlink_to("nowhere")
    with pytest.raises(FileError, match="nor a link to one"):
        placing.parse(files, {})
    (files / "c.txt").unlink()
    (files / "loop").symlink_to(".")
    with pytest.raises(FileError, match="leads back"):
        placing.parse(files, {})


# -- files.yaml
def listed(tmp_path: Path, text: str, **variables: str) -> file_list.FileList:
    path = tmp_path / "element" / "files.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return file_list.parse(path, variables)


def test_every_kind_of_entry(tmp_path: Path) -> None:
    one = subject(tmp_path)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (tmp_path / "app.msi").write_text("msi")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("app-1.0/bin/app.exe", "exe")
        archive.writestr("app-1.0/readme.txt", "text")
    (tmp_path / "element" / "static" / "below").mkdir(parents=True)
    (tmp_path / "element" / "static" / "below" / "s.txt").write_text("static")
    for name in ("qemu-ga-x86_64.msi", "qemu-ga-i386.msi"):
        path = tmp_path / "medium" / "guest-agent" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    text = r"""
- path: C:\Program Files\App\app.conf
  content: |
    port=${DIB_PORT:-80}
    path=${DIB_PATH}
- {path: '%SystemRoot%\Setup\Files\app.msi', source: "${DIB_MSI}", access: private}
- {path: C:\App, unpack: "${DIB_ZIP}", strip: 1}
- {path: /Static, source: static}
- {path: C:\agent.msi, medium: "${DIB_MEDIUM}", member: Guest-Agent/qemu-ga-x86_64.msi, architecture: amd64}
- {path: C:\agent.msi, medium: "${DIB_MEDIUM}", member: guest-agent/qemu-ga-i386.msi, architecture: x86}
- {path: C:\Tools\tool.exe, fetched: tool.exe}
- {remove: C:\PageFile.sys}
- {path: C:\never.txt, content: x, when: DIB_PATH = b}
- {path: C:\wide.txt, content: "a\nb", encoding: utf-16, newlines: lf}
- {path: C:\empty.txt, content: }
"""
    variables = {
        "DIB_PATH": "C:\\a",
        "DIB_MSI": str(tmp_path / "app.msi"),
        "DIB_ZIP": str(tmp_path / "app.zip"),
        "DIB_MEDIUM": str(tmp_path / "medium"),
        "TMP_HOOKS_PATH": str(hooks),
    }
    wanted = listed(tmp_path, text, **variables)
    # what variables name is in the step's key by them
    assert list(file_list.reads(wanted)) == [tmp_path / "element" / "static"]
    with pytest.raises(TargetError, match=r"files.yaml:11: there is no tool.exe that a hook"):
        file_list.apply(wanted, one.open())
    (hooks / "tool.exe").write_text("tool")
    file_list.apply(wanted, one.open())
    state = one.state()
    file_list.apply(wanted, one.open())
    assert one.state() == state
    contents = {
        "Program Files/App/app.conf": b"port=80\r\npath=C:\\a\r\n",
        "Windows/Setup/Files/app.msi": b"msi",
        "App/bin/app.exe": b"exe",
        "App/readme.txt": b"text",
        "Static/below/s.txt": b"static",
        "Tools/tool.exe": b"tool",
        "agent.msi": b"qemu-ga-x86_64.msi",
        "wide.txt": "a\nb".encode("utf-16"),
        "empty.txt": b"",
    }
    assert {name: (one.planted.system / name).read_bytes() for name in contents} == contents
    assert (one.planted.system / "Windows/Setup/Files/app.msi").stat().st_mode & 0o777 == 0o700
    assert not (one.planted.system / "pagefile.sys").exists()
    assert not (one.planted.system / "never.txt").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {path: a}", ":1: one of content, source, fetched, unpack"),
        ("- {path: a, content: x, source: y}", ":1: one of .* not content and source"),
        ("- {content: x}", ":1: path is missing"),
        ("- {path: 'D:\\a', content: x}", ":1: D:.*only paths on C:"),
        ("- {path: '%TEMP%\\a', content: x}", ":1: %TEMP% is not known"),
        ("- {path: 'a/../b', content: x}", ":1: .*does not allow"),
        ("- {path: /, content: x}", ":1: a path without a name"),
        ("- {path: a, source: nowhere}", ":1: .*nowhere cannot be read"),
        ("- {path: a, source: ''}", ":1: no file is named"),
        ("- {path: a, source: /dev/null}", ":1: .*neither a file nor a directory"),
        ("- {path: a, unpack: files.yaml}", ":1: .*no zip archive"),
        ("- {path: a, content: x, strip: 1}", ":1: strip goes with unpack"),
        ("- {path: a, fetched: x, encoding: utf-8}", ":1: encoding goes with content"),
        ("- {path: a, content: x, encoding: latin-1}", ":1: 'latin-1' is none of"),
        ("- {path: a, content: x, access: world}", ":1: 'world' is neither public nor private"),
        ("- {path: a, medium: .}", ":1: member is missing"),
        ("- {path: a, medium: ., member: no.msi}", ":1: .* has no no.msi"),
        ("- {path: a, medium: files.yaml, member: no.msi}", ":1: .*no ISO image"),
        ("- {path: a, content: x, architecture: x64}", ":1: 'x64' is none of amd64"),
        ("- {remove: a, content: x}", ":1: unknown key content"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        listed(tmp_path, text)


@pytest.mark.parametrize(
    "path",
    [
        "C:\\",
        "c:",
        "/",
        "%SystemDrive%",
        "C:\\Windows",
        "C:/WINDOWS/system32/",
        "%SystemRoot%\\System32\\config",
        "%windir%",
        "C:\\Users",
        "%ProgramFiles%",
        "Program Files (x86)",
    ],
)
def test_what_windows_needs_can_not_be_removed(tmp_path: Path, path: str) -> None:
    with pytest.raises(FileError, match=r":2: .*can't be removed"):
        listed(tmp_path, f"- remove: C:\\pagefile.sys\n- remove: '{path}'\n")
    inside = f"{path.rstrip('/')}\\inside"
    assert listed(tmp_path, f"- remove: '{inside}'\n").entries[0].path.endswith("inside")


def test_what_a_variable_names_is_looked_for_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.txt").write_text("x")
    (tmp_path / "element").mkdir()
    (tmp_path / "element" / "beside.txt").write_text("y")
    monkeypatch.chdir(tmp_path)
    text = "- {path: a, source: '${DIB_FILE}'}\n- {path: b, source: beside.txt}\n"
    wanted = listed(tmp_path, text, DIB_FILE="here.txt")
    assert [entry.source for entry in wanted.entries] == [tmp_path / "here.txt", tmp_path / "element" / "beside.txt"]


def test_archives_that_lead_out_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(FileError, match=r"does not allow a file named '\.\.'"):
        listed(tmp_path, "- {path: a, unpack: ../bad.zip}")


def test_room_for_all_that_is_placed(tmp_path: Path) -> None:
    directory = element(tmp_path, {"Tools/a.bin": "x" * 1000}).parent
    with zipfile.ZipFile(directory / "c.zip", "w") as archive:
        archive.writestr("c", "y" * 5000)
    (directory / "files.yaml").write_text(
        "- {path: 'C:\\b', content: '12345'}\n"
        "- {path: 'C:\\c', unpack: c.zip}\n"
        "- {remove: 'C:\\d'}\n"
        "- {path: 'C:\\other', content: only there, architecture: arm64}\n"
    )
    guest = subject(tmp_path).open()
    assert sum(one.needs(guest) for one in read([directory], {})) == 1000 + len("12345") + 5000
