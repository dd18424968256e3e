"""ssh-key, password and qga: who is let in with what."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dib_py.verify.checks import AgentRefused, Answer, LoginRefused, Need, Unreachable
from dib_py.verify.checks.password import Password
from dib_py.verify.checks.qga import Qga
from dib_py.verify.checks.ssh_key import SshKey
from dib_py.verify.result import Outcome
from tests.verify.checks.fakes import SEED, Agent, Console, Ssh, Subject

ID = Answer(0, "uid=1000(dibverify) gid=1000(dibverify) groups=1000(dibverify),27(sudo)")
DENIED = "ssh can't log in: dibverify@127.0.0.1: Permission denied (publickey,password)."
INFO = {
    "version": "7.2.22",
    "supported_commands": [
        {"enabled": True, "name": name, "success-response": True}
        for name in ("guest-ping", "guest-info", "guest-set-user-password", "guest-exec")
    ],
}


def only(right: str) -> Callable[[str], Answer]:
    def login(given: str) -> Answer:
        if given != right:
            raise LoginRefused(DENIED)
        return ID

    return login


def anybody(given: str) -> Answer:
    return ID


def nobody(given: str) -> Answer:
    raise LoginRefused(DENIED)


# -- ssh-key
def test_the_key_opens_the_guest() -> None:
    finding = SshKey().run(Subject(ssh=Ssh(only(""))))
    assert finding.outcome is Outcome.PASSED
    assert "uid=1000(dibverify)" in finding.evidence[0].text


def test_a_key_that_comes_late_is_tried_again() -> None:
    tries: list[str] = []

    def login(given: str) -> Answer:
        tries.append(given)
        if len(tries) == 1:
            raise Unreachable(DENIED)
        return ID

    assert SshKey().run(Subject(ssh=Ssh(login))).outcome is Outcome.PASSED


def test_a_key_that_is_refused_fails_with_what_ssh_says() -> None:
    finding = SshKey().run(Subject(ssh=Ssh(nobody)))
    assert finding.outcome is Outcome.FAILED
    assert "Permission denied" in finding.reason


def test_no_ssh_server() -> None:
    finding = SshKey().run(Subject(missing=frozenset({Need.SSH})))
    assert (finding.outcome, "no ssh server" in finding.reason) == (Outcome.FAILED, True)


@pytest.mark.parametrize("answer", [Answer(1, "", "Please login as the user debian"), Answer(0, "uid=0(root)")])
def test_a_login_that_is_not_the_users(answer: Answer) -> None:
    assert SshKey().run(Subject(ssh=Ssh(lambda given: answer))).outcome is Outcome.FAILED


# -- password
def test_the_password_and_no_other() -> None:
    finding = Password().run(Subject(ssh=Ssh(only(SEED.password))))
    assert finding.outcome is Outcome.PASSED
    assert "Permission denied" in finding.evidence[1].text


def test_the_console_where_ssh_takes_no_passwords() -> None:
    finding = Password().run(Subject(ssh=Ssh(nobody), console=Console(login=only(SEED.password))))
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence[0].title == "id, by console with the password"


def test_a_door_that_does_not_answer_any_more_has_refused_nothing() -> None:
    def once(given: str) -> Answer:
        if given == SEED.password:
            return ID
        raise Unreachable("ssh did not end within 30 s")

    with pytest.raises(Unreachable, match="did not end"):
        Password().run(Subject(ssh=Ssh(once)))


def test_a_door_that_takes_any_password() -> None:
    finding = Password().run(Subject(ssh=Ssh(anybody)))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, "ssh takes any password")


def test_a_password_that_opens_nothing() -> None:
    finding = Password().run(Subject(ssh=Ssh(nobody)))
    assert finding.reason == "the injected password opens no door"
    assert "Permission denied" in finding.evidence[0].text
    assert "console" in finding.evidence[0].text


# -- qga
class Guest:
    """Takes passwords from the agent, and tells su whether the one that it is given is right."""

    def __init__(
        self, *, heeds: bool = True, opens: bool = False, info: Mapping[str, Any] = INFO, expired: str = ""
    ) -> None:
        self.heeds, self.opens, self.info = heeds, opens, info
        self.expired = expired  # what its su says to root that wants to be another user
        self.passwords: dict[str, str] = {}
        self.made: list[str] = []
        self.removed: list[str] = []

    def agent(self, command: str, arguments: Mapping[str, Any]) -> Any:
        if command == "guest-ping":
            return {}
        if command == "guest-info":
            return self.info
        assert command == "guest-set-user-password"
        assert arguments["crypted"] is False
        if self.heeds:
            self.passwords[arguments["username"]] = base64.b64decode(arguments["password"]).decode()
        return {}

    def run(self, script: str, timeout: float | None = None) -> Answer:
        printed = ""
        for mark, name, command in re.findall(r"^echo '(\w+) ([\w-]+)'; \(\n(.*?)\n\) 2>&1", script, re.M | re.S):
            code, text = self._answer(name, command)
            printed += f"{mark} {name}\n{text}\n{mark} {name} ended {code}\n"
        return Answer(0, printed)

    def _answer(self, name: str, command: str) -> tuple[int, str]:
        if name.startswith(("add", "remove")):
            user = command.split()[2]
            (self.removed if name.startswith("remove") else self.made).append(user)
            return 0, ""
        if self.expired or f"su -s /bin/sh {self.made[-1]} -c" not in command:
            return 1, self.expired or "su: Authentication failure"
        found = re.search(r"""printf .*? (\S+) \| su -s /bin/sh (\w+) -c""", command)
        assert found
        given, user = found[1].strip("'\""), found[2]
        right = self.opens or self.passwords.get(user) == given
        said = "now asking su\nPassword: "
        return (0, f"{said}in as {user}") if right else (1, f"{said}su: Authentication failure")

    def subject(self, *missing: Need) -> Subject:
        subject = Subject(agent=Agent(self.agent), missing=frozenset(missing))
        subject.shell = self
        return subject


def test_a_password_that_the_agent_sets_takes_effect() -> None:
    guest = Guest()
    finding = Qga().run(guest.subject())
    assert finding.outcome is Outcome.PASSED
    assert "version 7.2.22" in finding.evidence[0].text
    assert "Authentication failure" in finding.evidence[1].text  # before
    assert guest.removed == guest.made and guest.made[:1] == list(guest.passwords)


def test_an_agent_that_only_says_so() -> None:
    guest = Guest(heeds=False)
    finding = Qga().run(guest.subject())
    assert finding.reason == "the password that the agent set does not take effect"
    assert guest.removed


def test_a_su_that_serves_nobody_proves_nothing() -> None:
    guest = Guest(expired="Your account has expired; please contact your system administrator.")
    with pytest.raises(Unreachable, match="su can't be asked: Your account has expired"):
        Qga().run(guest.subject())
    assert guest.removed == guest.made != []


def test_a_guest_that_lets_in_without_it() -> None:
    assert Qga().run(Guest(opens=True).subject()).outcome is Outcome.FAILED


def test_no_agent() -> None:
    finding = Qga().run(Guest().subject(Need.AGENT))
    assert (finding.outcome, "did not answer" in finding.reason) == (Outcome.FAILED, True)


def test_a_blocked_command() -> None:
    blocked = [{**command, "enabled": command["name"] != "guest-set-user-password"} for command in _commands()]
    finding = Qga().run(Guest(info={"version": "7.2", "supported_commands": blocked}).subject())
    assert finding.reason == "the agent does not offer guest-set-user-password"


def test_an_agent_that_refuses() -> None:
    subject = Guest().subject()

    def refuse(command: str, arguments: Mapping[str, Any]) -> Any:
        raise AgentRefused("the guest agent refuses guest-info: not found", "CommandNotFound")

    subject.agent = Agent(refuse)
    assert Qga().run(subject).reason == "the guest agent refuses guest-info: not found"


def test_without_a_door_the_agents_effect_is_not_known() -> None:
    with pytest.raises(Unreachable, match="no door"):
        Qga().run(Guest().subject(Need.SHELL))


def _commands() -> list[dict[str, Any]]:
    commands: Any = INFO["supported_commands"]
    return list(commands)
