"""Package lists go from and to the cache of the machine that builds; offline a missing one is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

LISTS = "/tmp/in_target.d/apt-cache/lists"
UPDATE = "apt-get --yes --option APT::Update::Error-Mode=any update"
MAIN = "mirror.example_debian_dists_bookworm_main_binary-amd64_Packages"
RELEASE = "mirror.example_debian_dists_bookworm_InRelease"
FLAT = "127.0.0.1:80_flat_._Packages"

# What apt prints of these sources; the last line is a list that their Release file may not have.
TARGETS = f"""
case "$*" in
    *indextargets*)
        echo "/var/lib/apt/lists/{MAIN} main/binary-amd64/Packages http://mirror.example/debian/main/Packages"
        echo "/var/lib/apt/lists/{FLAT} Packages http://127.0.0.1/flat/./Packages"
        echo "/var/lib/apt/lists/{MAIN.replace("amd64", "all")} main/binary-all/Packages http://mirror.example/all"
        ;;
    *update*) cp --preserve=timestamps /opt/mirror/* /var/lib/apt/lists/ ;;
esac
"""


@pytest.fixture
def dpkg(guest: Guest) -> Guest:
    guest.merge("dpkg", "pkg-map", "manifests")
    guest.fake("apt-get", TARGETS)
    for name, text in ((MAIN, "new main"), (RELEASE, "new release"), (FLAT, "new flat")):
        guest.write(f"/opt/mirror/{name}", text)
        os.utime(guest.path(f"/opt/mirror/{name}"), (2e9, 2e9))
    (guest.root / "var/cache/apt").mkdir(parents=True)
    (guest.root / "opt/cache").mkdir()
    return guest


def cached(dpkg: Guest, command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with /opt/cache in place of apt's directory."""
    inside = f"mount --bind /opt/cache /var/cache/apt && {command}"
    return dpkg.run("/bin/bash", "-c", inside, check=check, **variables)


def files(dpkg: Guest, directory: str) -> dict[str, str]:
    path = dpkg.root / directory
    return {file.name: file.read_text() for file in path.iterdir() if file.is_file()} if path.is_dir() else {}


def test_what_was_fetched_is_kept_with_its_times(dpkg: Guest) -> None:
    cached(dpkg, f"{LISTS} update")
    assert dpkg.calls == [UPDATE]
    expected = {MAIN: "new main", RELEASE: "new release", FLAT: "new flat"}
    assert files(dpkg, "opt/cache/lists") == expected == files(dpkg, "var/lib/apt/lists")
    assert {path.stat().st_mtime for path in (dpkg.root / "opt/cache/lists").iterdir()} == {2e9}
    inode = (dpkg.root / "opt/cache/lists" / MAIN).stat().st_ino
    cached(dpkg, f"{LISTS} update")
    assert (dpkg.root / "opt/cache/lists" / MAIN).stat().st_ino == inode, "what is unchanged is not written again"


def test_what_is_kept_is_there_before_apt_asks_for_news(dpkg: Guest) -> None:
    for name in (MAIN, RELEASE, "other.example_dists_sid_main_binary-amd64_Packages"):
        dpkg.write(f"/opt/cache/lists/{name}", "old")
    (dpkg.root / "opt/cache/lists/.new").mkdir()
    dpkg.write(f"/var/lib/apt/lists/{RELEASE}", "the image's own")
    cached(dpkg, f"{LISTS} take")
    assert files(dpkg, "var/lib/apt/lists") == {MAIN: "old", RELEASE: "the image's own"}


def test_without_a_cache_nothing_is_kept_and_nothing_is_asked(dpkg: Guest) -> None:
    dpkg.run(LISTS, "take", "update", "keep")
    assert dpkg.calls == [UPDATE]
    assert not (dpkg.root / "var/cache/apt/lists").exists()
    assert files(dpkg, "var/lib/apt/lists")[MAIN] == "new main"


def test_a_failed_fetch_keeps_nothing(dpkg: Guest) -> None:
    dpkg.fake("apt-get", "exit 100")
    assert cached(dpkg, f"{LISTS} update", check=False).returncode == 100
    assert files(dpkg, "opt/cache/lists") == {}


def test_offline_the_cache_has_to_do(dpkg: Guest) -> None:
    dpkg.write(f"/opt/cache/lists/{MAIN}.lz4", "compressed")
    result = cached(dpkg, f"{LISTS} update", check=False, DIB_OFFLINE="1")
    assert result.returncode == 1
    said = "offline, and these package lists are not in the cache:\n    http://127.0.0.1/flat/./Packages\n"
    assert said in result.stderr
    assert "--offline" in result.stderr
    dpkg.write(f"/opt/cache/lists/{FLAT}", "flat")
    cached(dpkg, f"{LISTS} update", DIB_OFFLINE="1")
    assert not any("update" in call for call in dpkg.calls)
    assert set(files(dpkg, "var/lib/apt/lists")) == {f"{MAIN}.lz4", FLAT}


def test_a_bootstrap_asks_the_apt_that_works_on_the_tree(dpkg: Guest) -> None:
    dpkg.write("/opt/apt.conf", "")
    dpkg.fake("apt-get", TARGETS.replace("/var/lib", "/srv/tree/var/lib") + 'echo "$APT_CONFIG" >> /opt/config')
    dpkg.write(f"/opt/cache/lists/{MAIN}", "main")
    dpkg.write("/srv/tree/var/cache/apt/none", "")
    text = f"mount --bind /opt/cache /srv/tree/var/cache/apt && {LISTS} take /srv/tree"
    dpkg.run("/bin/bash", "-c", text, MMDEBSTRAP_APT_CONFIG="/opt/apt.conf")
    assert files(dpkg, "srv/tree/var/lib/apt/lists") == {MAIN: "main"}
    assert dpkg.read("/opt/config") == "/opt/apt.conf\n"


def test_an_unknown_action_is_refused(dpkg: Guest) -> None:
    assert "unknown action fetch" in dpkg.run(LISTS, "fetch", check=False).stderr


def test_offline_missing_packages_are_named_before_anything_is_tried(dpkg: Guest) -> None:
    dpkg.fake("apt-get", """case "$*" in *--print-uris*) echo "'http://mirror.example/a_1.deb' a_1.deb 3 x" ;; esac""")
    result = dpkg.run("install-packages", "a", check=False, DIB_OFFLINE="1")
    assert result.returncode == 1
    assert "offline, and these are not in the cache:\n    http://mirror.example/a_1.deb\n" in result.stderr
    assert len(dpkg.calls) == 1
    dpkg.fake("apt-get")
    dpkg.run("install-packages", "a", DIB_OFFLINE="1")
    assert dpkg.calls[-1].endswith("install a")


def test_the_real_apt_names_its_lists_as_the_script_expects(tmp_path: Path) -> None:
    """The script relies on what ``apt-get indextargets`` says of sources whose lists were never fetched."""
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/lib/dpkg", "cache"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    (tmp_path / "etc/apt/sources.list").write_text(
        "deb [trusted=yes] http://mirror.example/debian bookworm main\ndeb [trusted=yes] http://127.0.0.1/flat ./\n"
    )
    (tmp_path / "conf").write_text(f'Dir "{tmp_path}";\nDir::State::status "{tmp_path}/var/lib/dpkg/status";\n')
    script = Path(__file__).resolve().parents[2] / "elements/dpkg/apt-cache/lists"
    done = subprocess.run(
        [script, "check", tmp_path],
        env={"PATH": os.environ["PATH"], "APT_CONFIG": str(tmp_path / "conf")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    missing = done.stderr.splitlines()[1:-1]
    assert "    http://127.0.0.1/flat/./Packages" in missing
    assert any(line.startswith("    http://mirror.example/debian/dists/bookworm/main/binary-") for line in missing)
