"""The pages of the element reference: what each element's README.rst says, and what its other files do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from dib_py.describe import Description, Package, describe
from dib_py.element import BASE_IMAGE_FILE, Catalog, Element
from dib_py.packages import package_caches, pkg_map, svc_map
from dib_py.packages.declarations import read_either
from dib_py.phases import BY_DIRECTORY

_EXPORT = re.compile(r"\bexport ([A-Za-z_]\w*)(?:=(\S+(?:[^\n;]*\})?))?")


def element_pages(catalog: Catalog) -> dict[str, str]:
    """Text by file name, for all elements, and ``index.rst``."""
    found = [describe(catalog, element.name) for element in catalog]
    descriptions = [description for description in found if isinstance(description, Description)]
    pages = {f"{description.name}.rst": _page(catalog, description) for description in descriptions}
    return {**pages, "index.rst": _index(descriptions)}


def exported(element: Element) -> dict[str, str]:
    """The variables that an element's environment.d exports, with what they are set to as it stands there."""
    found: dict[str, str] = {}
    for path in element.environment_files:
        for line in path.read_text().splitlines():
            if not line.lstrip().startswith("#"):
                for name, value in _EXPORT.findall(line):
                    found[name] = found.get(name) or value
    return found


def _index(descriptions: Iterable[Description]) -> str:
    rows = [(f":doc:`{found.name}`", _escaped(found.summary)) for found in descriptions]
    names = "".join(f"   {found.name}\n" for found in descriptions)
    return (
        "Element reference\n=================\n\n"
        "What the elements' own files say: each page is a README, and below it what is in the element.\n\n"
        f"{_table((24, 76), ('Element', 'What it does'), rows)}\n"
        f".. toctree::\n   :hidden:\n\n{names}"
    )


def _page(catalog: Catalog, found: Description) -> str:
    element = catalog.elements[found.name]
    sections = [
        ("Its place among the others", _place(catalog, found)),
        ("Hooks", _hooks(found)),
        ("Packages", _packages(element, found.packages)),
        ("Services", _services(element)),
        ("Variables that it sets", _environment(element)),
        ("Other files", _files(element)),
    ]
    text = (element.path / "README.rst").read_text().rstrip("\n")
    for title, body in sections:
        if body:
            text += f"\n\n{title}\n{'-' * len(title)}\n\n{body.rstrip()}"
    return f"{text}\n"


def _place(catalog: Catalog, found: Description) -> str:
    lines = []
    if found.operating_system:
        lines.append(":Kind: an operating system")
    distributions = catalog.elements[found.name].distributions
    if distributions:
        lines.append(f":For: {', '.join(sorted(distributions))}")
    for label, names in (("Needs", found.deps), ("Provides", found.provides), ("Needed by", found.needed_by)):
        if names:
            lines.append(f":{label}: {', '.join(_link(catalog, name) for name in sorted(names))}")
    return "\n".join(lines)


def _link(catalog: Catalog, name: str) -> str:
    return f":doc:`{name}`" if catalog.get(name) else f"``{name}``"


def _hooks(found: Description) -> str:
    rows = [
        (f"``{directory}``", BY_DIRECTORY[directory].side.value, ", ".join(f"``{name}``" for name in names))
        for directory, names in found.hooks.items()
    ]
    return _table((22, 10, 68), ("Phase", "Where", "Hooks, in their order"), rows) if rows else ""


def _packages(element: Element, packages: Iterable[Package]) -> str:
    names = pkg_map.PackageMap.read(element)
    rows = []
    for package in packages:
        when = "; ".join(f"{key}: {_condition(value)}" for key, value in package.conditions.items())
        other = _elsewhere(names.document.data, package.name) if names else ""
        rows.append((f"``{package.name}``", f"``{package.phase}``", _escaped(when), other))
    return _table((22, 18, 30, 30), ("Package", "Phase", "If", "Called elsewhere"), rows) if rows else ""


def _condition(value: object) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def _elsewhere(sections: dict[str, dict[str, object]], name: str) -> str:
    """What a package map calls a package, from the particular to the general."""
    said = []
    for section in ("release", "distro", "family"):
        for where, value in _leaves(sections.get(section, {}), name):
            said.append(f"{' '.join(where)}: ``{value}``" if value else f"{' '.join(where)}: none")
    default = sections.get("default", {}).get(name, name)
    if default != name:
        said.append(f"else ``{default}``" if default else "else none")
    return ", ".join(said)


def _leaves(tree: object, name: str) -> Iterator[tuple[list[str], str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, dict):
                for where, found in _leaves(value, name):
                    yield [key, *where], found
            elif key == name:
                yield [], str(value)


def _services(element: Element) -> str:
    path = element.path / svc_map.FILE
    if not path.is_file():
        return ""
    rows = []
    for service, places in (read_either(path).data or {}).items():
        names = (
            [f"{where}: {_names(value)}" for where, value in places.items()] if isinstance(places, dict) else [places]
        )
        rows.append((f"``{service}``", ", ".join(map(str, names))))
    return _table((28, 72), ("Service", "Names"), rows)


def _names(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_names(found)}" for key, found in value.items())
    values = value if isinstance(value, list) else [value]
    return " ".join(f"``{name}``" for name in values)


def _environment(element: Element) -> str:
    rows = [(f"``{name}``", f"``{value}``" if value else "") for name, value in exported(element).items()]
    return _table((40, 60), ("Variable", "Set to"), rows) if rows else ""


def _files(element: Element) -> str:
    """What else it has, by what it is there for."""
    lines = []
    if element.base_image:
        base = read_either(element.base_image).data
        lines.append(f":``{BASE_IMAGE_FILE}``: " + "; ".join(f"{key}: ``{value}``" for key, value in base.items()))
    caches = element.path / package_caches.FILE
    if caches.is_file():
        lines.append(f":``{caches.name}``: " + ", ".join(f"``{name}``" for name in read_either(caches).data))
    if element.bootstrap_programs:
        lines.append(":``bootstrap-programs``: " + ", ".join(f"``{name}``" for name in element.bootstrap_programs))
    known = {
        "bootstrap-programs",
        "distributions",
        "README.rst",
        "element-deps",
        "element-provides",
        "os-family",
        BASE_IMAGE_FILE,
        package_caches.FILE,
    }
    known |= {pkg_map.FILE, svc_map.FILE, "package-installs.yaml", "package-installs.json"}
    for path in sorted(element.path.iterdir()):
        if path.name in known or path.name in BY_DIRECTORY or path.name == "environment.d":
            continue
        inside = (
            sorted(str(file.relative_to(path)) for file in path.rglob("*") if _counts(file)) if path.is_dir() else []
        )
        if inside or path.is_file():
            lines.append(f":``{path.name}``: " + (", ".join(f"``{name}``" for name in inside) or "a file"))
    return "\n".join(lines)


def _counts(file: Path) -> bool:
    return (file.is_file() or file.is_symlink()) and "__pycache__" not in file.parts


def _escaped(text: str) -> str:
    return re.sub(r"([*`|\\_])", r"\\\1", text)


def _table(widths: tuple[int, ...], head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    for row in (head, *rows):
        lines += [f"   {'*' if not number else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
