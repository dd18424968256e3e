"""The command that replays a build can be typed into a shell, and gives no secret away."""

from __future__ import annotations

import subprocess

from dib_py.cli.options import parse
from dib_py.render.replay import replay


def test_arguments_are_quoted_and_variables_that_count_come_along() -> None:
    environ = {"DIB_RELEASE": "bookworm", "ELEMENTS_PATH": "/a b:/c", "PATH": "/bin", "http_proxy": "http://p:3128"}
    line = replay("dib-py", parse(["-o", "x y", "debian", "vm"], environ))
    assert line == "DIB_RELEASE=bookworm ELEMENTS_PATH='/a b:/c' http_proxy=http://p:3128 dib-py -o 'x y' debian vm"


def test_secrets_come_from_the_shell_that_replays() -> None:
    environ = {
        "DIB_DEV_USER_PASSWORD": "hunter2",
        "DIB_ARGS_COPY": "-p hunter2",
        "https_proxy": "http://me:sesame@p:3128",
    }
    line = replay(
        "dib-py", parse(["--root-password", "swordfish", "--base", "https://me:opensesame@h/i", "vm"], environ)
    )
    for secret in ("hunter2", "sesame", "swordfish"):
        assert secret not in line
    assert 'DIB_DEV_USER_PASSWORD="$DIB_DEV_USER_PASSWORD"' in line
    shell = subprocess.run(
        ["sh", "-c", line.replace("dib-py", "printenv DIB_DEV_USER_PASSWORD #")],
        env={**environ, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "hunter2\n"
