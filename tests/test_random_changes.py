"""One input of a build changes at random: the cached build leaves the same as a cold one, beside the image too."""

from __future__ import annotations

import os
import pprint
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import add_hook, build, content

pytestmark = [pytest.mark.slow, pytest.mark.root]

SEED = int(os.environ.get("DIB_PY_TEST_SEED") or random.SystemRandom().randrange(10**6))
CHANGES = 8
ELEMENTS = ("tiny", "mix", "last")


def prepare(top: Path) -> None:
    """Elements that read all that a step can read."""
    add_hook(top, "mix", "extra-data.d/20-made", 'cp "$MIX_FILE" "$TMP_HOOKS_PATH/made"; echo a >> beside')
    add_hook(top, "mix", "install.d/20-top", 'cat "$(dirname "$0")/../mix-top" /tmp/in_target.d/made > /top')
    add_hook(top, "mix", "install.d/30-variable", 'echo "$DIB_MIX ${MIX_PLAIN:-}" > /variable')
    add_hook(top, "mix", "install.d/40-static", "cp -a /tmp/in_target.d/mix-static /static")
    add_hook(top, "mix", "finalise.d/50-final", "cat /top /variable > /final; chmod 640 /final")
    add_hook(top, "last", "cleanup.d/60-out", 'cp "$TMP_MOUNT_PATH/final" "$IMAGE_NAME.final"; cat beside > other')
    (top / "elements" / "mix" / "mix-top").write_text("top\n")
    static = top / "elements" / "mix" / "mix-static"
    static.mkdir()
    (static / "file").write_text("static\n")
    (static / "link").symlink_to("file")
    (top / "host-file").write_text("of the host\n")


def changes(top: Path, environ: dict[str, str], chance: random.Random) -> dict[str, Callable[[], object]]:
    """What can change, by name; each leaves a valid build."""
    mix, number = top / "elements" / "mix", chance.randrange(10**9)
    hook = chance.choice(sorted(path for path in (top / "elements").rglob("[0-9]0-*") if path.is_file()))
    static = mix / "mix-static"

    def relink() -> None:
        (static / "link").unlink()
        (static / "link").symlink_to(f"file-{number}")

    return {
        f"a byte of {hook.name}": lambda: hook.write_text(hook.read_text() + f"\n# {number}\n"),
        "a mode": lambda: (static / "file").chmod(chance.choice([0o600, 0o640, 0o750, 0o4755])),
        "a symbolic link": relink,
        "a file": lambda: (static / f"file-{number % 3}").write_text(f"{number}\n"),
        "a top-level file": lambda: (mix / "mix-top").write_text(f"{number}\n"),
        "a host file": lambda: (top / "host-file").write_text(f"{number}\n"),
        "a variable": lambda: environ.update(DIB_MIX=str(number)),
        "a plain variable": lambda: environ.update(MIX_PLAIN=str(number)),
        "a variable that nobody reads": lambda: environ.update(NOBODYS_NUMBER=str(number)),
        "a hook that goes": lambda: add_hook(top, "mix", f"install.d/{10 + number % 80}-new", f"echo {number} > /new"),
    }


def left(directory: Path) -> dict[str, object]:
    """What a build left: the image's content and the files beside it."""
    shutil.rmtree(directory / "out.tree", ignore_errors=True)
    inside = content(directory / "out.raw")
    beside = {name: (directory / name).read_text() for name in ("out.final", "beside", "other")}
    return {**inside, **beside}


def test_cached_builds_are_cold_builds(tmp_path: Path, debian_tree: Path) -> None:
    chance = random.Random(SEED)
    top = tmp_path / "cached"
    top.mkdir()
    prepare(top)
    environ = {"MIX_FILE": str(top / "host-file"), "DIB_MIX": "0"}
    cold = tmp_path / "cold"
    names: list[str] = []
    for turn in range(CHANGES):
        if turn:
            name, change = chance.choice(list(changes(top, environ, chance).items()))
            names.append(name)
            change()
        for directory, options in ((top, ()), (cold, ("--no-cache",))):
            if directory == cold:
                shutil.rmtree(cold, ignore_errors=True)
                cold.mkdir()
                shutil.copytree(top / "elements", cold / "elements", symlinks=True)
            for file in ("out.raw", "out.final", "beside", "other"):
                (directory / file).unlink(missing_ok=True)
            code, output = build(directory, debian_tree, "-t", "raw", *options, *ELEMENTS, **environ)
            assert code == 0, (SEED, names, output[-3000:])
        found, wanted = left(top), left(cold)
        unequal = {path: (found.get(path), wanted.get(path)) for path in found.keys() | wanted.keys()}
        unequal = {path: pair for path, pair in unequal.items() if pair[0] != pair[1]}
        assert not unequal, f"seed {SEED}, after {names}: {pprint.pformat(unequal)}"
