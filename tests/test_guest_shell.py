"""What gets bash for guests without it counts for all steps in the guest, and for no other."""

from __future__ import annotations

from pathlib import Path

from dib_py.element import Catalog
from dib_py.phases import Side
from dib_py.plan import make_plan
from dib_py.settings import Settings


def planned(directory: Path, script: str) -> dict[Side, set[str]]:
    files = {
        "element-provides": "operating-system\n",
        "guest-shell/bring": script,
        "extra-data.d/10-host": "#!/bin/bash\n",
        "pre-install.d/10-guest": "#!/bin/bash\n",
        "finalise.d/10-guest": "#!/bin/bash\n",
    }
    for name, text in files.items():
        path = directory / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    settings = Settings(elements=("tiny",), skip_base=True, arch="amd64", packages_epoch="x")
    plan = make_plan(settings, Catalog.load([directory], builtin=directory), secret=b"x")
    keys: dict[Side, set[str]] = {Side.HOST: set(), Side.GUEST: set()}
    for step in plan.steps:
        keys[step.phase.side].add(step.key)
    return keys


def test_its_script_is_in_the_keys(tmp_path: Path) -> None:
    before = planned(tmp_path, "#!/bin/sh\napk add bash\n")
    assert planned(tmp_path, "#!/bin/sh\napk add bash\n") == before
    after = planned(tmp_path, "#!/bin/sh\napk add bash tar\n")
    assert before[Side.HOST] == after[Side.HOST]
    assert len(before[Side.GUEST]) == 2
    assert not before[Side.GUEST] & after[Side.GUEST]
