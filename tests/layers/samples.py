"""Layers that were never built: any file will do for the store."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dib_py.keys import Ingredients
from dib_py.layers.record import DiskState, Record
from dib_py.layers.session import Session
from dib_py.layers.store import Store

BASE = "b" * 40


def record(name: str = "10-a", parent: str = BASE, backing: str | None = None, **changed: object) -> Record:
    """What a build knows of a step."""
    ingredients = Ingredients(
        parent=parent,
        engine="engine",
        phase="install.d",
        kind="hook",
        name=name,
        mode="755",
        content="digest",
        files={"static/x": "digest"},
        variables={"DIB_RELEASE": "bookworm"},
        variable_files={},
        packages=None,
        argument="",
        epoch="",
    )
    values: dict[str, object] = {
        "key": ingredients.key,
        "phase": "install.d",
        "element": "vm",
        "name": name,
        "kind": "hook",
        "ingredients": ingredients,
        "backing": backing if backing is not None else "" if parent == BASE else parent,
        "disk": DiskState(2**30, 2**30),
        "base": None,
        "digest": "",
        "allocated": 0,
        "seconds": 1.5,
        "finished": "2026-01-01T00:00:00+00:00",
        "target": "host",
        "engine": "0.1.0",
    }
    return Record(**{**values, **changed})


def keys(*names: str, parent: str = BASE) -> list[str]:
    """The keys of steps of these names, each after the one before."""
    found = []
    for name in names:
        parent = record(name, parent).key
        found.append(parent)
    return found


def overlay(session: Session, size: int = 8192) -> Path:
    """An overlay that holds what no other does."""
    path = session.overlay()
    path.write_bytes(os.urandom(size))
    return path


def commit(session: Session, name: str, parent: str = BASE, size: int = 8192, **changed: object) -> str:
    """Commit one step; returns its key."""
    made = record(name, parent, **changed)
    log = session.directory / "log"
    log.write_text(f"output of {name}\n")
    assert session.commit(made, overlay(session, size), log=log)
    return made.key


def build(store: Store, *names: str, parent: str = BASE, size: int = 8192) -> list[str]:
    """A build that commits steps of these names, going on from ``parent``; returns their keys."""
    made = []
    with store.session() as session:
        session.use([parent])
        for name in names:
            parent = commit(session, name, parent, size)
            made.append(parent)
    return made


def qcow2(session: Session, *options: str) -> Path:
    """A real overlay, of a disk of 1 MiB."""
    path = session.overlay()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1M"], check=True)
    with path.open("ab") as file:
        file.write(os.urandom(4096))  # so that no other is like it
    return path


def build_qcow2(store: Store, *names: str, parent: str = BASE, **changed: object) -> list[str]:
    """As :func:`build`, with overlays that qemu can open, and artefacts beside the image."""
    made = []
    with store.session() as session:
        session.use([parent])
        for name in names:
            step = record(name, parent, artefacts=(f"output/{name}",), **changed)
            (session.directory / "artefacts").write_bytes(name.encode() * 1000)
            (session.directory / "log").write_text(f"output of {name}\n")
            files = {"log": session.directory / "log", "artefacts": session.directory / "artefacts"}
            assert session.commit(step, qcow2(session), **files)
            parent = step.key
            made.append(parent)
    return made
