"""Secrets never come out: by name, by value, in the spellings of the shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.secrets import Mask, is_secret


@pytest.mark.parametrize(
    "name", ["DIB_DEV_USER_PASSWORD", "REG_PASSWORD_FILE", "MYSQL_PASSWD", "CLIENT_SECRET", "GITHUB_TOKEN", "API_KEY"]
)
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["DIB_RELEASE", "DIB_ADD_APT_KEYS", "KEYMAP", "DIB_KEY_FILE_COUNT", "PATH"])
def test_other_names(name: str) -> None:
    assert not is_secret(name)


def test_a_value_is_masked_wherever_it_occurs() -> None:
    mask = Mask.of({"REG_PASSWORD": "hunter22", "DIB_RELEASE": "bookworm"})
    assert mask("login --password=hunter22 bookworm hunter22!") == "login --password=*** bookworm ***!"
    assert mask.line(b"\xff hunter22 \xfe") == b"\xff *** \xfe"


def test_an_environment_is_shown_without_secrets_also_where_they_are_repeated() -> None:
    environment = {"A_TOKEN": "abc", "DIB_ENV": 'declare -x X_KEY="s3cr\\$t"', "X_KEY": "s3cr$t", "EMPTY_KEY": ""}
    shown = Mask.of(environment).environment(environment)
    assert shown == {"A_TOKEN": "***", "DIB_ENV": 'declare -x X_KEY="***"', "X_KEY": "***", "EMPTY_KEY": ""}


def test_short_values_and_plain_words_are_left_in_text() -> None:
    mask = Mask.of({"A_TOKEN": "abc", "B_PASSWORD": "true", "C_SECRET": "None"})
    assert mask("abc is true, None said") == "abc is true, None said"


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n}\n-----END KEY-----\n"
    mask = Mask.of({"TLS_KEY": key})
    assert [mask(line) for line in key.splitlines()] == ["***", "***", "}", "***"]


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert Mask(["hunter", "hunter22"])("hunter22 hunter") == "*** ***"


def test_passwords_in_proxies_are_masked_and_the_host_is_not() -> None:
    mask = Mask.of({"https_proxy": "http://me:pass-word@proxy.example.org:3128", "no_proxy": "localhost"})
    assert mask("via http://me:pass-word@proxy.example.org:3128") == "via http://me:***@proxy.example.org:3128"


def test_no_secrets_change_nothing() -> None:
    assert Mask()("anything") == "anything"
    assert Mask().line(b"anything") == b"anything"


@given(st.text(alphabet="abc$`\"'\\ {}*#!", min_size=4, max_size=12).filter(lambda value: value.strip() == value))
def test_what_bash_traces_of_a_secret_is_masked(value: str) -> None:
    traced = subprocess.run(
        ["bash", "-c", 'set -x; : "$X_KEY"; declare -p X_KEY'], env={"X_KEY": value}, capture_output=True, text=True
    )
    shown = Mask([value])(traced.stdout)
    assert value not in shown
    assert shown == 'declare -x X_KEY="***"\n'
