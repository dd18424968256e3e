"""Container images: read, converted and unpacked by skopeo and umoci, which have nothing of ours."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from dib_py import output
from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.output.image_reference import image_reference
from dib_py.output.layer_archive import rewrite
from dib_py.settings import Settings
from dib_py.target.guest_tree import GuestTree
from tests.output.trees import SPARSE_SIZE, describe, make_tree

LABEL = "system_u:object_r:etc_t:s0"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_tree(tmp_path_factory.mktemp("tree") / "root")
    shutil.rmtree(root / "boot" / "lost+found")  # this boot is no filesystem of its own
    subprocess.run(["setfattr", "-n", "security.selinux", "-v", LABEL, root / "etc" / "config"], check=True)
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def write(tree: Path, *types: str, **more: Any) -> list[Path]:
    settings = Settings(image_types=types, **more)
    output.check_output(settings)
    return output.write_all(Chain(()), settings, Events(), tree=lambda: nullcontext(GuestTree(tree)))


def skopeo(*arguments: str) -> str:
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout


def files(image: Path) -> dict[str, bytes]:
    with tarfile.open(image) as archive:
        return {member.name: opened.read() for member in archive if (opened := archive.extractfile(member))}


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "transport"), [("docker", "docker-archive"), ("docker", "oci-archive"), ("oci", "oci-archive")]
)
def test_engines_read_it_and_unpacked_it_is_the_tree(name: str, transport: str, tree: Path, here: Path) -> None:
    [image] = write(tree, name)
    assert image == Path(f"image.{name}.tar")
    said = json.loads(skopeo("inspect", f"{transport}:{image}"))
    assert (said["Architecture"], said["Os"]) == ("amd64", "linux")
    assert len(said["Layers"]) == 1
    skopeo("copy", "-q", f"{transport}:{image}", "oci:layout:test")  # verifies every digest
    subprocess.run(["umoci", "unpack", "--image", "layout:test", "bundle"], check=True, capture_output=True)
    found = describe(here / "bundle" / "rootfs")
    expected = {path: _without_label(entry) for path, entry in describe(tree).items()}
    assert found == expected


def _without_label(entry: tuple[object, ...]) -> tuple[object, ...]:
    *rest, attributes = entry
    assert isinstance(attributes, dict)
    return (*rest, {name: value for name, value in attributes.items() if name != "security.selinux"})


@pytest.mark.root
def test_a_layer_has_no_holes_no_labels_and_plain_names(tree: Path, here: Path) -> None:
    [image] = write(tree, "oci", compress=False)
    inside = files(image)
    [manifest] = [json.loads(data) for data in inside.values() if b"rootfs" not in data and b'"layers"' in data[:9999]]
    layer = manifest["layers"][0]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    with tarfile.open(fileobj=io.BytesIO(inside[f"blobs/{layer['digest'].replace(':', '/')}"])) as archive:
        members = {member.name: member for member in archive}
    assert not [name for name in members if name.startswith(("./", "/"))]
    assert members["sparse"].size == SPARSE_SIZE and not members["sparse"].issparse()
    assert {"etc/config", "etc/hard"} <= members.keys()
    [linked] = [members[name] for name in ("etc/config", "etc/hard") if members[name].islnk()]
    assert linked.linkname in ("etc/config", "etc/hard")
    config = members["etc/config"] if not members["etc/config"].islnk() else members["etc/hard"]
    assert config.pax_headers["SCHILY.xattr.user.colour"] == "blue"
    assert config.pax_headers["mtime"] == "1000000000.123456789"
    assert not [name for member in members.values() for name in member.pax_headers if "selinux" in name]


@pytest.mark.root
def test_every_digest_is_that_of_what_it_names(tree: Path, here: Path) -> None:
    [image] = write(tree, "docker", docker_target="registry.example.org:5000/team/debian:12")
    inside = files(image)
    for name, data in inside.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    assert json.loads(inside["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [described] = json.loads(inside["index.json"])["manifests"]
    assert described["annotations"] == {
        "io.containerd.image.name": "registry.example.org:5000/team/debian:12",
        "org.opencontainers.image.ref.name": "12",
    }
    manifest_data = inside[f"blobs/{described['digest'].replace(':', '/')}"]
    assert len(manifest_data) == described["size"]
    manifest = json.loads(manifest_data)
    [layer] = manifest["layers"]
    layer_data = inside[f"blobs/{layer['digest'].replace(':', '/')}"]
    assert len(layer_data) == layer["size"]
    config = json.loads(inside[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    plain = subprocess.run(["gzip", "-dc"], input=layer_data, check=True, capture_output=True).stdout
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    [legacy] = json.loads(inside["manifest.json"])
    assert legacy["RepoTags"] == ["registry.example.org:5000/team/debian:12"]
    assert legacy["Config"] in inside and legacy["Layers"][0] in inside


@pytest.mark.root
def test_only_the_older_kind_has_the_older_list(tree: Path, here: Path) -> None:
    docker, oci = write(tree, "docker", "oci")
    assert "manifest.json" in files(docker)
    assert "manifest.json" not in files(oci)


@pytest.mark.root
@pytest.mark.parametrize(("arch", "said"), [("arm64", "arm64"), ("aarch64", "arm64"), ("ppc64el", "ppc64le")])
def test_architectures_are_called_as_images_call_them(arch: str, said: str, tree: Path, here: Path) -> None:
    [image] = write(tree, "oci", arch=arch)
    assert json.loads(skopeo("inspect", "--config", f"oci-archive:{image}"))["architecture"] == said


@pytest.mark.parametrize(
    ("asked", "familiar", "full"),
    [
        ("debian", "debian:latest", "docker.io/library/debian:latest"),
        ("debian:12", "debian:12", "docker.io/library/debian:12"),
        ("team/debian:12", "team/debian:12", "docker.io/team/debian:12"),
        ("localhost/debian", "localhost/debian:latest", "localhost/debian:latest"),
        ("example.org/a/b__c:V1.0", "example.org/a/b__c:V1.0", "example.org/a/b__c:V1.0"),
        ("host:5000/x", "host:5000/x:latest", "host:5000/x:latest"),
    ],
)
def test_names(asked: str, familiar: str, full: str) -> None:
    found = image_reference(Settings(docker_target=asked))
    assert (found.familiar, found.full) == (familiar, full)


def test_without_a_name_it_is_the_images_own() -> None:
    assert image_reference(Settings(image_name="out/Debian-12")).familiar == "debian-12:latest"


@pytest.mark.parametrize("asked", ["Debian", "a//b", "a:b:c", "-a", "a b", "a:", "a@sha256:00"])
def test_a_name_that_no_registry_takes(asked: str, here: Path) -> None:
    with pytest.raises(UsageError, match="is no name of a container image"):
        output.check_output(Settings(image_types=("docker",), docker_target=asked))


def test_an_image_name_that_is_no_name_of_a_container_image(here: Path) -> None:
    with pytest.raises(UsageError, match="a container image can't be called '_x'") as caught:
        output.check_output(Settings(image_types=("oci",), image_name="_x"))
    assert "--docker-target" in caught.value.hint


def test_what_is_no_archive_is_no_layer() -> None:
    with pytest.raises(tarfile.TarError):
        rewrite(io.BytesIO(b"nothing of that kind" * 1000), lambda chunk: None)
