"""The README's first command, and what comes out of it: the image boots, and does what a cloud image must."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from guest import LOGIN_WITHIN, Guest

pytestmark = [pytest.mark.slow, pytest.mark.root]

USER_DATA = """\
#cloud-config
runcmd:
  - [sh, -c, "echo user data ran > /dev/ttyS0"]
"""


@pytest.fixture(scope="module")
def guest(debian_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(debian_image, tmp_path_factory.mktemp("guest"), gib=6, user_data=USER_DATA) as guest:
        yield guest


def test_boots_to_a_login_prompt_on_the_serial_console(guest: Guest) -> None:
    console = guest.login()
    assert "Linux version" in console  # the kernel's own messages are there too


def test_guest_agent_answers(guest: Guest) -> None:
    assert guest.agent("guest-ping", timeout=300) == {}


def test_cloud_init_applied_the_seed(guest: Guest) -> None:
    guest.wait_for("user data ran", LOGIN_WITHIN)
    assert guest.run(["hostname"]).strip() == "seeded"


def test_root_filesystem_has_grown_to_the_disk(guest: Guest) -> None:
    root = guest.root_filesystem()
    assert root["total-bytes"] > 5.2 * 1024**3  # of 6: inodes and the journal take their part


def test_root_is_named_by_label_or_uuid(guest: Guest) -> None:
    assert re.search(r"root=(LABEL|UUID)=", guest.run(["cat", "/proc/cmdline"]))
    assert "/dev/loop" not in guest.run(["cat", "/boot/grub/grub.cfg", "/etc/fstab"])


def test_nothing_failed(guest: Guest) -> None:
    assert guest.failed_units() == ""


def test_power_button_ends_it(guest: Guest) -> None:
    guest.power_button()
    guest.wait_for_end(300)
