"""Write the software bill of materials of an image: run by the element's hook, with nothing but Python itself."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import cyclonedx
import spdx
from document import Document
from table import read_packages, read_system

FORMATS = {"spdx": (spdx.render, "spdx.json"), "cyclonedx": (cyclonedx.render, "cdx.json")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="sbom")
    parser.add_argument("--packages", type=Path, required=True, help="table of the installed packages")
    parser.add_argument("--os-release", type=Path, required=True)
    parser.add_argument("--output", required=True, help="path of the documents, without .spdx.json and .cdx.json")
    parser.add_argument("format", nargs="+", choices=FORMATS)
    arguments = parser.parse_args()
    try:
        packages = tuple(read_packages(arguments.packages))
        moment = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    except (OSError, ValueError) as error:
        raise SystemExit(f"sbom: {error}") from error
    document = Document(Path(arguments.output).name, moment, read_system(arguments.os_release), packages)
    for name in arguments.format:
        render, suffix = FORMATS[name]
        path = Path(f"{arguments.output}.{suffix}")
        path.write_text(json.dumps(render(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: {len(packages)} packages")


if __name__ == "__main__":
    main()
