"""What of this machine counts for a step."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dib_py.digest import Memory
from dib_py.host_files import LARGEST_READ, MOST_ENTRIES, HostFiles


def host(home: Path, path: str = "") -> HostFiles:
    return HostFiles({"HOME": str(home), "PATH": path}, Memory(home / "memory"))


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def named(home: Path, *texts: str) -> set[str]:
    return set(host(home).of_texts(text.encode() for text in texts))


@pytest.mark.parametrize(
    "text",
    [
        "cat ~/.ssh/id_rsa.pub",
        'cat "$HOME/.ssh/id_rsa.pub"',
        "cat ${HOME}/.ssh/id_rsa.pub > x",
        'cat "$HOME/.ssh/id_$kind.pub"',
        "cat ~/.ssh/id_${kind}.pub",
        "for key in ~/.ssh/*.pub; do",
        "if [ -e ~/.ssh/id_rsa.pub ]; then",
        "ls ~/.ssh",
    ],
)
def test_files_below_the_home_directory(text: str, tmp_path: Path) -> None:
    write(tmp_path / ".ssh" / "id_rsa.pub")
    assert named(tmp_path, text) == {"~/.ssh/id_rsa.pub"}


@pytest.mark.parametrize(
    "text",
    [
        "# cat ~/.ssh/id_rsa.pub",
        "cat $TARGET_ROOT$HOME/.ssh/id_rsa.pub",
        'cat "$TARGET_ROOT"~/.ssh/id_rsa.pub',
        "cat ~/$what",
        "cat ~/*/id_rsa.pub",
        "cat ~/.cache/x",
        "cat ~/.ssh/id_dsa.pub",
        "\0 ~/.ssh/id_rsa.pub",
    ],
)
def test_what_is_no_file_below_the_home_directory(text: str, tmp_path: Path) -> None:
    write(tmp_path / ".ssh" / "id_rsa.pub")
    write(tmp_path / ".cache" / "x")
    assert named(tmp_path, text) == set()


def test_files_of_the_machines_configuration(tmp_path: Path) -> None:
    there = next(path for path in sorted(Path("/etc").glob("*/*")) if path.is_file() and path.stat().st_size)
    assert named(tmp_path, f"cat {there}", f'x="{there}"', f"${{2:-{there}}}") == {str(there)}
    assert str(there) in named(tmp_path, f"directory=${{2:-{there.parent}}}")
    for text in (f'cat "$TARGET_ROOT"{there}', f"cat $TARGET_ROOT{there}", f"cat ${{TMP_MOUNT_PATH}}{there}"):
        assert named(tmp_path, text) == set()


def test_who_this_machine_is_does_not_count(tmp_path: Path) -> None:
    assert named(tmp_path, "cp /etc/resolv.conf /etc/hosts /etc/passwd $TARGET_ROOT/etc") == set()


def test_a_large_directory_is_not_meant_as_a_whole(tmp_path: Path) -> None:
    for number in range(MOST_ENTRIES + 1):
        write(tmp_path / "many" / str(number))
    assert named(tmp_path, "ls ~/many") == set()
    assert named(tmp_path, "cat ~/many/17") == {"~/many/17"}


def test_contents_count(tmp_path: Path) -> None:
    file = write(tmp_path / "dir" / "file", "1")
    text = [b"cat ~/dir/file"]
    before = host(tmp_path).of_texts(text)
    assert host(tmp_path).of_texts(text) == before
    file.write_text("2")
    assert host(tmp_path).of_texts(text) != before


def test_programs_that_bootstrap(tmp_path: Path) -> None:
    program = write(tmp_path / "bin" / "debootstrap", "#!/bin/sh\n")
    program.chmod(0o755)
    there = host(tmp_path, str(tmp_path / "bin"))
    assert set(there.bootstrappers([b"sudo debootstrap --arch"])) == {"debootstrap"}
    assert there.bootstrappers([b"pacstrap x\n# debootstrap"]) == {}


def test_what_a_value_names(tmp_path: Path) -> None:
    file = write(tmp_path / "file", "1")
    seen = [
        host(tmp_path).of_value(value) for value in (str(file), f"file://{file}", str(tmp_path), "x" * 5000, "", "a\0")
    ]
    assert seen[0] == seen[1] is not None
    assert seen[2:] == [None] * 4
    file.write_text("2")
    assert host(tmp_path).of_value(str(file)) != seen[0]


def test_a_relative_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "file", "1")
    monkeypatch.chdir(tmp_path)
    assert host(tmp_path).of_value("file") == host(tmp_path).of_value("./file") == host(tmp_path).of_value(str(file))


def test_a_large_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(LARGEST_READ + 1)
    before, times = host(tmp_path).of_file(file), file.stat()
    with file.open("r+b") as opened:
        opened.write(b"x")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert host(tmp_path).of_file(file) != before


def test_a_git_repository_counts_by_what_it_offers(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        config = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", "-C", tmp_path / "repository", *config, *words], check=True, capture_output=True)

    write(tmp_path / "repository" / "file")
    git("init", "-q")
    seen = set()
    for name in ("one", "two"):
        git("commit", "--allow-empty", "-qm", name)
        seen.add(host(tmp_path).of_value(str(tmp_path / "repository")))
        seen.add(host(tmp_path).of_value(f"file://{tmp_path / 'repository' / '.git'}"))
    assert len(seen) == 2 and None not in seen
