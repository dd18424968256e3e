"""Settings from a command line and the environment: the build's options, shared by every command that plans one.

A command that takes elements with the build's options, beside options of its own, is a click command of the class
:class:`SettingsCommand`; its callback gets the :class:`~dib_py.settings.Settings` as ``settings``::

    @click.command(cls=SettingsCommand)
    @click.option("--json", "as_json", is_flag=True, help="print JSON")
    def command(settings: Settings, as_json: bool) -> None: ...

Code that has no command calls :func:`parse`. The command line beats the environment, which beats the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dib_py.cli import getopt
from dib_py.cli.getopt import CommandLine, Given, Option, Value
from dib_py.cli.values import convert
from dib_py.errors import UsageError
from dib_py.extensions import CHECKSUMS, without_extension
from dib_py.settings import INVERTED, OneOff, Setting, Settings, table

ONE_OFFS = {
    "--run": ("SCRIPT", "run a script of this machine in the guest"),
    "--copy-in": ("LOCAL:DIR", "copy a file or directory into a directory of the guest"),
    "--root-password": ("PASSWORD", "set root's password; file:PATH reads it from a file"),
}

# Long options that diskimage-builder's own parser knows, whose abbreviations must therefore go on working.
CLASSIC = frozenset(
    {
        "--checksum",
        "--docker-target",
        "--help",
        "--image-cache",
        "--image-size",
        "--install-type",
        "--logfile",
        "--max-online-resize",
        "--min-tmpfs",
        "--mkfs-options",
        "--no-tmpfs",
        "--offline",
        "--qemu-img-options",
        "--ramdisk-element",
        "--root-label",
        "--version",
    }
)


def parse(argv: Sequence[str], environ: Mapping[str, str], *, ramdisk: bool = False) -> Settings:
    """The settings that a command line and an environment ask for; raises UsageError."""
    return to_settings(getopt.parse(argv, build_options()), environ, ramdisk=ramdisk)


def build_options() -> list[Option]:
    """Every option of a build, as the parser wants them."""
    options = []
    for setting in table():
        if setting.kind == "one-off":
            for name, (metavar, _) in ONE_OFFS.items():
                options.append(Option((name,), Value.REQUIRED, metavar, secret=name == "--root-password"))
        elif setting.options:
            classic = not CLASSIC.isdisjoint(setting.options)
            options.append(Option(setting.options, _value(setting), setting.metavar, classic))
    return options


def _value(setting: Setting) -> Value:
    if setting.kind == "checksum":
        return Value.OPTIONAL
    return Value.REQUIRED if setting.takes_value else Value.NONE


def to_settings(line: CommandLine, environ: Mapping[str, str], *, ramdisk: bool = False) -> Settings:
    """Settings from a command line that is read already; options that no setting has are left alone."""
    values = _from_environment(environ)
    by_option = {name: setting for setting in table() for name in setting.options}
    given: set[str] = set()
    for option in line.options:
        if option.name in by_option:
            _apply(by_option[option.name], option, values, given)
    values["image_name"] = _without_extension(values)
    # One positional may hold many names or none at all: Octavia passes its whole list as one, and empty strings.
    values["elements"] = tuple(" ".join(line.positionals).split())
    return Settings(**values, ramdisk=ramdisk, argv=line.shown, environ=dict(environ))


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in table():
        for name in setting.environment:
            if environ.get(name):
                value = convert(setting, environ[name], name)
                values[setting.name] = not value if setting.name in INVERTED else value
                break
    return values


def _apply(setting: Setting, option: Given, values: dict[str, Any], given: set[str]) -> None:
    """Put one option into the values; the first of a list replaces what the environment or the default says."""
    name = setting.name
    again = name in given
    given.add(name)
    if setting.kind == "flag":
        values[name] = not setting.default
    elif setting.kind == "count":
        values[name] = values.get(name, setting.default) + 1
    elif setting.kind == "one-off":
        values[name] = (*values.get(name, ()), _one_off(option))
    elif option.value is None:
        values[name] = CHECKSUMS
    else:
        value = convert(setting, option.value, option.name)
        if again and name in ("packages", "cache_from"):
            value = tuple(dict.fromkeys((*values[name], *value)))
        values[name] = value


def _one_off(option: Given) -> OneOff:
    argument = option.value or ""
    if option.name == "--run":
        if not Path(argument).is_file():
            raise UsageError(f"--run: there is no script '{argument}'")
    elif option.name == "--copy-in":
        source, _, directory = argument.rpartition(":")
        if not source or not directory.startswith("/"):
            raise UsageError(f"--copy-in takes LOCAL:DIR with an absolute directory of the guest, not '{argument}'")
        if not Path(source).exists():
            raise UsageError(f"--copy-in: there is no '{source}'")
        if Path(source).name in ("", ".."):
            raise UsageError(f"--copy-in takes a file or directory with a name of its own, not '{source}'")
    else:
        argument = _password(argument)
    return OneOff(option.name[2:], argument)


def _password(text: str) -> str:
    if not text.startswith("file:"):
        password = text
    else:
        try:
            password = Path(text[len("file:") :]).read_text().partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--root-password: the file can't be read: {_why(error)}") from error
    if not password:
        raise UsageError("--root-password: the password is empty")
    if set(password) & set("\r\n\0"):
        raise UsageError("--root-password: the password has more than one line, or a NUL in it")
    return password


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"{error.filename}: {error.strerror}"


def _without_extension(values: Mapping[str, Any]) -> str:
    name: str = values.get("image_name", "image")
    types = values.get("image_types", ("qcow2",))
    if len(types) == 1:
        name = without_extension(name, types[0])
    if not name or name.endswith("/"):
        raise UsageError("-o takes the name of the image file", hint="for example -o debian.qcow2")
    return name


class SettingsCommand(click.Command):
    """A click command whose arguments are the build's options and elements, beside its own options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        attributes.setdefault("context_settings", {})["help_option_names"] = ["-h", "--help"]
        super().__init__(*args, **attributes)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = [_as_option(param) for param in self.get_params(ctx) if isinstance(param, click.Option)]
        line = getopt.parse(args, [*own, *build_options()])
        mine = [given for given in line.options if given.option in own]
        words = [
            word for given in mine for word in ([given.name] if given.value is None else [given.name, given.value])
        ]
        super().parse_args(ctx, words)
        if not ctx.resilient_parsing:
            ctx.params["settings"] = to_settings(line, os.environ, ramdisk=ctx.info_name == "ramdisk-image-create")
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "ELEMENT..."]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for setting in table():
            groups.setdefault(setting.group, []).extend(_help_lines(setting))
        for title, lines in groups.items():
            with formatter.section(title):
                formatter.write_dl(lines)
        super().format_options(ctx, formatter)


def _as_option(param: click.Option) -> Option:
    names = (*param.opts, *param.secondary_opts)
    value = Value.NONE if param.is_flag or param.count else Value.REQUIRED
    return Option(names, value, param.metavar or "", classic=not CLASSIC.isdisjoint(names))


def _help_lines(setting: Setting) -> list[tuple[str, str]]:
    if setting.kind == "one-off":
        return [(f"{name} {metavar}", text) for name, (metavar, text) in ONE_OFFS.items()]
    metavar = "|".join(setting.choices) or setting.metavar
    variables = ", ".join(setting.environment)
    if not setting.options:
        return [(f"{variables}={metavar or '0|1'}", f"{setting.help} (environment only)")]
    separator = "" if metavar.startswith("[") and setting.kind == "checksum" else " "
    spelling = ", ".join(setting.options) + (separator + metavar if metavar else "")
    return [(spelling, f"{setting.help} [{variables}]" if variables else setting.help)]
