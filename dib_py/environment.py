"""What hooks see: the variables that diskimage-builder sets, in the phases where it sets them.

Everything that the caller exported is passed on, to the guest too, unless ``-c`` asks for a clean start. Where
diskimage-builder passes what can do no good there (``TMPDIR`` into the guest, a search path with a quoting slip), a
sensible value takes its place.
"""

from __future__ import annotations

import functools
import platform
import re
import secrets as random_source
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from dib_py import build_directory, phases, process
from dib_py.disk.layout import Layout
from dib_py.element import ENVIRONMENT_DIRECTORY as ENVIRONMENT_DIRECTORY
from dib_py.errors import HostError
from dib_py.hooks import MergedHooks, Resolved
from dib_py.phases import Phase, Side
from dib_py.secrets import Mask
from dib_py.settings import Settings
from dib_py.sourcing import Sourced as Sourced
from dib_py.sourcing import failure_of as failure_of
from dib_py.sourcing import parse_environment as parse_environment
from dib_py.sourcing import sourcing_script as sourcing_script
from dib_py.state import build_path
from dib_py.units import GIB, MIB

LIBRARY = Path(__file__).resolve().parent / "lib"
GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTALL_TYPE_FILE = "11-dib-install-type.bash"
LONGEST_SOURCING = 30.0  # seconds

# The library and -c: what is passed when everything else is not.
_KEPT = re.compile(r"DIB_.*|.*_proxy|.*_PROXY|PATH|HOME|TERM|ELEMENTS_PATH|TMPDIR|TMP_DIR|USER|LOGNAME|break|break_.*")
# sudo takes these away before diskimage-builder enters the guest, or they name files of this machine.
_NOT_IN_GUEST = re.compile(r"TMPDIR|VIRTUAL_ENV|BASH_ENV|ENV|LD_.*|BASH_FUNC_.*|XDG_RUNTIME_DIR")
# What a plan keeps from environment.d: start-up files that bash would run, and where temporary files go.
_WITHHELD = frozenset({"BASH_ENV", "ENV", "TMPDIR"})
_SOURCING_PROGRAMS = ("bash", "env", "base64")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_DEBIAN_ARCHITECTURES = {"ppc64le": "ppc64el", "i686": "i386", "i586": "i386"}

_DIE = '() {  local exitcode=$?\n set +o xtrace\n echo "$@"\n exit $exitcode\n}'


@dataclass(frozen=True)
class Places:
    """Where a build works, as its hooks see it: one fixed private path, so that keys and logs are stable."""

    build: Path = field(default_factory=build_path)

    @property
    def images(self) -> Path:
        return self.build / "image"

    @property
    def hooks(self) -> Path:
        return self.build / "hooks"

    @property
    def mount(self) -> Path:
        return self.build / build_directory.TREE_NAME

    @property
    def elements(self) -> Path:
        """Links to the built-in elements that the image is made of."""
        return self.build / build_directory.ELEMENTS


@dataclass(frozen=True)
class DiskFacts:
    """What hooks are told about the disk; ``devices`` and ``size`` (bytes) are known from block-device.d on."""

    root_label: str = ""
    root_fstype: str = ""
    boot_label: str = ""
    mountpoints: tuple[str, ...] = ("/",)
    size: int | None = None
    devices: Mapping[str, str] = field(default_factory=dict)
    base_image: str = ""  # where it comes from, as the plan says it
    moved: bool = False  # the base image's content is on a new disk

    @classmethod
    def of(cls, layout: Layout) -> DiskFacts:
        labels = {fs.mount_point: fs.label for fs in layout.mounted}
        root = layout.root
        return cls(root.label, root.type, labels.get("/boot", ""), tuple(str(fs.mount_point) for fs in layout.mounted))


def architecture(settings: Settings) -> str:
    """The image's architecture, in the spelling that diskimage-builder gives it on this machine."""
    if settings.arch:
        return settings.arch
    machine = platform.machine()
    if machine.startswith("armv"):
        return "armhf"
    known = dict(_ARCHITECTURES)
    if Path("/etc/debian_version").exists():
        known.update(_DEBIAN_ARCHITECTURES)
    return known.get(machine, machine)


def build_variables(
    settings: Settings,
    resolution: Resolved,
    phase: Phase,
    *,
    places: Places | None = None,
    disk: DiskFacts | None = None,
) -> dict[str, str]:
    """The environment of a phase, before its ``environment.d`` is sourced."""
    places = places or Places()
    disk = disk or DiskFacts()
    variables = inherited(settings)
    variables.update(_choices(settings))
    variables.update(_elements(settings, resolution, places))
    variables.update(_places(places, phase))
    variables.update(_disk(settings, disk, phase))
    variables["LC_ALL"] = "C"
    if phase.side is Side.GUEST:
        return for_guest(variables)
    variables["PATH"] = _with_sbin(variables.get("PATH", GUEST_PATH))
    variables.update(exported_functions(resolution))
    return variables


def inherited(settings: Settings) -> dict[str, str]:
    """What the caller's environment gives to hooks."""
    environ = {name: value for name, value in settings.environ.items() if name != "_"}
    if settings.clear_env:
        return {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}
    return environ


def for_guest(variables: Mapping[str, str]) -> dict[str, str]:
    """The same environment for a process in the guest."""
    kept = {name: value for name, value in variables.items() if not _NOT_IN_GUEST.fullmatch(name)}
    return {**kept, "PATH": GUEST_PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root", "PWD": "/"}


def exported_functions(resolution: Resolved) -> dict[str, str]:
    """The functions of host-side hooks, as bash passes them; in the guest diskimage-builder has lost them."""
    array = " ".join(f"[{element.name}]={shlex.quote(str(element.path))}" for element in resolution.elements)
    body = f"() {{  echo {shlex.quote(array + ' ')}\n}}"
    return {"BASH_FUNC_get_image_element_array%%": body, "BASH_FUNC_die%%": _DIE}


def install_type_text(settings: Settings) -> str:
    """The content of ``environment.d/11-dib-install-type.bash``, which appears between root.d and extra-data.d."""
    return f'export DIB_DEFAULT_INSTALLTYPE=${{DIB_DEFAULT_INSTALLTYPE:-"{settings.install_type}"}}\n'


def _choices(settings: Settings) -> dict[str, str]:
    """What the command line and the environment chose, and what is always set."""
    environ = settings.environ
    home = environ.get("HOME") or "/root"
    given = {
        "DIB_IMAGE_EXTRA_SIZE": _whole(settings.image_extra_size, MIB),
        "MAX_ONLINE_RESIZE": _whole(settings.max_online_resize, 1),
        "SKIP_BASE": "1" if settings.skip_base else "",
        "DOCKER_TARGET": settings.docker_target,
        "DIB_PACKAGES_EPOCH": settings.packages_epoch,
        "LOGFILE": str(settings.logfile or ""),
        "DIB_BLOCK_DEVICE_CONFIG": settings.block_device_config,
    }
    return {
        **{name: value for name, value in given.items() if value},
        "ARCH": architecture(settings),
        "IMAGE_NAME": settings.image_name,
        "IMAGE_TYPE": environ.get("IMAGE_TYPE") or "qcow2",
        "FS_TYPE": settings.fs_type,
        "DIB_ARGS": shlex.join(settings.argv),
        "DIB_ENV": _declared(environ),
        "DIB_IMAGE_CACHE": str(settings.cache_dir or f"{home}/.cache/image-create"),
        "DIB_LOCKFILES": environ.get("DIB_LOCKFILES") or f"{home}/.cache/dib/lockfiles",
        "DIB_PYTHON_EXEC": environ.get("DIB_PYTHON_EXEC") or sys.executable,
        "DIB_OFFLINE": "1" if settings.offline else "",
        "DIB_CHECKSUM": _checksum(settings.checksum),
        "DIB_NO_TMPFS": "1" if settings.no_tmpfs else "0",
        "DIB_MIN_TMPFS": settings.min_tmpfs,
        "DIB_DEBUG_TRACE": str(settings.trace),
        "OUT_IMAGE_PATH": "",
    }


def _elements(settings: Settings, resolution: Resolved, places: Places) -> dict[str, str]:
    paths = {element.name: str(element.path) for element in resolution.elements}
    # of the built-in elements only those of this image: diskimage-builder's package-installs reads every element of a
    # name that it finds there, also one that another one hides
    builtin = [places.elements] if any(element.is_builtin for element in resolution.elements) else []
    return {
        "IMAGE_ELEMENT": " ".join(paths),
        "IMAGE_ELEMENT_YAML": _as_yaml(tuple(paths.items())),
        "ELEMENTS_PATH": ":".join(map(str, (*settings.elements_path, *builtin))),
        "_LIB": str(LIBRARY),
    }


@functools.lru_cache(maxsize=8)
def _as_yaml(paths: tuple[tuple[str, str], ...]) -> str:
    """The paths by name; kept, because writing YAML takes longer than all else that a phase is told."""
    return yaml.safe_dump(dict(paths), default_flow_style=False, width=2**20)


def _places(places: Places, phase: Phase) -> dict[str, str]:
    variables = {
        "TMP_BUILD_DIR": str(places.build),
        "TMP_IMAGE_DIR": str(places.images),
        "TMP_HOOKS_PATH": str(places.hooks),
        "TMP_MOUNT_PATH": str(places.mount),
        "DIB_BLOCK_DEVICE_PARAMS_YAML": str(places.build / "block-device" / "params.yaml"),
    }
    if phase in (phases.ROOT, phases.CLEANUP):
        variables["TARGET_ROOT"] = str(places.mount)
    return variables


def _disk(settings: Settings, disk: DiskFacts, phase: Phase) -> dict[str, str]:
    order = phases.PHASES.index(phase)
    variables = {
        "DIB_ROOT_LABEL": disk.root_label,
        "DIB_ROOT_FSTYPE": disk.root_fstype or settings.fs_type,
        "DIB_BOOT_LABEL": disk.boot_label,
        "DIB_MOUNTPOINTS": "|".join(disk.mountpoints),
    }
    if disk.base_image:
        variables["DIB_BASE_IMAGE"] = disk.base_image
    if disk.moved:
        variables["DIB_BASE_IMAGE_MOVED"] = "1"
    if order >= phases.PHASES.index(phases.BLOCK_DEVICE):
        size = disk.size or settings.image_size
        if size is not None:
            variables["DIB_IMAGE_SIZE"] = str(size // 1024)  # KiB from here on: diskimage-builder changes the unit
    elif settings.image_size is not None:
        variables["DIB_IMAGE_SIZE"] = f"{settings.image_size / GIB:.10g}"
    if disk.devices and order >= phases.PHASES.index(phases.PRE_FINALISE):
        first = next(iter(disk.devices.values()))
        variables["IMAGE_BLOCK_DEVICE"] = disk.devices.get("image0", first)
        variables["IMAGE_BLOCK_DEVICES"] = "".join(f" [{name}]={path} " for name, path in disk.devices.items())
    return variables


def _whole(value: int | None, unit: int) -> str:
    return "" if value is None else f"{value / unit:.10g}"


def _checksum(kinds: tuple[str, ...]) -> str:
    if not kinds:
        return "0"
    return "1" if {"md5", "sha256"} <= set(kinds) else ",".join(kinds)


def _declared(environ: Mapping[str, str]) -> str:
    """The caller's ``DIB_*`` variables as ``declare -p`` prints them."""
    return "\n".join(
        'declare -x {}="{}"'.format(name, re.sub(r'([\\"$`])', r"\\\1", value))
        for name, value in sorted(environ.items())
        if name.startswith("DIB_") and name not in ("DIB_ARGS", "DIB_ENV")
    )


def _with_sbin(path: str) -> str:
    entries = path.split(":")
    return ":".join([*entries, *(d for d in ("/sbin", "/usr/sbin", "/usr/local/sbin") if d not in entries)])


def plan_environment(
    settings: Settings, resolution: Resolved, merged: MergedHooks, *, disk: DiskFacts | None = None
) -> dict[str, str]:
    """The host's environment after all ``environment.d`` files, as extra-data.d would see it.

    The files run once, in a bash without start-up files, in an empty directory that is gone afterwards; nothing else is
    kept from them, since a plan may change nothing. Raises FileError for the file and line that end the build.
    """
    variables = build_variables(settings, resolution, phases.EXTRA_DATA, disk=disk)
    origin = _environment_files(merged)
    with tempfile.TemporaryDirectory(prefix="dib-py-plan-") as scratch:
        hooks = Path(scratch) / "hooks"
        _link_environment(merged, origin, hooks)
        (hooks / ENVIRONMENT_DIRECTORY / INSTALL_TYPE_FILE).write_text(install_type_text(settings))
        sourced = _source([*origin, INSTALL_TYPE_FILE], hooks, variables)
        if sourced.variables is None:
            # what a file said before it failed is told, and it may have said a secret
            raise failure_of(replace(sourced, output=Mask.of(variables).line(sourced.output)), origin)
        if sourced.variables.get("TMPDIR") == scratch:
            del sourced.variables["TMPDIR"]
    withheld = {name: value for name, value in variables.items() if name in _WITHHELD}
    # what a file derives from its own place is what the build will have
    real = variables["TMP_HOOKS_PATH"]
    return {**withheld, **{name: value.replace(str(hooks), real) for name, value in sourced.variables.items()}}


def _environment_files(merged: MergedHooks) -> dict[str, Path]:
    prefix = f"{ENVIRONMENT_DIRECTORY}/"
    return {
        path[len(prefix) :]: entry.source
        for path, entry in merged.entries.items()
        if path.startswith(prefix) and "/" not in path[len(prefix) :] and entry.source.is_file()
    }


def _link_environment(merged: MergedHooks, files: Mapping[str, Path], hooks: Path) -> None:
    """The part of the hooks tree that files of environment.d may look at: themselves and their siblings."""
    (hooks / ENVIRONMENT_DIRECTORY).mkdir(parents=True)
    for name, source in files.items():
        if name != INSTALL_TYPE_FILE:
            (hooks / ENVIRONMENT_DIRECTORY / name).symlink_to(source)
    for path, entry in merged.entries.items():
        if "/" not in path and entry.kind == "file":
            (hooks / path).symlink_to(entry.source)


def _source(names: Iterable[str], hooks: Path, variables: Mapping[str, str]) -> Sourced:
    nonce = random_source.token_hex(8)
    scratch = str(hooks.parent)
    environment = {name: value for name, value in variables.items() if name not in _WITHHELD}
    environment.update(TMPDIR=scratch, TMP_HOOKS_PATH=str(hooks))
    script = sourcing_script(names, hooks / ENVIRONMENT_DIRECTORY, nonce, cwd=scratch)
    missing = [program for program in _SOURCING_PROGRAMS if shutil.which(program, path=environment.get("PATH")) is None]
    if missing:
        raise HostError(
            f"environment.d could not be sourced: {', '.join(missing)} not installed",
            hint="dib-py doctor lists what is needed",
        )
    try:
        printed = process.run(
            ["bash", "--noprofile", "--norc", "-c", script], env=environment, timeout=LONGEST_SOURCING
        )
    except process.CommandFailed as error:
        printed = error.output
    except HostError as error:
        raise HostError(f"environment.d could not be sourced: {error.message}", hint=error.hint) from error
    return parse_environment(printed.encode(), nonce)
