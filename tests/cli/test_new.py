"""dib-py new: what it makes, what it says, what it refuses."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_an_element_and_then_lint(run: Run, tmp_path: Path) -> None:
    done = run("new", "elements/web", "--package", "nginx", "--phase", "post-install", "--phase", "cleanup.d")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "elements/web/README.rst",
        "elements/web/element-deps",
        "elements/web/package-installs.yaml",
        "elements/web/post-install.d/50-web",
        "elements/web/cleanup.d/50-web",
    ]
    linted = run("lint", "elements")
    assert linted.returncode == 0, linted.stdout
    again = run("new", "elements/web")
    assert again.returncode == 1
    assert "elements/web is there already" in again.stderr


def test_without_options_it_has_a_hook(run: Run) -> None:
    assert run("new", "web").stdout.splitlines() == ["web/README.rst", "web/install.d/50-web"]


def test_it_says_what_it_hides(run: Run) -> None:
    assert "which it hides" in run("new", "elements/growroot").stderr


def test_needs_what_is_beside_it(run: Run) -> None:
    run("new", "elements/web")
    assert run("new", "elements/shop", "--needs", "web", "--needs", "operating-system").returncode == 0


def test_mistakes(run: Run, tmp_path: Path) -> None:
    for arguments, said in (
        (["web", "--phase", "instal"], "did you mean install?"),
        (["web", "--needs", "cloud-int"], "did you mean cloud-init"),
        (["we.b"], "'we.b' is no name for an element"),
        (["web", "--variable", "9=1"], "'9' is no name of a variable"),
        ([], "Missing argument"),
    ):
        done = run("new", *arguments)
        assert done.returncode != 0
        assert said in done.stderr
    assert not (tmp_path / "web").exists()
