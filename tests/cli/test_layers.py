"""``dib-py layers`` on stores of real overlays, from what is typed to what is printed."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dib_py.cli import main
from dib_py.layers.record import BaseRecord, PackageChanges
from dib_py.layers.store import Store
from tests.layers.samples import build_qcow2, qcow2, record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(cache: Path) -> Store:
    return Store.open(cache / "layers")


@pytest.fixture
def layers(cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a subcommand; returns its exit code, and what it printed to standard output and error."""
    for name in ("DIB_IMAGE_CACHE", "DIB_PY_LAYERS_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def run(name: str, *words: str | Path, where: Path = cache) -> tuple[int, str, str]:
        code = main(["layers", name, "--cache-dir", str(where), *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_ls_shows_the_tree(layers: Run, store: Store) -> None:
    one, two, three = build_qcow2(store, "10-a", "20-b", "30-c")
    [side] = build_qcow2(store, "25-x", parent=one)
    code, out, _ = layers("ls")
    lines = out.splitlines()
    assert code == 0
    assert (
        re.sub(r"\S+ KiB|\d{4}-.. ?\S* \d\d:\d\d", "#", "\n".join(lines[1:-1])).split()
        == (
            f"{one[:12]} install.d/10-a vm # # 1.5 s "
            f"{two[:12]} install.d/20-b vm # # 1.5 s "
            f"{three[:12]} install.d/30-c vm # # 1.5 s "
            f"{side[:12]} install.d/25-x vm # # 1.5 s"
        ).split()
    )
    assert [line.index("install.d") for line in lines[1:-1]] == [14, 16, 16, 16]
    assert lines[-1].startswith("4 layers, ") and lines[-1].endswith(f"of 20.0 GiB in {store.directory}")


def test_ls_of_nothing(layers: Run, cache: Path) -> None:
    assert layers("ls")[:2] == (0, f"0 layers, 0 B of 20.0 GiB in {cache / 'layers'}\n")
    assert layers("ls", "--json")[:2] == (0, "[]\n")


def test_ls_as_json(layers: Run, store: Store) -> None:
    one, two = build_qcow2(store, "10-a", "20-b")
    store.places.record(two).write_text("broken")
    told = json.loads(layers("ls", "--json")[1])
    assert [(entry["key"], entry["parent"], entry["name"], entry["usable"]) for entry in told] == [
        (one, None, "10-a", True),
        (two, None, None, False),
    ]
    assert told[0]["bytes"] > 4096


def test_the_environment_says_where(layers: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    build_qcow2(store, "10-a")
    monkeypatch.setenv("DIB_IMAGE_CACHE", str(store.directory.parent))
    assert main(["layers", "ls"]) == 0
    assert layers("ls")[1].startswith("0 layers") is False


def test_show(layers: Run, store: Store) -> None:
    plain = record("10-a", base=BaseRecord("/images/debian.qcow2", "qcow2", "sha256:1234"))
    ingredients = dataclasses.replace(
        plain.ingredients, epoch="2026-01-01", variables={"DIB_RELEASE": "trixie", "A_TOKEN": "hmac-sha256:0123"}
    )
    changes = PackageChanges({"gone": "1", "old": "1"}, {"old": "2", "new": "3\x1b[31m"})
    made = dataclasses.replace(plain, key=ingredients.key, ingredients=ingredients, packages=changes)
    with store.session() as session:
        (session.directory / "log").write_bytes(b"what it said\n")
        assert session.commit(made, qcow2(session), log=session.directory / "log")
    code, out, _ = layers("show", made.key[:7])
    assert code == 0
    for line in (
        f"key                 {made.key}",
        "step                install.d/10-a",
        "base image          /images/debian.qcow2 sha256:1234",
        "fetches             packages of 2026-01-01",
        "  + new 3?[31m",
        "  - gone 1",
        "  ~ old 1 -> 2",
        "  DIB_RELEASE=trixie",
        "  A_TOKEN=(secret)",
        "  static/x",
    ):
        assert line in out.splitlines()
    assert layers("show", made.key, "--log")[:2] == (0, "what it said\n")
    told = json.loads(layers("show", made.key, "--json")[1])
    assert told["ingredients"]["variables"]["DIB_RELEASE"] == "trixie"
    assert told["layer_file"] == str(store.places.layer(made.key))


@pytest.mark.parametrize("word", ["ffff", "", "zz", "../x"])
def test_an_unknown_key(layers: Run, store: Store, word: str) -> None:
    build_qcow2(store, "10-a")
    code, out, error = layers("show", word)
    assert (code, out) == (1, "")
    assert f"there is no layer '{word}'" in error and "dib-py layers ls" in error


def test_an_ambiguous_key(layers: Run, store: Store) -> None:
    build_qcow2(store, *map(str, range(17)))
    keys = sorted(one.key for one in store.records())
    first = next(a for a, b in itertools.pairwise(keys) if a[0] == b[0])[0]
    code, _, error = layers("show", first)
    same = [key for key in keys if key.startswith(first)]
    assert code == 1 and f"'{first}' is short for {len(same)} layers" in error
    assert all(key[:12] in error for key in same[:8])
    assert "install.d/" in error


def test_rm_takes_what_lies_on_it(layers: Run, store: Store) -> None:
    one, two, three = build_qcow2(store, "10-a", "20-b", "30-c")
    [side] = build_qcow2(store, "25-x", parent=one)
    code, out, _ = layers("rm", two[:8])
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[:-1]] == [three[:12], two[:12]]
    assert "install.d/20-b (vm)" in out and out.splitlines()[-1].endswith("KiB freed")
    assert {record.key for record in store.records()} == {one, side}
    assert layers("rm", one, side)[0] == 0
    assert list((store.directory / "layers").iterdir()) == []


def test_rm_refuses_what_is_in_use(layers: Run, store: Store) -> None:
    one, two = build_qcow2(store, "10-a", "20-b")
    with store.session() as session:
        session.use([two])
        code, out, error = layers("rm", one)
        assert (code, out) == (1, "")
        assert re.search("install.d/..-., element vm.* in use by a running build", error)
        assert store.chain(two)
    assert layers("rm", one)[0] == 0
    assert list(store.records()) == []


def test_gc_removes_what_is_of_no_use(layers: Run, store: Store) -> None:
    one, two = build_qcow2(store, "10-a", "20-b")
    broken, above = build_qcow2(store, "x", "y")
    store.places.record(broken).write_text("broken")
    newer = build_qcow2(store, "newer")[0]
    store.places.record(newer).write_text('{"format": 99}')
    stray = store.places.layer("0" * 40)
    stray.write_bytes(b"x")
    (store.directory / "locks" / "x.lock").write_text("")
    code, out, _ = layers("gc")
    assert code == 0
    assert {line.split()[1] for line in out.splitlines()[:-1]} == {
        broken[:12],
        above[:12],
        f"layers/{stray.name}",
    }
    assert store.chain(two) and store.places.record(newer).exists()
    assert list((store.directory / "locks").iterdir()) == []
    assert layers("gc")[1] == "0 B freed\n"
    assert layers("gc", "--size", "0")[0] == 0
    assert store.contents().entries == {}
    assert [path.name for path in (store.directory / "digests").iterdir()] == []
    assert one


def test_gc_by_age(layers: Run, store: Store) -> None:
    old = build_qcow2(store, "10-a", "20-b")
    new = build_qcow2(store, "11-a")
    for number, key in enumerate(old):
        then = time.time() - 3 * 86400 + number
        os.utime(store.places.record(key), (then, then))
    assert layers("gc", "--older-than", "4d")[1] == "0 B freed\n"
    assert layers("gc", "--older-than", "2d")[0] == 0
    assert [record.key for record in store.records()] == new
    code, _, error = layers("gc", "--older-than", "soon")
    assert code == 1 and "30d" in error


def test_gc_leaves_a_lock_that_is_held(layers: Run, store: Store) -> None:
    with store.session() as session, session.flight("0" * 40, waiting=lambda: None) as _:
        layers("gc")
        assert [path.name for path in (store.directory / "locks").iterdir()] == [f"{'0' * 40}.lock"]
        assert session.directory.is_dir()


def test_verify(layers: Run, store: Store) -> None:
    good = build_qcow2(store, "10-a", "20-b")
    bad = build_qcow2(store, "x", "y", "z")
    assert layers("verify")[::2] == (0, "5 layers, all are good\n")
    with store.places.layer(bad[1]).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    store.places.artefacts(good[1]).unlink()
    code, out, error = layers("verify")
    assert code == 1 and error == "5 layers, 2 broken\n"
    assert {line.split()[0] for line in out.splitlines()} == {bad[1][:12], good[1][:12]}, "not what lies on them"
    assert "not what was committed" in out and "artefacts" in out
    code, out, _ = layers("verify", "--remove")
    assert code == 1 and f"removed {bad[2][:12]}" in out
    assert {record.key for record in store.records()} == {good[0], bad[0]}
    assert layers("verify")[0] == 0


def test_verify_asks_qemu(layers: Run, store: Store) -> None:
    """Bytes that are what was committed, and yet no sound overlay."""
    with store.session() as session:
        layer = qcow2(session)
        data = bytearray(layer.read_bytes())
        data[0x10000:0x10008] = (2**62).to_bytes(8, "big")  # the refcount table leads nowhere
        layer.write_bytes(data)
        assert session.commit(record(), layer)
    code, out, _ = layers("verify")
    assert code == 1 and "qemu-img check" in out


def test_from_one_machine_to_another(layers: Run, store: Store, tmp_path: Path) -> None:
    base = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "1M"], check=True)
    digest = f"sha256:{hashlib.sha256(base.read_bytes()).hexdigest()}"
    made = build_qcow2(store, "10-a", "20-b", base=BaseRecord(str(base), "qcow2", digest))
    archive = tmp_path / "archive"
    code, out, error = layers("export", made[1][:10], "-o", archive, "--with-base")
    assert code == 0 and out.startswith(f"{archive}: 2 steps, ") and "passwords" in error
    there = tmp_path / "there"
    code, out, error = layers("import", archive, where=there)
    assert (code, error) == (0, "")
    moved = there / "bases" / f"{digest[7:]}.qcow2"
    assert out == f"2 layers added, 0 there already\nbase image: {moved} (--base {moved})\n"
    assert moved.read_bytes() == base.read_bytes()
    assert layers("import", archive, where=there)[1].startswith("0 layers added, 2 there already")
    base.unlink()
    code, out, error = layers("export", made[1], "-o", archive, "--with-base")
    assert code == 1 and "leave --with-base out" in error
    archive.write_bytes(archive.read_bytes()[:-50])
    code, out, error = layers("import", archive, where=tmp_path / "third")
    assert code == 1 and "no good archive" in error


def test_import_says_what_is_left_out(layers: Run, store: Store, tmp_path: Path) -> None:
    made = build_qcow2(store, "10-a", "20-b")
    layers("export", made[1], "-o", tmp_path / "archive")
    build_qcow2(Store.open(tmp_path / "there" / "layers"), "10-a")
    code, out, error = layers("import", tmp_path / "archive", where=tmp_path / "there")
    assert (code, out) == (0, "0 layers added, 0 there already\n")
    assert error.startswith("2 left out: this store has another run")


@pytest.mark.parametrize("words", [[], ["nothing"], ["rm"], ["export", "x"], ["gc", "--size", "-1"]])
def test_what_is_typed_wrongly(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["layers", *words])
    out, error = capfd.readouterr()
    assert (code == 0 and "import" in out) if not words else (code == 1 and error.startswith("dib-py: error: "))
