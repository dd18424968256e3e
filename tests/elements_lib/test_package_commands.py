"""The commands for packages and services that hooks call in the guest."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ELEMENTS = Path(__file__).resolve().parents[2] / "elements"
PKG_MAP = {
    "default": {"web": "apache2", "tools": "one two", "gone": "default-gone", "quoted": 'a"b'},
    "family": {"debian": {"web": "apache2-family", "gone": ""}, "redhat": {"web": "httpd"}},
    "distro": {"debian": {"web": "apache2-debian"}},
    "release": {
        "debian": {"bookworm": {"web": "apache2-bookworm"}},
        "centos": {"8": {"web": "httpd-8"}, "8.5": {"web": "httpd-8.5"}},
    },
}


@pytest.fixture(params=["mawk", "gawk", "busybox"])
def awk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with the command awk as different systems have it."""
    real = shutil.which(request.param)
    if real is None:
        pytest.skip(f"needs {request.param}")
    directory = tmp_path / "awk"
    directory.mkdir()
    (directory / "awk").symlink_to(real)
    return directory


def command(
    element: str, name: str, *arguments: str, path: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    bins = [str(ELEMENTS / "pkg-map" / "bin"), "/usr/sbin", "/usr/bin", "/bin"]
    return subprocess.run(
        [str(ELEMENTS / element / "bin" / name), *arguments],
        env={"PATH": ":".join([str(path)] * (path is not None) + bins), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


# -- JSON


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('{"a": {"b": "c d"}, "e": ""}', ["a\tb\tc d", "e\t"]),
        (
            '{"a": [["p", "q"], []], "n": -1.5e3, "t": true, "z": null}',
            ["a\t0\t0\tp", "a\t0\t1\tq", "n\t-1.5e3", "t\ttrue", "z\tnull"],
        ),
        ('"\\u0041\\t\\"\\\\/"', ['A\\t"\\/']),
        ("{}", []),
        (' {\n"a"\n:\n"b"\n}\n', ["a\tb"]),
    ],
)
def test_json_becomes_lines(awk: Path, tmp_path: Path, text: str, lines: list[str]) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    assert command("pkg-map", "dib-json", str(file), path=awk).stdout.splitlines() == lines


@pytest.mark.parametrize("text", ["", "{", '{"a" 1}', '{"a": 1,}', "[1 2]", '"open', "{} {}", "nothing?"])
def test_what_is_no_json_is_refused(awk: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    result = command("pkg-map", "dib-json", str(file), path=awk)
    assert result.returncode == 1
    assert "not JSON" in result.stderr


# -- pkg-map


@pytest.fixture
def pkg_map(tmp_path: Path) -> Path:
    path = tmp_path / "map"
    path.write_text(json.dumps(PKG_MAP))
    return path


@pytest.mark.parametrize(
    ("distro", "release", "expected"),
    [
        ("debian", "bookworm", "apache2-bookworm"),
        ("debian", "trixie", "apache2-debian"),
        ("ubuntu", "noble", "apache2-family"),
        ("rocky", "9", "httpd"),
        ("centos", "8-stream", "httpd-8"),
        ("centos", "8.5", "httpd-8.5"),
        ("centos", "8.4", "httpd-8"),
        ("centos", "9.1", "httpd"),
        ("opensuse", "15.5", "apache2"),
        ("hurd", "", "apache2"),
    ],
)
def test_the_most_particular_section_wins(awk: Path, pkg_map: Path, distro: str, release: str, expected: str) -> None:
    result = command(
        "pkg-map", "pkg-map", "--pkg-map", str(pkg_map), "web", path=awk, DISTRO_NAME=distro, DIB_RELEASE=release
    )
    assert (result.returncode, result.stdout) == (0, f"{expected}\n")
    by_option = command("pkg-map", "pkg-map", f"--pkg-map={pkg_map}", "--distro", distro, f"--release={release}", "web")
    assert by_option.stdout == result.stdout


def test_an_empty_value_is_no_package_and_one_name_may_be_several(pkg_map: Path) -> None:
    result = command(
        "pkg-map",
        "pkg-map",
        "--pkg-map",
        str(pkg_map),
        "--prefix",
        "-",
        "gone",
        "tools",
        "quoted",
        DISTRO_NAME="debian",
    )
    assert result.stdout == '-one two\n-a"b\n'


def test_a_name_without_a_translation(pkg_map: Path) -> None:
    arguments = ("--pkg-map", str(pkg_map), "other", "web", "--distro", "hurd")
    missing = command("pkg-map", "pkg-map", *arguments)
    assert missing.returncode == 1
    assert "other" in missing.stderr
    assert command("pkg-map", "pkg-map", "--missing-ok", *arguments).stdout == "other\napache2\n"


def test_an_element_without_a_map() -> None:
    arguments = ("--element", "no-such-element", "web", "tools")
    assert command("pkg-map", "pkg-map", *arguments, DISTRO_NAME="debian").returncode == 2
    assert command("pkg-map", "pkg-map", "--missing-ok", *arguments, DISTRO_NAME="debian").stdout == "web\ntools\n"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["web"], {"DISTRO_NAME": "debian"}),
        (["--element", "a", "--pkg-map", "b", "web"], {"DISTRO_NAME": "debian"}),
        (["--element", "a", "web"], {}),
    ],
)
def test_bad_arguments_of_pkg_map(arguments: list[str], variables: dict[str, str]) -> None:
    assert command("pkg-map", "pkg-map", *arguments, **variables).returncode == 1


def test_a_broken_map_is_no_empty_map(tmp_path: Path) -> None:
    (tmp_path / "map").write_text('{"default": ')
    result = command(
        "pkg-map", "pkg-map", "--pkg-map", str(tmp_path / "map"), "--missing-ok", "web", DISTRO_NAME="debian"
    )
    assert result.returncode == 1


def test_maps_of_real_elements() -> None:
    def real(name: str, **variables: str) -> str:
        return command(
            "pkg-map", "pkg-map", "--pkg-map", str(ELEMENTS / "bootloader" / "pkg-map"), name, **variables
        ).stdout

    assert real("grub-pc", DISTRO_NAME="debian") == "grub-pc\n"
    assert real("grub-efi-amd64", DISTRO_NAME="centos", DIB_RELEASE="7").startswith(
        "grub2-efi-x64 grub2-efi-x64-modules"
    )
    assert real("grub-efi-amd64", DISTRO_NAME="centos", DIB_RELEASE="9") == "grub2-efi-x64 shim-x64\n"


# -- map-packages


@pytest.mark.parametrize(
    ("distro", "expected"),
    [("centos", "httpd\nfoo-devel\nbash\n"), ("debian", "apache2\nfoo-dev\nbash\n")],
)
def test_map_packages(distro: str, expected: str) -> None:
    script = ELEMENTS / "pkg-map" / "pkg-map-commands" / "map-packages"
    result = subprocess.run(
        [script, "apache2", "foo-dev", "bash"], env={"DISTRO_NAME": distro}, capture_output=True, text=True, check=True
    )
    assert result.stdout == expected


# -- svc-map

SERVICES = "web\tdefault\tapache2\nweb\tredhat\thttpd\nweb\tfedora\thttpd-fedora\nssh\tdebian\tssh-real\n"


@pytest.mark.parametrize(
    ("distro", "expected"),
    [
        ("fedora", ["httpd-fedora", "ssh", "other"]),
        ("centos", ["httpd", "ssh", "other"]),
        ("ubuntu", ["apache2", "ssh-real", "other"]),
        ("debian", ["apache2", "ssh-real", "other"]),
    ],
)
def test_services(awk: Path, tmp_path: Path, distro: str, expected: list[str]) -> None:
    # names that are no services of the machine that runs the tests
    names = ["web", "ssh", "other"]
    file = tmp_path / "services"
    text = SERVICES
    for name in names:
        text = text.replace(f"{name}\t", f"dib-test-{name}\t")
    file.write_text(text)
    result = command(
        "svc-map",
        "svc-map",
        *(f"dib-test-{name}" for name in names),
        path=awk,
        DISTRO_NAME=distro,
        SVC_MAP_SERVICES=str(file),
    )
    assert [line.replace("dib-test-", "") for line in result.stdout.splitlines()] == expected


def test_services_without_a_map(tmp_path: Path) -> None:
    assert command("svc-map", "svc-map", "a", "b", SVC_MAP_SERVICES=str(tmp_path / "none")).stdout == "a\nb\n"
