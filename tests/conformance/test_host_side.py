"""What elements of diskimage-builder do on the host side: its own hooks, unmodified, in builds of a small Debian."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diskimage_builder
import pytest

from tests.building import ELEMENTS, add_hook, build, left_behind, start
from tests.package_repository import serving

DIB = Path(diskimage_builder.__file__).parent / "elements"
pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


# runs its arguments where this machine's sudo is no program any more
NO_SUDO = 'if sudo=$(command -v sudo); then mount --bind /dev/null "$sudo"; fi; exec "$@"'


def built(directory: Path, tree: Path, *arguments: str, within: tuple[str, ...] = (), **environ: str) -> str:
    """Build with diskimage-builder's elements behind those of the test; returns what was printed."""
    (directory / "elements").mkdir(exist_ok=True)
    path = f"{directory / 'elements'}:{ELEMENTS}:{DIB}"
    process = start(
        directory, tree, "-u", "-t", "raw", "tiny", *arguments, within=within, ELEMENTS_PATH=path, **environ
    )
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-4000:]
    return output


@contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    """The tree of the image."""
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,ro", directory / "out.raw", tree], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["umount", tree], check=True)


def element(directory: Path, name: str, **files: str) -> Path:
    place = directory / "elements" / name
    place.mkdir(parents=True)
    (place / "README.rst").write_text(f"{'=' * len(name)}\n{name}\n{'=' * len(name)}\n\nFor a test.\n")
    for file, text in files.items():
        (place / file.replace("_", "-")).write_text(text)
    return place


@pytest.mark.parametrize("sudo", [True, False], ids=["sudo", "no-sudo"])
def test_what_host_side_hooks_rely_on(sudo: bool, tmp_path: Path, debian_tree: Path) -> None:
    within = () if sudo else ("unshare", "--mount", "sh", "-c", NO_SUDO, "sh")
    place = element(tmp_path, "mine", element_deps="tools\n")
    (place / "payload").write_text("from the element\n")
    element(tmp_path, "tools")
    add_hook(tmp_path, "tools", "install.d/40-replaced", "echo original >> /hooks")
    add_hook(tmp_path, "tools", "install.d/45-removed", "echo removed >> /hooks")
    add_hook(
        tmp_path,
        "mine",
        "root.d/50-cache",
        """type -P sudo > "$IMAGE_NAME.sudo"
        mkdir -p "$DIB_IMAGE_CACHE/mine"
        sudo mkdir -p "$TARGET_ROOT/var/cache/mine"
        sudo mount --bind "$DIB_IMAGE_CACHE/mine" "$TARGET_ROOT/var/cache/mine"
        sudo mount -t proc none "$TARGET_ROOT/proc"
        trap 'sudo umount "$TARGET_ROOT/proc"' EXIT
        sudo -E chroot "$TARGET_ROOT" sh -c 'test -e /proc/self/status && echo $DIB_RELEASE > /chrooted'""",
    )
    add_hook(
        tmp_path,
        "mine",
        "extra-data.d/50-hooks",
        """eval declare -A all=($(get_image_element_array))
        cp "${all[mine]}/payload" "$TMP_HOOKS_PATH/payload"
        for name in "${!all[@]}"; do echo "$name"; done | sort | sudo tee "$TMP_MOUNT_PATH/elements" > /dev/null
        rm "$TMP_HOOKS_PATH/install.d/45-removed"
        printf '#!/bin/bash\\necho replaced >> /hooks\\n' > "$TMP_HOOKS_PATH/install.d/40-replaced"
        ln -s 40-replaced "$TMP_HOOKS_PATH/install.d/50-linked\"""",
    )
    add_hook(
        tmp_path,
        "mine",
        "install.d/60-see",
        """cp /tmp/in_target.d/payload /payload
        cat /var/cache/mine/* >> /cached || true
        echo once > /var/cache/mine/kept""",
    )
    add_hook(
        tmp_path,
        "mine",
        "cleanup.d/50-export",
        """source "$_LIB/common-functions"; source "$_LIB/img-functions"
        [ "$(run_in_target cat /payload)" = "from the element" ] || die "the guest lost its file"
        sudo cp "$TARGET_ROOT/etc/debian_version" "$IMAGE_NAME.version"
        mkdir -p "$IMAGE_NAME.d"; sudo cp "$TARGET_ROOT/payload" "$(readlink -f "$IMAGE_NAME.d")/payload\"""",
    )
    built(tmp_path, debian_tree, "mine", within=within, DIB_RELEASE="bookworm")
    with mounted(tmp_path) as tree:
        assert (tree / "chrooted").read_text() == "bookworm\n"
        assert (tree / "elements").read_text().split() == ["mine", "tiny", "tools"]
        assert (tree / "hooks").read_text() == "replaced\nreplaced\n"
        assert (tree / "payload").read_text() == "from the element\n"
        assert (tree / "cached").read_text() == ""
        assert list((tree / "var/cache/mine").iterdir()) == []
    assert (tmp_path / "cache/mine/kept").read_text() == "once\n"
    assert (Path((tmp_path / "out.sudo").read_text().strip()).parent.name == "shims") is not sudo
    assert (tmp_path / "out.version").read_text().startswith("12")
    assert (tmp_path / "out.d/payload").read_text() == "from the element\n"
    # what is mounted in root.d is there for a build that goes on behind it
    add_hook(tmp_path, "mine", "install.d/60-see", "cp /tmp/in_target.d/payload /; cp /var/cache/mine/kept /cached")
    assert "50-cache completed" not in built(tmp_path, debian_tree, "mine", within=within, DIB_RELEASE="bookworm")
    with mounted(tmp_path) as tree:
        assert (tree / "cached").read_text() == "once\n"
    assert left_behind(tmp_path) == []


def test_die_ends_a_build_with_the_code_of_what_failed(tmp_path: Path, debian_tree: Path) -> None:
    element(tmp_path, "mine")
    add_hook(tmp_path, "mine", "extra-data.d/50-die", "(exit 6) || die it went wrong")
    code, output = build(tmp_path, debian_tree, "tiny", "mine")
    assert code == 6
    assert "it went wrong" in output


def test_elements_that_write_into_the_tree(tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "sources").write_text("deb http://mirror.example/debian bookworm main\n")
    (tmp_path / "apt.conf").write_text('APT::Get::Show-Upgraded "true";\n')
    place = element(tmp_path, "mine")
    (place / "modprobe.d").mkdir()
    (place / "modprobe.d/mine.conf").write_text("blacklist mine\n")
    elements = ["apt-conf", "apt-sources", "element-manifest", "modprobe", "pip-cache", "pkg-map", "sysctl", "mine"]
    elements += ["install-bin", "select-boot-kernel-initrd"]
    add_hook(
        tmp_path,
        "mine",
        "install.d/50-mine",
        "touch /tmp/pip/wheel\ntest -r /lib/diskimage-builder/img-functions\nsysctl-set-value net.a.b 1 || true",
    )
    built(
        tmp_path,
        debian_tree,
        *elements,
        DIB_APT_CONF=str(tmp_path / "apt.conf"),
        DIB_APT_SOURCES="sources",  # seen from the directory of the build
        DIB_MODPROBE_BLACKLIST="pcspkr floppy",
    )
    with mounted(tmp_path) as tree:
        assert "mirror.example" in (tree / "etc/apt/sources.list").read_text()
        assert "Show-Upgraded" in (tree / "etc/apt/apt.conf").read_text()
        assert (tree / "etc/modprobe.d/mine.conf").read_text() == "blacklist mine\n"
        assert (tree / "etc/modprobe.d/blacklist.conf").read_text() == "blacklist pcspkr\nblacklist floppy\n"
        manifest = (tree / "etc/dib-manifests/dib-element-manifest").read_text().split()
        assert set(manifest) == {*elements, "tiny", "manifests"}
        assert (tree / "usr/local/bin/pkg-map").exists()
        assert not (tree / "lib/diskimage-builder").exists()
        assert list((tree / "tmp").iterdir()) == []
    assert (tmp_path / "cache/pip/wheel").exists()
    assert (tmp_path / "out.d/dib-manifests/dib-element-manifest").exists()


@pytest.mark.parametrize(
    ("variables", "ran"),
    [
        ({}, "source other-source"),
        ({"DIB_DEFAULT_INSTALLTYPE": "package"}, "package other-package"),
        ({"DIB_INSTALLTYPE_my_app": "repo"}, "repo other-source"),
        ({"DIB_INSTALLTYPE_my_app": "package", "DIB_INSTALLTYPE_other": "package"}, "package other-package"),
    ],
    ids=["default", "package", "repo", "each"],
)
def test_install_types(variables: dict[str, str], ran: str, tmp_path: Path, debian_tree: Path) -> None:
    element(tmp_path, "my-app", element_deps="install-types\n")
    element(tmp_path, "other", element_deps="install-types\n")
    for kind in ("source", "package", "repo"):
        add_hook(tmp_path, "my-app", f"install.d/my-app-{kind}-install/60-app", f"echo {kind} >> /ran")
    for kind in ("source", "package"):
        add_hook(tmp_path, "other", f"install.d/other-{kind}-install/61-other", f"echo other-{kind} >> /ran")
    built(tmp_path, debian_tree, "my-app", "other", **variables)
    with mounted(tmp_path) as tree:
        assert (tree / "ran").read_text().split() == ran.split()


def test_source_repositories(tmp_path: Path, debian_tree: Path) -> None:
    """Its hook; what it depends on needs Python and packages in the guest, and is in the builds of whole images."""
    place = element(tmp_path, "source-repositories", element_deps="manifests\n")
    shutil.copytree(DIB / "source-repositories" / "extra-data.d", place / "extra-data.d")
    shutil.copytree(DIB / "cache-url" / "bin", place / "bin")
    served = tmp_path / "served"
    upstream = served / "app"
    (upstream / "x-1.0").mkdir(parents=True)
    (upstream / "x-1.0/file").write_text("in the archive\n")
    subprocess.run(["tar", "-C", upstream, "-czf", served / "x.tar.gz", "x-1.0"], check=True)
    git = ["git", "-C", str(upstream), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q", "-b", "master"], ["add", "x-1.0"], ["commit", "-q", "-m", "x"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "update-server-info"], check=True)
    commit = subprocess.run([*git, "rev-parse", "v1"], capture_output=True, text=True, check=True).stdout.strip()
    with serving(served) as server:
        url = f"http://127.0.0.1:{server.port}"
        element(
            tmp_path,
            "mine",
            element_deps="source-repositories\n",
            source_repository_mine=f"app git /opt/app {url}/app/.git v1\n# a comment\narchive tar /opt/x {url}/x.tar.gz"
            f" x-1.0\none file /opt/one {url}/x.tar.gz\nother git /opt/other https://nowhere.example/x\n",
        )
        built(tmp_path, debian_tree, "mine", DIB_INSTALLTYPE_other="package")
        asked = len(server.asked)
        assert asked
    with mounted(tmp_path) as tree:
        assert (tree / "opt/app/x-1.0/file").read_text() == "in the archive\n"
        assert (tree / "opt/x/file").read_text() == "in the archive\n"
        assert (tree / "opt/one").read_bytes() == (served / "x.tar.gz").read_bytes()
        assert not (tree / "opt/other").exists()
        listed = (tree / "etc/dib-source-repositories").read_text().split()
        assert listed == ["/opt/app", "/opt/x", "/opt/one"]
    manifest = (tmp_path / "out.d/dib-manifests/dib-manifest-git-out").read_text()
    assert manifest == f"app git /opt/app {url}/app/.git {commit}\n"


def test_no_final_image(tmp_path: Path, debian_tree: Path) -> None:
    element(tmp_path, "mine")
    add_hook(tmp_path, "mine", "cleanup.d/50-export", 'sudo tar -C "$TARGET_ROOT" -cf "$IMAGE_NAME.tar" etc')
    output = built(tmp_path, debian_tree, "mine", "no-final-image")
    assert "no image is written as raw: there is no-final-image" in output
    assert (tmp_path / "out.tar").exists()
    assert not (tmp_path / "out.raw").exists()
    (tmp_path / "out.tar").unlink()
    built(tmp_path, debian_tree, "mine", "no-final-image")  # from layers alone
    assert (tmp_path / "out.tar").exists()
    (tmp_path / "out.tar").unlink()
    (tmp_path / "elements/mine/cleanup.d/50-export").unlink()
    built(tmp_path, debian_tree, "-t", "raw,tgz", "mine", "no-final-image")  # what has the files is written
    assert (tmp_path / "out.tgz").exists()
    assert not (tmp_path / "out.raw").exists()
