"""``dib-py elements [NAME]``: list the elements that can be seen, or show one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from dib_py import phases
from dib_py.describe import Description, Package, Virtual, describe
from dib_py.distributions import families
from dib_py.element import WINDOWS, Catalog, split_elements_path
from dib_py.readme import Variable


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(name: str | None, as_json: bool) -> None:
    """List the elements that can be seen, or show one of them.

    They are looked for in the directories that ELEMENTS_PATH names, then among those that come with dib-py. Those for
    Windows, and for both it and Linux, are marked.
    """
    catalog = Catalog.load(split_elements_path(os.environ.get("ELEMENTS_PATH", "")))
    if name is None:
        click.echo(_list_json(catalog) if as_json else _list_text(catalog))
        return
    found = describe(catalog, name)
    if as_json:
        click.echo(_json({"virtual": isinstance(found, Virtual), **dataclasses.asdict(found)}))
    else:
        click.echo(_virtual_text(found) if isinstance(found, Virtual) else _text(found))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str)


def _list_json(catalog: Catalog) -> str:
    fit = families(catalog)
    return _json(
        [
            {
                "name": element.name,
                "summary": element.description,
                "operating_system": element.is_operating_system,
                "os_families": fit[element.name],
                "path": element.path,
            }
            for element in catalog
        ]
    )


def _list_text(catalog: Catalog) -> str:
    width = max((len(element.name) for element in catalog), default=0)
    fit = families(catalog)
    lines = (
        f"{element.name:{width}}  {_marked(fit[element.name]):7}  {element.description}".rstrip() for element in catalog
    )
    return "\n".join(_fitted(line) for line in lines)


def _marked(found: tuple[str, ...]) -> str:
    """The families that an element is for; Linux alone, as most are, is not worth a word."""
    if WINDOWS not in found:
        return ""
    return "both" if len(found) > 1 else "Windows"


def _fitted(line: str) -> str:
    """Cut for a terminal; programs get the whole line."""
    columns = shutil.get_terminal_size().columns
    return f"{line[: columns - 1]}…" if sys.stdout.isatty() and len(line) > columns else line


def _virtual_text(found: Virtual) -> str:
    lines = [f"{found.name} is no element, but a name that elements provide."]
    return "\n".join([*lines, "", *_row("provided by", found.provided_by), *_row("needed by", found.needed_by)])


def _text(found: Description) -> str:
    sections = [
        [found.name],
        textwrap.wrap(found.text, 88),
        [
            *_row("where", (str(found.path),)),
            *_row("overrides", [str(path) for path in found.overrides]),
            *_row("provides", found.provides),
            *_row("needs", found.deps),
            *_row("on Windows", found.deps_for_windows or (() if found.deps_for_windows is None else ("nothing",))),
            *_row("needed by", found.needed_by),
            *_row("base image", [str(found.base_image)] if found.base_image else []),
            *_row("environment", found.environment),
        ],
        _titled("hooks, in the order of the build", _hook_lines(found)),
        _titled("for Windows, in the order of the build", _windows_lines(found)),
        _titled("packages", (f"{package.phase:15} {package.name}{_conditions(package)}" for package in found.packages)),
        _titled("variables", (line for variable in found.variables for line in _variable_lines(variable))),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _row(title: str, values: Any) -> list[str]:
    wrapped = textwrap.wrap(" ".join(values), 76, break_long_words=False, break_on_hyphens=False)
    return [f"{title if index == 0 else '':12} {line}" for index, line in enumerate(wrapped)]


def _titled(title: str, lines: Iterator[str]) -> list[str]:
    indented = [f"  {line}" for line in lines]
    return [f"{title}:", *indented] if indented else []


def _hook_lines(found: Description) -> Iterator[str]:
    for directory, names in found.hooks.items():
        side = phases.BY_DIRECTORY[directory].side.value
        for name in names:
            yield f"{directory:15} {side:6} {name}"


def _windows_lines(found: Description) -> Iterator[str]:
    for declared in found.for_windows:
        yield f"{declared.phase:15} {declared.kind:12} {declared.name}"


def _conditions(package: Package) -> str:
    said = ", ".join(f"{key}: {value}" for key, value in package.conditions.items())
    return f" ({said})" if said else ""


def _variable_lines(variable: Variable) -> Iterator[str]:
    said = [f"default: {variable.default}"] if variable.default else []
    said += [f"required: {variable.required}"] if variable.required else []
    yield f"{variable.name} ({'; '.join(said)})" if said else variable.name
    yield from textwrap.wrap(variable.description, 84, initial_indent="    ", subsequent_indent="    ")
