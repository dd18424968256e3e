"""Lint: each rule on what it must find and on what it must let pass, exclusions, and what is printed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dib_py.cli.lint import command
from dib_py.errors import ElementError, FileError
from dib_py.lint import codes, lint
from dib_py.resolve import UnknownElement

SAMPLES = Path(__file__).parent / "elements"
BASH = "#!/bin/bash\nset -euo pipefail\n: ${DIB_DEBUG_TRACE:-0}\n"


@pytest.fixture(autouse=True)
def _only_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEMENTS_PATH", raising=False)


def element(directory: Path, files: dict[str, str], *, executable: tuple[str, ...] = (), name: str = "e") -> Path:
    """An element with a README and these files, in a directory of elements, which is returned."""
    for relative, content in {"README.rst": "=\ne\n=\n\nSays what it does.\n", **files}.items():
        path = directory / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if relative in executable:
            path.chmod(0o755)
    return directory


def found(directory: Path, code: str = "") -> list[tuple[str, int]]:
    """File and line of what one rule finds; of all rules with code and line."""
    report = lint([directory])
    if not code:
        return [(finding.code, finding.line) for finding in report.findings]
    return [(finding.path.name, finding.line) for finding in report.findings if finding.code == code]


def test_a_good_element_has_no_findings() -> None:
    report = lint([SAMPLES / "lint-good"])
    assert report.findings == ()
    assert (report.elements, report.files) == (2, 13)


def test_bad_elements_have_the_findings_that_are_written_down() -> None:
    result = CliRunner().invoke(command, [str(SAMPLES / "lint-bad")], standalone_mode=False)
    shown = [line.partition("/lint-bad/")[2] for line in result.stdout.splitlines()]
    assert shown == (SAMPLES / "lint-bad.expected").read_text().splitlines()
    assert result.return_value == 1


HOOK = "install.d/10-x"


@pytest.mark.parametrize(
    ("code", "file", "content", "line"),
    [
        ("shebang", HOOK, "#!/usr/bin/bash\n", 1),
        ("shebang", HOOK, "#!/bin/bash -e\n", 1),
        ("shebang", HOOK, "#!/bin/sh\n", 0),
        ("sete", HOOK, "#!/bin/bash\nset -u\n", 1),
        ("sete", HOOK, "#!/bin/bash\n  set -e\n", 1),
        ("sete", HOOK, "#!/bin/bash\nset -o pipefail # -e\n", 1),
        ("sete", HOOK, "#!/bin/bash\nset -o errexit\n", 0),
        ("sete", HOOK, "#!/bin/bash\nset -x -e\n", 0),
        ("sete", HOOK, "#!/bin/sh\n", 0),
        ("setu", HOOK, "#!/bin/bash\nset -e\n", 1),
        ("setu", HOOK, "#!/bin/bash\nset -eux\n", 0),
        ("setpipefail", HOOK, "#!/bin/bash\nset -eu\n", 1),
        ("setpipefail", HOOK, "#!/bin/bash\nset -eu -o pipefail\n", 0),
        ("setpipefail", HOOK, "#!/bin/bash\nset -euo pipefail\n", 0),
        ("dibdebugtrace", HOOK, "#!/bin/bash\n", 1),
        ("dibdebugtrace", HOOK, BASH, 0),
        ("indent", HOOK, f"{BASH}if :; then\n  :\nfi\n", 5),
        ("indent", HOOK, f"{BASH}if :; then\n    if :; then\n        :\n    fi\nfi\n", 0),
        ("indent", HOOK, f"{BASH}cat <<A - <<-'B'\n  a\nA\n  b\n\tB\n  :\n", 9),
        ("indent", HOOK, f"{BASH}cat <<< A\n  :\n", 5),
        ("indent", HOOK, f"{BASH}# as in <<EOF\n  :\n", 5),
        ("indent", HOOK, "#!/usr/bin/python3\nif 1:\n  pass\n", 0),
        ("split-export", HOOK, f'{BASH}\nexport A="$(date)"\n', 5),
        ("split-export", HOOK, f"{BASH}export A=`date`\n", 4),
        ("split-export", HOOK, f"{BASH}# export A=$(date)\nexport B=$((1))\nA=$(date)\nexport A\n", 0),
        ("split-export", "environment.d/10-x", "export A=$(date)\n", 1),
        ("which", HOOK, f"{BASH}if ! which yum; then :; fi\n", 4),
        ("which", HOOK, f'{BASH}YUM="$(which yum)"\n', 4),
        ("which", HOOK, f"{BASH}sudo which yum\n", 4),
        ("which", HOOK, f"{BASH}echo the one which we want\n# which yum\nwhich yum # dib-lint: which\n", 0),
        ("safe_sudo", "root.d/10-x", f"{BASH}sudo rm -rf /\n", 4),
        ("safe_sudo", "root.d/10-x", f"{BASH}sudo rm -rf \\\n  /var\n", 4),
        ("safe_sudo", "root.d/10-x", f"{BASH}sudo rm -rf \\\n    $TARGET_ROOT/var\n", 0),
        ("safe_sudo", "root.d/10-x", f"{BASH}# sudo rm\nsudo rm x # dib-lint: safe_sudo\ninstall-packages sudo x\n", 0),
        ("safe_sudo", HOOK, f"{BASH}sudo rm -rf /var/cache\n", 0),
        ("env-trace", "environment.d/10-x", "export A=1\nset -x\n", 2),
        ("env-trace", "environment.d/10-x", "# no set -x here\n", 0),
        ("python", "bin/tool", "#!/usr/bin/python3\n\nif:\n", 3),
        ("python", "bin/tool", "#!/usr/bin/python3\nprint(1)\n", 0),
        ("tabindent", HOOK, f"{BASH}\n\t:\n", 5),
        ("tabindent", HOOK, f"{BASH}:\t# a tab inside\n", 0),
        ("tabindent", "static/Makefile", "all:\n\ttrue\n", 0),
        ("newline", HOOK, f"{BASH}:", 4),
        ("newline", "source-repository-x", "x git /x https://x", 1),
        ("newline", "static/x", "no script", 0),
        ("mddocs", "NOTES.md", "# x\n", 1),
        ("yaml", "package-installs.yaml", "a:\n  b: [\n", 3),
        ("yaml", "block-device-default.yaml", "a: 1\n---\nb: 2\n", 2),
        ("yaml", "static/x.yaml", "a: 1\n---\nb: !Own 2\n", 0),
        ("yaml", "static/x.yaml", "a: '\n", 2),
        ("yaml", "svc-map", "x: {default: y\n", 2),
        ("json", "pkg-map", '{\n"default": {},}\n', 2),
        ("json", "static/x.json", "{", 1),
        ("duplicate-key", "package-installs.yaml", "a:\n  phase: install.d\na:\n", 3),
        ("duplicate-key", "pkg-map", '{\n\t"default": {"a": "b",\n\t"a": "c"}}\n', 3),
        ("duplicate-key", "package-installs.yaml", "x: &x {arch: amd64}\na: {<<: *x}\nb: {<<: *x}\n", 0),
        ("package-installs", "package-installs.yaml", "- a\n", 1),
        ("package-installs", "package-installs.yaml", "a:\n  fase: install.d\n", 2),
        ("package-installs", "package-installs.yaml", "a:\n  - phase: root.d\n", 2),
        ("package-installs", "package-installs.yaml", "a:\n  arch: amd64\n  not-arch: arm64\n", 3),
        ("package-installs", "package-installs.yaml", "a:\n  arch: amd64, arm64\n", 2),
        ("package-installs", "package-installs.yaml", "a:\n  build-only: false\n", 2),
        ("package-installs", "package-installs.yaml", "a:\n  when:\n    - ARCH = x\n    - ARCH == x y\n    - so\n", 5),
        ("package-installs", "package-installs.json", '{"a": {"phase": "post-install.d", "uninstall": true}}', 0),
        ("package-installs", "package-installs.yaml", "# nothing\n", 0),
        ("when-unset", "package-installs.yaml", "a:\n  when:\n    - ARCH = x\n    - NO_SUCH != x\n", 4),
        ("when-unset", "package-installs.yaml", "a:\n  when: DISTRO_NAME = x\n", 0),
        ("pkg-map", "pkg-map", '{"default": {"a": ["b"]}}\n', 1),
        ("pkg-map", "pkg-map", '{\n "distro": {"penguin": {"a": "b"}},\n "distros": {}}\n', 3),
        ("pkg-map", "pkg-map", '{"family": {"redhat": {"a": ""}}}\n', 0),
        ("svc-map", "svc-map", "a:\n  default: [b]\n", 2),
        ("svc-map", "svc-map", "a:\n  default: b\n", 0),
        ("deps-sorted", "element-deps", "b\na\n", 2),
        ("unknown-dependency", "element-deps", "a-name-that-is-nowhere\n", 1),
        ("unknown-dependency", "element-deps", "operating-system\n", 0),
        ("dependency-cycle", "element-deps", "e\n", 1),
    ],
)
def test_rule(tmp_path: Path, code: str, file: str, content: str, line: int) -> None:
    scripts = ("install.d/10-x", "root.d/10-x", "bin/tool")
    directory = element(tmp_path, {file: content}, executable=scripts)
    (tmp_path / "os").mkdir()
    (tmp_path / "os" / "element-provides").write_text("operating-system\n")
    assert found(directory, code) == ([(Path(file).name, line)] if line else [])


@pytest.mark.parametrize(
    ("code", "file", "content", "is_executable", "expected"),
    [
        ("executable", "bin/tool", BASH, False, True),
        ("executable", "bin/tool", BASH, True, False),
        ("executable", "install.d/10-data", "no script\n", False, True),
        ("executable", "install.d/data", "no hook\n", False, False),
        ("executable", "install.d/package-installs-x", "older form\n", False, False),
        ("executable", "environment.d/10-x.bash", "export A=1\n", False, False),
        ("env-executable", "environment.d/10-x.bash", "export A=1\n", True, True),
        ("env-executable", "environment.d/10-x.bash", "export A=1\n", False, False),
        ("hook-name", "install.d/10-x.sh", BASH, True, True),
        ("hook-name", "install.d/10-x.conf", "data\n", False, False),
        ("hook-name", "install.d/below/10-x.sh", BASH, True, False),
        ("hook-name", "bin/x.sh", BASH, True, False),
        ("hook-name", "environment.d/10 x", "export A=1\n", False, True),
        ("hook-name", "environment.d/10-x.bash", "export A=1\n", False, False),
    ],
)
def test_rule_about_modes_and_names(
    tmp_path: Path, code: str, file: str, content: str, is_executable: bool, expected: bool
) -> None:
    directory = element(tmp_path, {file: content}, executable=(file,) if is_executable else ())
    assert found(directory, code) == ([(Path(file).name, 1)] if expected else [])


def test_a_missing_readme(tmp_path: Path) -> None:
    element(tmp_path, {"element-deps": ""})
    (tmp_path / "e" / "README.rst").unlink()
    assert found(tmp_path, "readme") == [("README.rst", 1)]


def test_the_variables_of_dependencies_are_known_in_when(tmp_path: Path) -> None:
    element(tmp_path, {"package-installs.yaml": "p:\n  when: FAR = 1\n", "element-deps": "near\n"})
    element(tmp_path, {"element-deps": "far\n"}, name="near")
    element(tmp_path, {}, name="far")
    assert found(tmp_path) == [("when-unset", 2)]
    for text in ("export FAR=1\n", "FAR=1\nexport FAR\n", ": ${FAR:=1}\nexport FAR\n", "declare -x FAR=1\n"):
        element(tmp_path, {"environment.d/10-far.bash": text}, name="far")
        assert found(tmp_path) == []


def test_a_cycle_is_told_once(tmp_path: Path) -> None:
    for name, deps in (("c", "a\n"), ("a", "b\n"), ("b", "c\n"), ("d", "a\n")):
        element(tmp_path, {"element-deps": deps}, name=name)
    (finding,) = lint([tmp_path]).findings
    assert finding.path == tmp_path / "a" / "element-deps"
    assert finding.message == "depends on itself: a -> b -> c -> a"


def test_elements_that_go_together_bring_different_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        element(tmp_path, {HOOK: BASH, "static/etc/x": ""}, executable=(HOOK,), name=name)
    assert lint([tmp_path]).findings == ()
    (finding,) = lint([tmp_path], combinations=[["one", "two"]]).findings
    assert (finding.path, finding.code) == (tmp_path / "two" / HOOK, "duplicate-hook")
    assert finding.message == f"element two brings {HOOK}, and so does {tmp_path / 'one' / HOOK}"
    with pytest.raises(UnknownElement):
        lint([tmp_path], combinations=[["one", "three"]])


class TestWhatIsLookedAt:
    def test_elements_an_element_or_a_repository(self, tmp_path: Path) -> None:
        element(tmp_path / "elements", {HOOK: "#!/bin/sh\n"}, name="a")
        element(tmp_path / "elements", {"element-deps": "a\n"}, name="b")
        assert found(tmp_path) == found(tmp_path / "elements") == found(tmp_path / "elements" / "a")
        assert found(tmp_path / "elements" / "b") == []  # it may depend on its neighbours

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(ElementError, match="there are no elements"):
            lint([tmp_path])
        with pytest.raises(ElementError, match="is not there"):
            lint([tmp_path / "nowhere"])

    def test_one_file(self, tmp_path: Path) -> None:
        place = tmp_path / "e"
        element(tmp_path, {HOOK: "#!/bin/sh\n", "x.md": "", "static/environment.d/x": "#!/bin/sh\n"})
        assert {finding.code for finding in lint([place / HOOK]).findings} == {"executable"}
        report = lint([place / "x.md", place / "static/environment.d/x"])
        assert [(finding.path.name, finding.code) for finding in report.findings] == [
            ("x", "executable"),
            ("x.md", "mddocs"),
        ]
        assert (report.elements, report.files) == (1, 2)
        with pytest.raises(ElementError, match="is in no element"):
            lint([SAMPLES / "lint-bad.expected"])

    def test_binaries_and_leavings_are_let_be(self, tmp_path: Path) -> None:
        element(tmp_path, {"bin/x~": "#!/bin/bash\n", "bin/__pycache__/x.pyc": "#!/bin/bash\n"})
        (tmp_path / "e" / "bin" / "binary").write_bytes(b"#!/bin/bash\n\0")
        (tmp_path / "e" / "bin" / "binary").chmod(0o755)
        (tmp_path / "e" / "bin" / "dangling").symlink_to("nowhere")
        assert found(tmp_path) == []

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        element(tmp_path, {})
        (tmp_path / "e" / "pkg-map").write_bytes(b'{"default": {"\xff": "x"}}')
        assert found(tmp_path, "json") == [("pkg-map", 1)]
        (tmp_path / "e" / "element-deps").write_bytes(b"\xff\n")
        with pytest.raises(FileError, match="not UTF-8"):
            lint([tmp_path], combinations=[["e"]])


class TestExclusions:
    def test_for_a_file(self, tmp_path: Path) -> None:
        script = "#!/bin/bash\n# dib-lint: disable=sete setu\n# dib-lint: disable=dibdebugtrace,setpipefail\n  :\n"
        assert found(element(tmp_path, {HOOK: script}, executable=(HOOK,))) == [("indent", 4)]

    @pytest.mark.parametrize("name", ["tox.ini", "setup.cfg"])
    def test_for_a_repository(self, tmp_path: Path, name: str) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / name).write_text("[testenv]\ncommands = x {posargs} %s\n[dib-lint]\nignore = sete setu\n  indent\n")
        directory = element(tmp_path / "elements", {HOOK: "#!/bin/bash\n  :\n"}, executable=(HOOK,))
        assert found(directory) == [("dibdebugtrace", 1), ("setpipefail", 1)]

    def test_not_from_above_the_repository(self, tmp_path: Path) -> None:
        (tmp_path / "tox.ini").write_text("[dib-lint]\nignore = mddocs\n")
        (tmp_path / "repository" / ".git").mkdir(parents=True)
        assert found(element(tmp_path / "repository", {"x.md": ""})) == [("mddocs", 1)]

    def test_a_broken_configuration_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "tox.ini").write_text("[dib-lint]\nignore = a\nnonsense\n")
        with pytest.raises(FileError, match=r"tox\.ini:3"):
            lint([element(tmp_path, {})])

    @pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
    def test_what_git_ignores(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        directory = element(tmp_path / "elements", {"x.md": "", "y.md": ""})
        (tmp_path / ".gitignore").write_text("x.md\n")
        assert found(directory, "mddocs") == [("y.md", 1)]
        (tmp_path / ".gitignore").write_text("elements\n")
        assert len(found(directory, "mddocs")) == 2  # whoever asks for an ignored directory means it


class TestCommand:
    def run(self, *args: str) -> Result:
        return CliRunner().invoke(command, args, standalone_mode=False)

    def test_nothing_found(self) -> None:
        result = self.run(str(SAMPLES / "lint-good"))
        assert (result.return_value, result.stdout) == (0, "")
        assert result.stderr == "nothing found in 2 elements, 13 files\n"

    def test_paths_are_relative_to_where_the_user_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(element(tmp_path, {"x.md": ""}))
        assert self.run(".").stdout.startswith("e/x.md:1: mddocs: ")

    def test_json(self) -> None:
        findings = json.loads(self.run(str(SAMPLES / "lint-bad"), "--format", "json").stdout)
        assert len(findings) == len((SAMPLES / "lint-bad.expected").read_text().splitlines())
        assert set(findings[0]) == {"file", "line", "code", "message"}

    def test_github(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(element(tmp_path, {"root.d/1,0": f"{BASH}sudo echo 100%\n"}, executable=("root.d/1,0",)))
        assert "::error file=e/root.d/1%2C0,line=4,title=safe_sudo::potentially unsafe sudo: sudo echo 100%25\n" in (
            self.run(".", "--format", "github").stdout
        )

    def test_names_of_elements(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        element(tmp_path / "more", {"x.md": ""}, name="mine")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ELEMENTS_PATH", str(tmp_path / "more"))
        assert self.run("mine").stdout.startswith("more/mine/x.md:1: mddocs: is Markdown")
        assert self.run("vm").stderr.startswith("nothing found in 1 element, ")
        error = self.run("mime").exception
        assert isinstance(error, ElementError) and "'mime' is neither here nor an element" in str(error)
        assert "mine" in error.hint

    def test_together(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            element(tmp_path, {HOOK: BASH}, executable=(HOOK,), name=name)
        assert self.run(str(tmp_path), "--together", "one two").return_value == 1
        assert self.run(str(tmp_path)).return_value == 0

    def test_the_rules_are_told(self) -> None:
        printed = self.run("--rules").stdout
        assert [line.split()[0] for line in printed.splitlines()] == list(codes())


def test_every_rule_says_what_it_asks_for_and_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "lint.rst").read_text()
    for code, text in codes().items():
        assert text.endswith(".")
        assert f"``{code}``\n    {text}\n" in page
