"""Lint finds what diskimage-builder's own ``dib-lint`` finds, and is content where that is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import diskimage_builder
import pytest

from dib_py.lint import lint

DIB_LINT = Path(sys.executable).parent / "dib-lint"
NEEDED = ("bash", "git", "file", "grep")

# what dib-lint prints, by our code for it
MESSAGES = {
    "readme": r"(\S+) lacks a README\.rst",
    "executable": r"(\S+) is not executable",
    "indent": r"(\S+) should use 4 spaces indent",
    "shebang": r"(\S+) : only use #!/bin/bash for scripts",
    "sete": r"(\S+) is not set -e",
    "setu": r"(\S+) is not set -u",
    "setpipefail": r"(\S+) is not set -o pipefail",
    "dibdebugtrace": r"(\S+) does not follow DIB_DEBUG_TRACE",
    "env-trace": r"Environment file (\S+) should not set tracing",
    "env-executable": r"Environment file (\S+) should not be marked as executable",
    "split-export": r"Split export and assignments in (\S+)",
    "safe_sudo": r"(\S+) : potentially unsafe sudo",
    "which": r"(\S+) : potential use of which",
    "tabindent": r"(\S+) contains tab characters",
    "newline": r"No newline at end of file: (\S+)",
    "mddocs": r"\.md docs found: (\S+)",
    "yaml": r"(\S+) is not a valid YAML file",
    "json": r"(\S+) is not a valid JSON file",
}


@pytest.mark.skipif(not DIB_LINT.exists(), reason="needs dib-lint beside the interpreter")
@pytest.mark.skipif(any(shutil.which(tool) is None for tool in NEEDED), reason=f"needs {', '.join(NEEDED)}")
@pytest.mark.timeout(120)
def test_what_dib_lint_finds_is_found(tmp_path: Path) -> None:
    elements = tmp_path / "diskimage_builder" / "elements"
    shutil.copytree(Path(__file__).parent.parent / "elements" / "lint-bad", elements)
    (elements / "ill-formed" / "element-deps").write_text("around\n")  # one that is not sorted ends dib-lint itself
    (elements / "ill-formed" / "bad.yaml").write_text("a: [\n")
    (elements.parent / "lib").mkdir()
    (elements.parent / "lib" / "empty").write_text("\n")
    # not a link: that would be the system's interpreter, without the libraries of this one
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "flake8").write_text("#!/bin/sh\n")  # not one of our rules
    (tmp_path / "flake8").chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [DIB_LINT], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    theirs = {
        (code, str((tmp_path / name).relative_to(elements)))
        for code, pattern in MESSAGES.items()
        for name in re.findall(pattern, done.stdout)
    }
    ours = set()
    for finding in lint([elements]).findings:
        relative = finding.path.relative_to(elements)
        ours.add((finding.code, str(relative.parent if finding.code == "readme" else relative)))
    assert set(MESSAGES) - {code for code, _ in theirs} == set()
    assert theirs - ours == set()


def test_diskimage_builders_own_elements_have_only_the_faults_that_they_have() -> None:
    elements = Path(diskimage_builder.__file__).parent / "elements"
    found = {(finding.code, str(finding.path.relative_to(elements))) for finding in lint([elements]).findings}
    assert found == {
        ("executable", "enable-serial-console/cleanup.d/99-fix-grub"),
        ("hook-name", "dhcp-all-interfaces/install.d/dhcp-all-interfaces.init"),
        ("hook-name", "dhcp-all-interfaces/install.d/dhcp-all-interfaces.sh"),
        ("unknown-dependency", "deploy-kexec/element-deps"),
    }
