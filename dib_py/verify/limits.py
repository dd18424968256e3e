"""How long a guest may take: several times what it needs, as the machine that boots it may be busy with other things.

Without KVM a Debian on two cores needs 60 to 100 s to its login prompt, with it a tenth of that.
"""

from __future__ import annotations

from dataclasses import replace

from dib_py.verify.checks import Limits

KVM = Limits(login=240, cloud_init=240, door=30, command=30, shutdown=60, offline=90, silence=120, total=900)
TCG = Limits(login=900, cloud_init=600, door=90, command=90, shutdown=120, offline=300, silence=300, total=2400)


def limits(kvm: bool, total: float | None = None) -> Limits:
    """For this accelerator; ``total`` seconds for everything, if that is said."""
    usual = KVM if kvm else TCG
    return usual if total is None else replace(usual, total=total)
