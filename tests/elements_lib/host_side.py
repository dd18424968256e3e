"""A build's directories on the machine that builds, for tests of host-side hooks."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS = ROOT / "elements"


@dataclass
class Build:
    """A build's directories, with elements merged into its hooks."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.tree / "etc", self.tree / "tmp", self.hooks, self.cache):
            path.mkdir(parents=True)

    @property
    def tree(self) -> Path:
        return self.directory / "mnt"

    @property
    def hooks(self) -> Path:
        return self.directory / "hooks"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def merge(self, *elements: str) -> Build:
        for element in elements:
            shutil.copytree(ELEMENTS / element, self.hooks, dirs_exist_ok=True)
        return self

    def hook(self, name: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "LC_ALL": "C",
            "_LIB": str(ROOT / "dib_py" / "lib"),
            "TMP_BUILD_DIR": str(self.directory),
            "TMP_HOOKS_PATH": str(self.hooks),
            "TMP_MOUNT_PATH": str(self.tree),
            "TARGET_ROOT": str(self.tree),
            "DIB_IMAGE_CACHE": str(self.cache),
            "DIB_DEFAULT_INSTALLTYPE": "source",
            "DISTRO_NAME": "debian",
            "IMAGE_NAME": str(self.directory / "out/img"),
            **self.variables,
            **variables,
        }
        script = 'for f in "$TMP_HOOKS_PATH"/environment.d/*; do [ ! -f "$f" ] || . "$f"; done; exec "$0"'
        result = subprocess.run(
            ["/bin/bash", "-c", script, str(self.hooks / name)],
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result
