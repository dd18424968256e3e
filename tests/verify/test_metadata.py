"""The seed, and the metadata service in a network namespace of its own."""

from __future__ import annotations

import io
import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from pycdlib import PyCdlib

from dib_py.verify.checks import Seed
from dib_py.verify.metadata import Metadata, served
from dib_py.verify.namespace import METADATA_ADDRESS, apart
from dib_py.verify.seed import make_seed, meta_data, user_data, write_disk


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return make_seed(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def metadata(seed: Seed) -> Metadata:
    return Metadata(seed, time.monotonic())


def test_no_two_seeds_are_the_same(seed: Seed, tmp_path: Path) -> None:
    other = make_seed(tmp_path)
    for name in ("instance_id", "host_name", "password", "public_key", "marker"):
        assert getattr(seed, name) != getattr(other, name)
    assert seed.key_file.stat().st_mode & 0o077 == 0


def test_the_disk_has_what_nocloud_reads(seed: Seed, tmp_path: Path) -> None:
    write_disk(tmp_path / "seed.iso", seed)
    iso = PyCdlib()
    iso.open(str(tmp_path / "seed.iso"))
    assert iso.pvd.volume_identifier.decode().strip() == "cidata"
    read = {}
    for kind in ("rr_path", "joliet_path"):
        for name in ("user-data", "meta-data"):
            content = io.BytesIO()
            iso.get_file_from_iso_fp(content, **{kind: f"/{name}"})
            read[kind, name] = content.getvalue().decode()
    iso.close()
    assert read["rr_path", "user-data"] == read["joliet_path", "user-data"] == user_data(seed)
    assert yaml.safe_load(read["rr_path", "meta-data"])["local-hostname"] == seed.host_name
    assert read["joliet_path", "meta-data"] == meta_data(seed)


def test_user_data_is_a_cloud_config(seed: Seed) -> None:
    text = user_data(seed)
    config = yaml.safe_load(text)
    assert text.startswith("#cloud-config\n")
    assert config["user"]["name"] == seed.user and config["password"] == seed.password
    assert seed.marker in config["runcmd"][0][2] and seed.record in config["runcmd"][0][2]


def test_openstack_and_ec2_say_the_same(seed: Seed, metadata: Metadata) -> None:
    document = json.loads(metadata.answer("GET", "/openstack/latest/meta_data.json")[1])
    assert document["uuid"] == metadata.answer("GET", "/latest/meta-data/instance-id")[1] == seed.instance_id
    assert document["hostname"] == metadata.answer("GET", "/2009-04-04/meta-data/local-hostname")[1]
    key = metadata.answer("GET", "/latest/meta-data/public-keys/0/openssh-key")[1]
    assert document["public_keys"] == {"verify": key}
    both = metadata.answer("GET", "/openstack/latest/user_data"), metadata.answer("GET", "/latest/user-data")
    assert both[0] == both[1] == (200, user_data(seed))


def test_directories_are_listed_as_clouds_do(metadata: Metadata) -> None:
    assert metadata.answer("GET", "/openstack/")[1].splitlines()[-1] == "latest"
    listed = metadata.answer("GET", "/latest/meta-data/")[1].splitlines()
    assert "placement/" in listed and "instance-id" in listed
    assert "public-keys/" in listed and "public-keys" not in listed
    assert metadata.answer("GET", "/latest/meta-data/public-keys/") == (200, "0=verify")
    assert "openstack" in metadata.answer("GET", "/")[1].splitlines()


def test_what_is_not_there_is_not_found_and_remembered(metadata: Metadata) -> None:
    assert metadata.answer("GET", "/latest/meta-data/nothing") == (404, "")
    assert metadata.answer("PUT", "/latest/api/token")[0] == 200
    assert [(one.method, one.path, one.status) for one in metadata.requests] == [
        ("GET", "/latest/meta-data/nothing", 404),
        ("PUT", "/latest/api/token", 200),
    ]


@pytest.mark.root
def test_the_service_has_its_address_in_a_network_of_its_own(seed: Seed, metadata: Metadata) -> None:
    def ask() -> str:
        url = f"http://{METADATA_ADDRESS}/latest/meta-data/hostname"
        with served(metadata), urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())

    assert apart(ask) == seed.host_name
    assert metadata.requests[0].path == "/latest/meta-data/hostname"


@pytest.mark.root
def test_there_is_no_way_out_of_that_network() -> None:
    def reach() -> None:
        socket.create_connection(("192.0.2.1", 80), timeout=60).close()

    with pytest.raises(OSError, match="unreachable"):
        apart(reach)
    names = apart(lambda: sorted(name for _, name in socket.if_nameindex()))
    assert names[0] == "lo" and not {name for name in names if name.startswith(("eth", "en"))}


@pytest.mark.root
def test_this_thread_stays_where_it_was() -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    assert apart(lambda: Path("/proc/thread-self/ns/net").readlink()) != before
    assert Path("/proc/thread-self/ns/net").readlink() == before
