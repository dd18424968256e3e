"""``dib-py completion SHELL``: completion scripts, made from the table of settings.

Element names are not written into the script: it lists the directories of ``ELEMENTS_PATH`` and the built-in ones when
the key is pressed, so that it stays right, and quick, without starting Python.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dib_py.cli import SUBCOMMANDS
from dib_py.cli.options import ONE_OFFS
from dib_py.extensions import CHECKSUMS, FORMATS, TARGETS
from dib_py.phases import STOPS
from dib_py.settings import table

FILES, DIRECTORIES = "files", "directories"
# what follows a subcommand; after that come files
WORDS = {
    "completion": ("bash", "zsh", "fish"),
    "layers": ("ls", "show", "rm", "gc", "verify", "export", "import"),
}

LOOKING = ("verify", "inspect", "diff", "lint")  # with options of their own; what they take besides is files


@dataclass(frozen=True)
class Completed:
    """An option as completion sees it; ``values`` are words, or say that files or directories are meant.

    With ``optional`` a value follows only after ``=``.
    """

    names: tuple[str, ...]
    help: str
    takes_value: bool
    values: tuple[str, ...] = ()
    optional: bool = False


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(dib-py completion bash)"      in ~/.bashrc
    zsh:   eval "$(dib-py completion zsh)"       in ~/.zshrc, after compinit
    fish:  dib-py completion fish | source       in ~/.config/fish/config.fish
    """
    click.echo({"bash": bash, "zsh": zsh, "fish": fish}[shell](built_in_elements()), nl=False)


def built_in_elements() -> Path:
    """The directory of the elements that dib-py brings."""
    from dib_py.element import builtin_elements_dir

    return builtin_elements_dir()


def options() -> Iterator[Completed]:
    yield Completed(("-h", "--help"), "show the help", takes_value=False)
    yield Completed(("--version",), "show the version", takes_value=False)
    for setting in table():
        if setting.kind == "one-off":
            for name, (_, text) in ONE_OFFS.items():
                yield Completed((name,), text, True, () if name == "--root-password" else (FILES,))
        elif setting.kind == "checksum":
            yield Completed(setting.options, setting.help, False, CHECKSUMS, optional=True)
        elif setting.options:
            yield Completed(setting.options, setting.help, setting.takes_value, _values(setting.name, setting.choices))


def options_of(command: str) -> list[Completed]:
    """Those of one of the :data:`LOOKING`, as click has them."""
    found: click.Command = importlib.import_module(f"dib_py.cli.{command}").command
    with click.Context(found, **found.context_settings) as context:
        params = [param for param in found.get_params(context) if isinstance(param, click.Option)]
    return [
        Completed(tuple(one.opts), one.help or "", not one.is_flag, () if one.is_flag else _of_option(command, one))
        for one in params
    ]


def _of_option(command: str, option: click.Option) -> tuple[str, ...]:
    if isinstance(option.type, click.Choice):
        return tuple(map(str, option.type.choices))
    if command == "verify" and option.name in ("checks", "profile"):
        from dib_py.verify import choice

        known = choice.known()
        profiles = {profile for check in known for profile in check.profiles}
        return tuple(check.name for check in known) if option.name == "checks" else tuple(sorted(profiles))
    return (FILES,) if option.metavar == "FILE" else ()


def _names(options: Sequence[Completed]) -> str:
    return " ".join(name for option in options for name in option.names)


def _values(name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    if choices:
        return choices
    return {
        "image_types": FORMATS,
        "target": TARGETS,
        "install_type": ("source", "package"),
        "breakpoints": STOPS,
        "base": (FILES,),
        "ca_bundle": (FILES,),
        "logfile": (FILES,),
        "image_name": (FILES,),
        "cache_dir": (DIRECTORIES,),
        "cache_from": (DIRECTORIES,),
        "tmp_dir": (DIRECTORIES,),
    }.get(name, ())


def bash(built_in: Path) -> str:
    return f"""\
# bash completion of dib-py
_dib_py_elements() {{
    local directory directories
    IFS=: read -ra directories <<< "${{ELEMENTS_PATH:-}}"
    for directory in "${{directories[@]}}" {shlex.quote(str(built_in))}; do
        [ -d "$directory" ] && find -L "$directory" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -printf '%f\\n'
    done
}}
_dib_py() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words='' joined='' own=''
    COMPREPLY=()
    if [ "$word" = = ]; then
        word='' joined=1
    elif [ "$before" = = ]; then
        joined=1 before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    if [ "$COMP_CWORD" -ge 2 ]; then
        case ${{COMP_WORDS[1]}} in
{_bash_words()}
        esac
        case "${{COMP_WORDS[1]}} $before" in
{_bash_own_values()}
        esac
        if [ -n "$own" ] && [[ $word == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$own" -- "$word")
            return
        elif [ -n "$own" ]; then
            compopt -o filenames 2> /dev/null || :
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
        fi
        if [ -n "$words" ] && [ "$COMP_CWORD" -eq 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
            return
        elif [ -n "$words" ]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
        fi
    fi
    case $before in
{_bash_values()}
    esac
    if [[ $word == -* ]]; then
        words={shlex.quote(" ".join(name for option in options() for name in option.names))}
    else
        words=$(_dib_py_elements)
        if [ "$COMP_CWORD" -eq 1 ] && [ "${{COMP_WORDS[0]##*/}}" = dib-py ]; then
            words+=" {" ".join(SUBCOMMANDS)}"
        fi
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word" | sort -u)
}}
complete -F _dib_py dib-py disk-image-create ramdisk-image-create
"""


def _bash_words() -> str:
    arms = [f"            {name}) words='{' '.join(words)}' ;;" for name, words in WORDS.items()]
    return "\n".join([*arms, *(f"            {name}) own='{_names(options_of(name))}' ;;" for name in LOOKING)])


def _bash_own_values() -> str:
    arms = []
    for command in LOOKING:
        for option in options_of(command):
            pattern = "|".join(f"'{command} {name}'" for name in option.names)
            if option.values and option.values != (FILES,):
                arms.append(f"            {pattern}) own=; words={shlex.quote(' '.join(option.values))}")
                arms.append('                mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"); return ;;')
            elif option.takes_value and not option.values:
                arms.append(f"            {pattern}) return ;;")
    return "\n".join(arms)


def _bash_values() -> str:
    arms = []
    free = []
    for option in options():
        pattern = "|".join(option.names)
        if option.values in ((FILES,), (DIRECTORIES,)):
            kind = "f" if option.values == (FILES,) else "d"
            # compopt fails where it is not bash itself that asks
            action = f'compopt -o filenames 2> /dev/null || :; mapfile -t COMPREPLY < <(compgen -{kind} -- "$word")'
        elif option.values:
            action = f'mapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(option.values))} -- "$word")'
        else:
            free += [pattern] if option.takes_value else []
            continue
        condition = '[ -z "$joined" ] || ' if option.optional else ""
        arms.append(f"        {pattern}) {condition}{{ {action}; return; }} ;;")
    return "\n".join([*arms, f"        {'|'.join(free)}) return ;;"])


def zsh(built_in: Path) -> str:
    specs = "\n".join(f"        {spec} \\" for option in options() for spec in _zsh_specs(option))
    commands = " ".join(shlex.quote(f"{name}:{text}") for name, text in SUBCOMMANDS.items())
    return f"""\
#compdef dib-py disk-image-create ramdisk-image-create
_dib_py_elements() {{
    local -a elements commands
    elements=(${{^${{(s.:.)ELEMENTS_PATH}}}}/*(N-/:t) {shlex.quote(str(built_in))}/*(N-/:t))
    commands=({commands})
    (( CURRENT == 2 )) && [[ ${{words[1]:t}} == dib-py ]] && _describe -t commands command commands
    _describe -t elements element elements
}}
_dib_py() {{
    case ${{words[2]}} in
{_zsh_words()}
    esac
    _arguments -s -S \\
{specs}
        '*:element:_dib_py_elements'
}}
compdef _dib_py dib-py disk-image-create ramdisk-image-create
"""


def _zsh_words() -> str:
    arm = "        {name}) (( CURRENT == 3 )) && compadd {words} || _files; return ;;"
    arms = [arm.format(name=name, words=" ".join(words)) for name, words in WORDS.items()]
    for name in LOOKING:
        specs = " ".join(spec for option in options_of(name) for spec in _zsh_specs(option))
        arms.append(f"        {name}) shift words; (( CURRENT-- )); _arguments -s {specs} '*:file:_files'; return ;;")
    return "\n".join(arms)


def _zsh_specs(option: Completed) -> Iterator[str]:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", r"\:")
    places: dict[tuple[str, ...], str] = {(FILES,): "_files", (DIRECTORIES,): "_files -/"}
    action = places.get(option.values, f"({' '.join(option.values)})")
    for name in option.names:
        value = f":value:{action if option.values else ' '}" if option.takes_value else ""
        if option.optional:
            name, value = f"{name}=-", f"::value:{action}"
        yield shlex.quote(f"*{name}[{text}]{value}")


def fish(built_in: Path) -> str:
    lines = [
        "# fish completion of dib-py",
        "function __dib_py_elements",
        f"    for directory in (string split : -- $ELEMENTS_PATH) {_fish_quote(str(built_in))}",
        "        for element in $directory/*/",
        "            string replace -r '.*/([^/]+)/$' '$1' $element",
        "        end",
        "    end",
        "end",
    ]
    for program in ("dib-py", "disk-image-create", "ramdisk-image-create"):
        lines.append(f"complete -c {program} -f -a '(__dib_py_elements)' -d element")
        for option in options():
            lines.append(f"complete -c {program} {_fish_option(option)}")
    for name, text in SUBCOMMANDS.items():
        lines.append(f"complete -c dib-py -n __fish_is_first_token -a {name} -d {_fish_quote(text)}")
    for name, words in WORDS.items():
        lines.append(f"complete -c dib-py -n '__fish_seen_subcommand_from {name}' -a '{' '.join(words)}'")
    for name in LOOKING:
        condition = f"-n '__fish_seen_subcommand_from {name}'"
        lines.append(f"complete -c dib-py {condition} -F")
        lines += [f"complete -c dib-py {condition} {_fish_option(option)}" for option in options_of(name)]
    return "\n".join(lines) + "\n"


def _fish_option(option: Completed) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    if option.takes_value or option.optional:
        words += ["-r" if option.values == (FILES,) else "-x"] if option.takes_value else []
        if option.values == (FILES,):
            words.append("-F")
        elif option.values == (DIRECTORIES,):
            words.append("-a '(__fish_complete_directories)'")
        elif option.values:
            words.append(f"-a {_fish_quote(' '.join(option.values))}")
    return " ".join([*words, "-d", _fish_quote(option.help)])


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
