"""Layers that go from one machine to another: whole, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dib_py.errors import DiskError, HostError
from dib_py.layers.archive import MANIFEST, Manifest, export
from dib_py.layers.importing import Imported, adopt, bring_in
from dib_py.layers.record import BaseRecord, Record
from dib_py.layers.store import Store
from tests.layers.dying import run_and_kill_at
from tests.layers.samples import BASE, build_qcow2, qcow2, record
from tests.layers.test_disk_trouble import fill, mounted


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "other")


def nothing(count: int) -> None: ...


def packed(store: Store, *keys: str, bases: list[tuple[BaseRecord, Path]] | None = None) -> Path:
    path = store.directory.parent / "layers.dibl"
    export(store, keys, path, bases=bases or [], told=nothing)
    return path


def take(store: Store, path: Path) -> Imported:
    return bring_in(store, path, bases=store.directory.parent / "bases", told=nothing)


def names(records: tuple[Record, ...]) -> list[str]:
    return [one.name for one in records]


def test_a_chain_moves_to_an_empty_store(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b", "30-c")
    build_qcow2(store, "40-d", parent=made[-1])
    path = packed(store, made[-1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = take(other, path)
    assert names(done.added) == ["10-a", "20-b", "30-c"]
    assert (done.kept, done.other_runs, done.never_hit, done.bases) == ((), (), (), ())
    chain = other.chain(made[-1])
    assert chain is not None and len(chain) == 3
    assert [layer.read_bytes() for layer in chain] == [store.places.layer(key).read_bytes() for key in made]
    for key in made:
        there, here = other.record(key), store.record(key)
        assert here is not None and there == dataclasses.replace(here, allocated=there.allocated if there else 0)
        assert other.places.log(key).read_text() == store.places.log(key).read_text()
        assert other.places.artefacts(key).read_bytes() == store.places.artefacts(key).read_bytes()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in other.directory.rglob("*") if file.parent.name != "digests"}
    assert modes == {0o700, 0o600}
    assert list(other.places.builds.iterdir()) == []
    assert other.secret == store.secret == Store.open(other.directory).secret


def test_any_tar_lists_it(store: Store) -> None:
    [key] = build_qcow2(store, "10-a")
    done = subprocess.run(["tar", "--zstd", "-tf", packed(store, key)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [
        MANIFEST,
        "secret",
        *(f"{name}/{key}.{suffix}" for name, suffix in (("records", "json"), ("logs", "log"), ("artefacts", "tar"))),
        f"layers/{key}.qcow2",
    ]


def test_what_is_there_stays(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    take(other, packed(store, made[0]))
    before = other.places.layer(made[0]).stat()
    done = take(other, packed(store, made[1]))
    assert (names(done.added), names(done.kept)) == (["20-b"], ["10-a"])
    assert other.places.layer(made[0]).stat().st_ino == before.st_ino
    assert other.chain(made[1])


def test_a_damaged_layer_is_replaced(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    path = packed(store, made[1])
    take(other, path)
    other.places.layer(made[0]).write_bytes(b"damaged")
    assert other.chain(made[1]) is None
    assert names(take(other, path).added) == ["10-a"]
    assert other.chain(made[1])


def test_layers_on_another_run_are_left_out(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    build_qcow2(other, "10-a")
    kept = other.places.layer(made[0]).read_bytes()
    done = take(other, packed(store, made[1]))
    assert names(done.other_runs) == ["10-a", "20-b"] and not done.added
    assert other.places.layer(made[0]).read_bytes() == kept
    assert other.record(made[1]) is None


def with_secret(name: str, parent: str) -> Record:
    plain = record(name, parent)
    ingredients = dataclasses.replace(plain.ingredients, variables={"ADMIN_PASSWORD": "hmac-sha256:00"})
    return dataclasses.replace(plain, ingredients=ingredients, key=ingredients.key)


def test_steps_with_secrets_never_match_where_the_secret_is_another(store: Store, other: Store) -> None:
    [first] = build_qcow2(store, "10-a")
    with store.session() as session:
        session.use([first])
        secret = with_secret("20-b", first)
        assert session.commit(secret, qcow2(session))
        above = record("30-c", secret.key)
        assert session.commit(above, qcow2(session))
    build_qcow2(other, "something-else")
    mine = other.secret
    done = take(other, packed(store, above.key))
    assert names(done.added) == ["10-a", "20-b", "30-c"]
    assert names(done.never_hit) == ["20-b", "30-c"]
    assert Store.open(other.directory).secret == mine


def test_merged_steps_move_too(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b", "30-c", "40-d")
    with store.session() as session:
        session.use([made[-1]])
        assert session.merge(made[2], qcow2(session), [made[1]])
    done = take(other, packed(store, made[-1]))
    assert len(done.added) == 4
    assert other.chain(made[-1]) == tuple(other.places.layer(made[number]) for number in (0, 2, 3))
    assert other.chain(made[1]) is None


@pytest.mark.parametrize("here", [1, 2], ids=["below-is-a-layer", "some-are-layers"])
def test_merged_steps_on_layers_that_are_there(store: Store, other: Store, here: int) -> None:
    made = build_qcow2(store, "10-a", "20-b", "30-c", "40-d")
    take(other, packed(store, made[here]))
    with store.session() as session:
        session.use([made[-1]])
        assert session.merge(made[3], qcow2(session), [made[2], made[1], made[0]])
    assert len(store.chain(made[3]) or ()) == 1
    done = take(other, packed(store, made[3]))
    assert not done.other_runs
    assert len(other.chain(made[3]) or ()) == here + 2


def test_layers_on_what_was_merged_here(store: Store, other: Store) -> None:
    """The layer that they lie on is no file of its own any more."""
    made = build_qcow2(store, "10-a", "20-b", "30-c")
    take(other, packed(store, made[1]))
    with other.session() as session:
        session.use([made[1]])
        assert session.merge(made[1], qcow2(session), [made[0]])
    [side] = build_qcow2(store, "21-x", parent=made[0])
    done = take(other, packed(store, side))
    assert names(done.other_runs) == ["21-x"] and names(done.kept) == ["10-a"]
    done = take(other, packed(store, made[2]))
    assert names(done.added) == ["30-c"]
    assert len(other.chain(made[2]) or ()) == 2


def test_the_record_of_a_killed_merge_is_put_right(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    kept = store.record(made[1])
    assert kept is not None
    killed = dataclasses.replace(kept, digest="0" * 128, pending=kept.digest)
    store.places.record(made[1]).write_text(killed.to_json())
    take(other, packed(store, made[1]))
    there = other.record(made[1])
    assert there is not None and (there.digest, there.pending) == (kept.digest, "")


def test_a_base_image_goes_with_them(store: Store, other: Store, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    base = BaseRecord(str(image), "qcow2", f"sha256:{hashlib.sha256(image.read_bytes()).hexdigest()}")
    made = build_qcow2(store, "10-a", base=base)
    path = packed(store, *made, bases=[(base, image)])
    done = take(other, path)
    assert [found.read_bytes() for found in done.bases] == [image.read_bytes()]
    assert done.bases[0].parent == tmp_path / "bases"
    wrong = packed(store, *made, bases=[(dataclasses.replace(base, digest="sha256:00"), image)])
    with pytest.raises(HostError, match="base image is damaged"):
        take(Store.open(tmp_path / "third"), wrong)


def test_only_hits_are_exported(store: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    store.places.layer(made[0]).write_bytes(b"damaged")
    with pytest.raises(HostError, match="damaged or gone"):
        packed(store, made[1])
    assert not list(store.directory.parent.glob("*dibl*"))


@pytest.mark.root
def test_export_to_a_full_disk(store: Store, tmp_path: Path) -> None:
    made = build_qcow2(store, "10-a")
    with pytest.raises(DiskError, match="can't be written"):
        export(store, made, Path("/dev/null/x"), bases=[], told=nothing)
    with pytest.raises(DiskError, match="can't be written"):
        export(store, made, tmp_path / "no" / "x", bases=[], told=nothing)
    with mounted("tmpfs", tmp_path) as point:
        fill(point, 4096)
        with pytest.raises(DiskError, match="No space left"):
            export(store, made, point / "x", bases=[], told=nothing)
        assert [path.name for path in point.iterdir()] == ["filler"]


# -- archives that are none


def rewritten(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], object]) -> Path:
    """The archive with its members changed."""
    plain = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar.getmembers()]
    change(members)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(subprocess.run(["zstd", "-cq"], input=buffer.getvalue(), check=True, capture_output=True).stdout)
    return path


Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, target
    return info, data


def listed(members: Members, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest."""
    manifest = json.loads(members[0][1])
    change(manifest)
    members[0] = member(MANIFEST, json.dumps(manifest).encode())


def replaced(members: Members, name: str, data: bytes) -> None:
    """Another content for one member, with the manifest's consent."""
    number = next(number for number, (info, _) in enumerate(members) if info.name.startswith(name))
    full = members[number][0].name
    members[number] = member(full, data)

    def resize(manifest: dict[str, object]) -> None:
        for one in manifest["members"]:
            if one["name"] == full:
                one["size"] = len(data)

    listed(members, resize)


def renamed(members: Members, old: str, new: str) -> None:
    number = next(number for number, (info, _) in enumerate(members) if info.name.startswith(old))
    full = members[number][0].name
    members[number] = member(new, members[number][1])
    text = members[0][1].replace(full.encode(), new.encode())
    members[0] = member(MANIFEST, text)


def of_kind(members: Members, kind: bytes) -> None:
    """The secret as another kind of member, of the size that it should have."""
    members[1] = member("secret", members[1][1], kind, "/etc/passwd")


def content(members: Members, name: str) -> bytes:
    return next(data for info, data in members if info.name.startswith(name))


SPOILED: dict[str, Callable[[Members], object]] = {
    "no-manifest": lambda members: members.pop(0),
    "a-newer-format": lambda members: listed(members, lambda manifest: manifest.update(format=2)),
    "a-manifest-of-other-types": lambda members: listed(members, lambda manifest: manifest.update(steps="x")),
    "a-key-that-is-none": lambda members: listed(members, lambda manifest: manifest.update(steps=["../x"])),
    "a-key-that-is-not-there": lambda members: listed(members, lambda manifest: manifest.update(keys=["0" * 40])),
    "a-step-less": lambda members: listed(members, lambda manifest: manifest.update(steps=manifest["steps"][:1])),
    "a-member-less": lambda members: members.pop(3),
    "a-member-more": lambda members: members.append(member("extra", b"x")),
    "a-member-more-that-is-listed": lambda members: (
        listed(members, lambda manifest: manifest["members"].append({"name": "extra", "size": 1})),
        members.append(member("extra", b"x")),
    ),
    "traversal": lambda members: renamed(members, "secret", "../../../secret"),
    "absolute": lambda members: renamed(members, "secret", "/tmp/secret"),
    "a-symlink": lambda members: of_kind(members, tarfile.SYMTYPE),
    "a-hard-link": lambda members: of_kind(members, tarfile.LNKTYPE),
    "a-device": lambda members: of_kind(members, tarfile.CHRTYPE),
    "a-long-name": lambda members: of_kind(members, tarfile.GNUTYPE_LONGNAME),
    "twice": lambda members: (
        listed(members, lambda manifest: manifest["members"].append(manifest["members"][1])),
        members.append(members[2]),
    ),
    "a-short-secret": lambda members: replaced(members, "secret", b"short"),
    "a-damaged-layer": lambda members: replaced(members, "layers", damaged(content(members, "layers"))),
    "a-truncated-layer": lambda members: replaced(members, "layers", content(members, "layers")[:-512]),
    "damaged-artefacts": lambda members: replaced(members, "artefacts", b"x"),
    "a-damaged-record": lambda members: replaced(
        members, "records", content(members, "records").replace(b"10-a", b"10-b")
    ),
    "no-record": lambda members: replaced(members, "records", b"{}"),
    "a-huge-member": lambda members: listed(members, lambda manifest: manifest["members"][1].update(size=2**62)),
    "a-negative-size": lambda members: listed(members, lambda manifest: manifest["members"][1].update(size=-1)),
    "another-size": lambda members: listed(members, lambda manifest: manifest["members"][2].update(size=1)),
}


def damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def untouched(store: Store, *secrets: bytes) -> None:
    """Nothing of an import is left."""
    assert store.contents().entries == {}
    assert list(store.places.builds.iterdir()) == []
    for name in ("layers", "logs", "artefacts", "failed"):
        assert list((store.directory / name).iterdir()) == []
    assert Store.open(store.directory).secret in secrets
    assert not (store.directory.parent / "bases").exists()


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_spoiled_archive(spoil: Callable[[Members], object], store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    path, secret = packed(store, made[-1]), other.secret
    with pytest.raises((HostError, DiskError)) as raised:
        take(other, rewritten(path, spoil))
    assert str(path) in str(raised.value) or "no room" in str(raised.value)
    untouched(other, secret)


def test_an_archive_that_was_only_rewritten(store: Store, other: Store) -> None:
    """So what was refused above was refused for what was done to it."""
    made = build_qcow2(store, "10-a", "20-b")
    take(other, rewritten(packed(store, made[-1]), lambda members: replaced(members, "logs", b"another log")))
    assert other.chain(made[-1])
    assert other.places.log(made[0]).read_bytes() == b"another log"


def test_a_layer_with_its_data_elsewhere(store: Store, other: Store, tmp_path: Path) -> None:
    """qemu would open that file with our rights."""
    made, secret = record(), other.secret
    with store.session() as session:
        layer = qcow2(session, "-o", f"data_file={tmp_path / 'data'}")
        assert session.commit(made, layer)
    with pytest.raises(DiskError, match="data in another file"):
        take(other, packed(store, made.key))
    untouched(other, secret)


@pytest.mark.parametrize("cut", [0, 3, 100, -100, -1])
def test_an_archive_that_is_cut_off(store: Store, other: Store, cut: int) -> None:
    made, secret = build_qcow2(store, "10-a"), other.secret
    path = packed(store, *made)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(HostError):
        take(other, path)
    untouched(other, secret)


@pytest.mark.parametrize("data", [b"", b"text", os.urandom(5000), bytes(5000)], ids=["empty", "text", "random", "zero"])
def test_a_file_that_is_no_archive(data: bytes, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(HostError, match="no good archive"):
        take(store, tmp_path / "file")
    (tmp_path / "packed").write_bytes(subprocess.run(["zstd", "-cq"], input=data, capture_output=True).stdout)
    with pytest.raises(HostError, match="no good archive"):
        take(store, tmp_path / "packed")
    with pytest.raises(DiskError, match="No such file"):
        take(store, tmp_path / "nothing")
    untouched(store, store.secret)


def test_an_archive_that_unpacks_to_much_more_than_it_says(store: Store, other: Store) -> None:
    made, secret = build_qcow2(store, "10-a"), other.secret
    path = packed(store, *made)
    bomb = subprocess.run("head -c 1G /dev/zero | zstd -cq", shell=True, check=True, capture_output=True).stdout
    with path.open("ab") as file:
        file.write(bomb)
    with pytest.raises(HostError, match="more in it"):
        take(other, path)
    untouched(other, secret)


def test_an_archive_that_is_larger_than_the_cap(store: Store, tmp_path: Path) -> None:
    made = build_qcow2(store, "10-a")
    small = Store.open(tmp_path / "small", cap=100000)
    with pytest.raises(HostError, match="more than the layer store may"):
        take(small, packed(store, *made))
    untouched(small, small.secret)


def test_killed_at_every_point(store: Store, tmp_path: Path) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    path = packed(store, made[-1])
    point = 0
    while True:
        directory = tmp_path / f"at-{point}" / "layers"
        there = Store.open(directory)
        ended = run_and_kill_at(point, lambda there=there: take(there, path))
        later = Store.open(directory)
        assert list(later.places.builds.iterdir()) == []
        known = [key for key in made if later.record(key)]
        assert known == made[: len(known)] and all(later.chain(key) for key in known)
        if ended:
            assert known == made
            break
        point += 1
    assert point > 30


@pytest.mark.root
def test_import_on_a_full_disk(store: Store, tmp_path: Path) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    path = packed(store, made[-1])
    refused = 0
    with mounted("tmpfs", tmp_path) as point:
        for leave in range(0, 600_000, 32768):
            there = Store.open(point / f"layers{leave}")
            secret = there.secret
            fill(point, leave)
            try:
                take(there, path)
                assert there.chain(made[-1])
            except DiskError:
                refused += 1
                (point / "filler").unlink()
                untouched(there, secret, store.secret)
            (point / "filler").unlink(missing_ok=True)
            subprocess.run(["rm", "-r", there.directory], check=True)
    assert 3 < refused < 18


def test_adopting_from_a_read_only_store(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b", "30-c")
    view = Store.open(store.directory, read_only=True)
    with other.session() as session:
        assert adopt(other, session, view, made[1])
        assert other.chain(made[1]) and other.record(made[2]) is None
        step = record("31-x", made[1])
        assert session.commit(step, qcow2(session)), "goes on from it"
        assert other.chain(step.key)
        assert adopt(other, session, view, made[2]) and other.chain(made[2])
        assert not adopt(other, session, view, "0" * 40)
        store.places.layer(made[2]).write_bytes(b"damaged")
        assert adopt(other, session, view, made[2]), "it is here already"


def test_adopting_a_damaged_layer(store: Store, other: Store) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    store.places.layer(made[0]).write_bytes(b"damaged")
    with other.session() as session:
        assert not adopt(other, session, store, made[1])
    assert other.contents().entries == {}


def test_the_manifest_survives() -> None:
    manifest = Manifest(("a",), ("a",), (), (BaseRecord("x", "raw", "y"),))
    assert Manifest.from_json(manifest.to_json().encode()) == manifest
    assert BASE
