"""A build of more steps than a chain may have layers: it is made shorter, and the next build goes on all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.layers.merge import LEFT, LONGEST
from dib_py.layers.store import Store
from tests.building import add_hook, build, content, left_behind
from tests.test_layered_build import hits, ran

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_long_chain_is_made_shorter(tmp_path: Path, debian_tree: Path) -> None:
    for number in range(LONGEST + 10):
        name = f"{number // 100}{number % 100:02}"
        add_hook(tmp_path, "long", f"install.d/{10 + number // 10}-{name}", f"echo {name} > /step-{name}")
    add_hook(tmp_path, "long", "finalise.d/50-last", "echo one > /last")
    code, output = build(tmp_path, debian_tree, "-t", "raw", "tiny", "long")
    assert code == 0, output[-3000:]
    assert "the chain of layers was long" in output
    store = Store.open(tmp_path / "cache" / "layers")
    tips = [record for record in store.records() if record.title == "cleanup.d/close"]
    chain = store.chain(tips[0].key)
    assert chain is not None and len(chain) == LEFT
    assert len(list((store.directory / "layers").iterdir())) == LEFT
    assert left_behind(tmp_path) == []

    add_hook(tmp_path, "long", "finalise.d/50-last", "echo two > /last")
    code, output = build(tmp_path, debian_tree, "-t", "raw", "tiny", "long")
    assert code == 0, output[-3000:]
    assert ran(output)[-1] == "finalise.d/50-last"
    assert "install.d/10-000" in hits(output), "a merged step is one that is done"
    resumed = content(tmp_path / "out.raw")
    (tmp_path / "out.tree").rmdir()
    code, output = build(tmp_path, debian_tree, "-t", "raw", "--no-cache", "tiny", "long")
    assert code == 0, output[-3000:]
    cold = content(tmp_path / "out.raw")
    assert {path for path in cold.keys() | resumed.keys() if cold.get(path) != resumed.get(path)} == set()
