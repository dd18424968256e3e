"""What all tests share: the markers that depend on this machine, each skipped with its reason."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

# no test is a measurement: what takes its time does so because of what else the machine does
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def _why_no_root() -> str:
    if os.geteuid() != 0:
        return "needs root"
    for device in ("/dev/loop-control", "/dev/fuse"):
        if not Path(device).exists():
            return f"needs {device}"
    return ""


def _why_no_appliance() -> str:
    try:
        import guestfs  # noqa: F401 - optional: only a machine with the bindings runs these tests
    except ImportError:
        return "needs the libguestfs python bindings"
    if not list(Path("/boot").glob("vmlinuz-*")):
        return "needs a kernel in /boot for the libguestfs appliance"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {"root": _why_no_root(), "appliance": _why_no_appliance()}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def shared(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A directory of all workers of this run, for one at a time; whoever comes first finds it empty."""
    base = factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    directory.mkdir(exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


@pytest.fixture(scope="session")
def debian_tree() -> Path:
    """A minimal Debian as a tar archive."""
    from tests.target.contract import minimal_debian  # needs all of the engine, which most tests don't

    return minimal_debian()


@pytest.fixture(scope="session")
def debian_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image that the README's first command builds: built here in the same way, or ``DIB_PY_TEST_IMAGE``."""
    if named := os.environ.get("DIB_PY_TEST_IMAGE"):
        return Path(named).absolute()
    with shared(tmp_path_factory, "readme-image") as directory:
        image = directory / "debian.qcow2"
        if not image.exists():
            words = ("-o", image.name, "debian", "vm", "cloud-init", "growroot", "qga")
            subprocess.run([sys.executable, "-m", "dib_py", *words], cwd=directory, check=True, timeout=1800)
    return image


@pytest.fixture(scope="session")
def centos7() -> Path:
    """A stand-in for CentOS 7: a directory with image.qcow2 and, in repo, what its yum installs from."""
    from tests.centos7 import stand_in

    return stand_in()
