"""What elements depend on, for scripts that ask: ``python $_LIB/element-info.py [--env] ELEMENT...``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

import yaml

from dib_py.element import Catalog, split_elements_path
from dib_py.errors import DibError
from dib_py.resolve import resolve


def main() -> int:
    parser = argparse.ArgumentParser(prog="element-info", description=__doc__)
    parser.add_argument("--env", "-e", action="store_true", help="print it as variables and a function for bash")
    parser.add_argument("elements", nargs="+")
    arguments = parser.parse_args()
    try:
        catalog = Catalog.load(split_elements_path(os.environ.get("ELEMENTS_PATH", "")))
        elements = resolve(catalog, arguments.elements).elements
    except DibError as error:
        print(f"element-info: {error}", file=sys.stderr)
        return 1
    paths = {element.name: str(element.path) for element in elements}
    if not arguments.env:
        print(" ".join(paths))
        return 0
    pairs = " ".join(f"[{name}]={path}" for name, path in sorted(paths.items()))
    print(f"export IMAGE_ELEMENT={shlex.quote(' '.join(paths))}")
    print(f"export IMAGE_ELEMENT_YAML={shlex.quote(yaml.safe_dump(paths))}")
    print("function get_image_element_array {")
    print(f"    echo {shlex.quote(pairs)}")
    print("};")
    print("export -f get_image_element_array;")
    return 0


if __name__ == "__main__":
    sys.exit(main())
