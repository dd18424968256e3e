"""Can one log in with the key that the cloud injected?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Answer, Finding, Need, Subject, Unreachable, failed, passed
from dib_py.verify.result import Evidence


class SshKey:
    """Logs in by a forwarded port; the key is one of this verification, and no password goes with it."""

    name: ClassVar[str] = "ssh-key"
    proves: ClassVar[str] = "The key pair that the cloud injects opens the guest by ssh."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        limits, seed = subject.limits, subject.seed
        if not subject.wait(Need.SSH, limits.door):
            return failed(f"no ssh server answered within {limits.door:g} s of the login prompt")
        try:
            answer = self._log_in(subject)
        except Unreachable as error:
            return failed(f"the injected key does not open the guest: {error.message}")
        shown = Evidence("id, by ssh with the key", answer.output.strip() or answer.errors.strip())
        if answer.exit_code != 0 or seed.user not in answer.output:
            return failed(f"the login with the key is not one of {seed.user}", shown)
        return passed(shown)

    def _log_in(self, subject: Subject) -> Answer:
        """At once, and where that fails once more when cloud-init has ended: until then it may not be its turn yet."""
        try:
            return subject.ssh.run("id", subject.limits.command)
        except Unreachable:
            subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)
            return subject.ssh.run("id", subject.limits.command)
