"""Does the guest agent do what a cloud asks of it?"""

from __future__ import annotations

import base64
import contextlib
import secrets
import shlex
from typing import Any, ClassVar

from dib_py.verify.checks import AgentRefused, Answer, Finding, Need, Subject, Unreachable, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

_SET_PASSWORD = "guest-set-user-password"
_NEEDED = ("guest-ping", "guest-info", _SET_PASSWORD)
_ADD = "useradd -m {user} || adduser -D {user}"
_REMOVE = "userdel -r {user} || deluser --remove-home {user}"
# su asks for the password whoever is not root; it reads it from standard input where there is no terminal
_ASKING = "now asking su"
_TRY = "su -s /bin/sh {asker} -c {inner}"
_INNER = "echo {asking}; printf '%s\\n' {password} | su -s /bin/sh {user} -c 'echo in as $(id -un)'"
_NO_TERMINAL = "must be run from a terminal"  # says the one of some older systems


class Qga:
    """The password that it sets is one of an account made for this, and tried with the guest's own su.

    Who asks su is another such account: systemd has made nobody one that has expired.
    """

    name: ClassVar[str] = "qga"
    proves: ClassVar[str] = "The guest agent answers, and a password that the cloud sets through it takes effect."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        limits = subject.limits
        if not subject.wait(Need.AGENT, limits.door):
            return failed(f"the guest agent did not answer within {limits.door:g} s of the login prompt")
        try:
            pong, info = subject.agent.ask("guest-ping"), subject.agent.ask("guest-info")
        except (AgentRefused, Unreachable) as error:
            return failed(error.message)
        shown = Evidence("guest-info", _summary(info))
        if pong != {}:
            return failed(f"guest-ping is answered with {pong!r}", shown)
        lacking = [name for name in _NEEDED if name not in _enabled(info)]
        if lacking:
            return failed(f"the agent does not offer {', '.join(lacking)}", shown)
        if not subject.wait(Need.SHELL, limits.door):
            raise Unreachable("no door into the guest opens to see whether a password that the agent sets takes effect")
        return self._set_password(subject, shown)

    def _set_password(self, subject: Subject, shown: Evidence) -> Finding:
        user, asker = (f"dib{secrets.token_hex(4)}" for _ in range(2))
        password = secrets.token_urlsafe(12)
        inner = _INNER.format(asking=_ASKING, password=shlex.quote(password), user=user)
        attempt = _TRY.format(asker=asker, inner=shlex.quote(inner))
        accounts = {"add": _ADD.format(user=user), "add-asker": _ADD.format(user=asker)}
        before = ask(subject.shell, {**accounts, "before": attempt}, subject.limits.command)
        for name in accounts:
            if before[name].exit_code != 0:
                raise Unreachable(f"no account for the agent's test can be made: {before[name].output}")
        try:
            _refuse_unasked(before["before"])
            if _let_in(before["before"], user):
                return failed("the guest lets anybody in without the right password", shown)
            encoded = base64.b64encode(password.encode()).decode()
            try:
                subject.agent.ask(_SET_PASSWORD, username=user, password=encoded, crypted=False)
            except (AgentRefused, Unreachable) as error:
                return failed(error.message, shown)
            after = ask(subject.shell, {"after": attempt}, subject.limits.command)["after"]
            _refuse_unasked(after)
        finally:
            with contextlib.suppress(Unreachable):  # the disk is thrown away anyway
                removals = {"remove": _REMOVE.format(user=user), "remove-asker": _REMOVE.format(user=asker)}
                ask(subject.shell, removals, subject.limits.command)
        tried = Evidence("su before and after", f"{before['before'].output}\n{after.output}".strip())
        if _NO_TERMINAL in after.output:
            raise Unreachable(f"the guest's su can't be asked: {after.output}")
        if not _let_in(after, user):
            return failed("the password that the agent set does not take effect", shown, tried)
        return passed(shown, tried)


def _refuse_unasked(tried: Answer) -> None:
    """Raise Unreachable where the account that asks could not even begin to."""
    if _ASKING not in tried.output:
        raise Unreachable(f"the guest's su can't be asked: {tried.output}")


def _let_in(tried: Answer, user: str) -> bool:
    return tried.output.endswith(f"in as {user}")  # what su asks has no line of its own


def _enabled(info: Any) -> set[str]:
    commands = info.get("supported_commands") if isinstance(info, dict) else None
    if not isinstance(commands, list):
        return set()
    return {str(one.get("name")) for one in commands if isinstance(one, dict) and one.get("enabled") is True}


def _summary(info: Any) -> str:
    version = info.get("version", "?") if isinstance(info, dict) else "?"
    return f"version {version}\ncommands: {' '.join(sorted(_enabled(info))) or '(none)'}"
