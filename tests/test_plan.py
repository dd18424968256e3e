"""Plans of sample elements: golden outputs, the schema, what is refused, what changes a key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dib_py.cli.plan import lines
from dib_py.element import Catalog
from dib_py.errors import DibError, ElementError, FileError, UsageError
from dib_py.hooks import list_hooks
from dib_py.plan import Plan, make_plan
from dib_py.plan_json import to_dict, to_json
from dib_py.resolve import NoOperatingSystem
from dib_py.settings import OneOff, Settings
from tests.files import write

HERE = Path(__file__).parent
SAMPLE = HERE / "elements" / "plan-basic"
GOLDEN = HERE / "golden"
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/root", "DIB_PACKAGES_EPOCH": "2026-01-01"}
SCHEMA = json.loads((files("dib_py") / "schema" / "plan.json").read_text())


# A Debian of fifty-two elements that go together, out of those that come with diskimage-builder.
def plan(
    *elements: str,
    at: Path = SAMPLE,
    environ: Mapping[str, str] | None = None,
    secret: bytes | None = None,
    **more: Any,
) -> Plan:
    everything = {**ENVIRON, **(environ or {})}
    epoch = everything["DIB_PACKAGES_EPOCH"]
    settings = Settings(elements=elements, arch="amd64", environ=everything, packages_epoch=epoch, **more)
    return make_plan(settings, Catalog.load([], builtin=at), secret=secret)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sample elements, to be changed."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "elements"))


def check_golden(name: str, text: str) -> None:
    """Compare with a kept output; DIB_PY_UPDATE_GOLDEN=1 keeps this one instead."""
    text = re.sub(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{12}$", "KEY", text.replace(str(SAMPLE), "ELEMENTS"), flags=re.M)
    file = GOLDEN / name
    if os.environ.get("DIB_PY_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def one_offs(tmp_path: Path) -> tuple[OneOff, ...]:
    script = tmp_path / "fix.sh"
    script.write_text("#!/bin/sh\necho fix\n")
    return (OneOff("run", str(script)), OneOff("copy-in", f"{script}:/opt"), OneOff("root-password", "hunter22"))


def test_the_plan_for_people() -> None:
    check_golden("plan-basic.txt", "\n".join(lines(plan("web", "frost", packages=("vim", "htop")))) + "\n")


def test_the_plan_for_programs() -> None:
    document = to_dict(plan("web", "frost", packages=("vim", "htop")))
    jsonschema.validate(document, SCHEMA)
    document.pop("environment")  # full of this machine; looked at below
    check_golden("plan-basic.json", json.dumps(document, indent=2) + "\n")


def test_one_offs_end_post_install_in_the_order_given(tmp_path: Path) -> None:
    made = plan("frost", one_offs=one_offs(tmp_path))
    shown = [(step.phase.name, step.kind, step.argument) for step in made.steps if step.kind != "hook"]
    assert [kind for _, kind, _ in shown] == ["run", "copy-in", "root-password"]
    assert {phase for phase, _, _ in shown} == {"post-install"}
    assert shown[-1][2] == "hunter22"  # a build needs it
    jsonschema.validate(json.loads(to_json(made)), SCHEMA)


def test_names_of_steps_are_their_own_within_a_phase(tmp_path: Path) -> None:
    twice = one_offs(tmp_path)[:1] * 2
    names = [(step.phase, step.name) for step in plan("web", "frost", one_offs=twice, packages=("x",)).steps]
    assert len(set(names)) == len(names)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    secrets = {"DIB_DEV_USER_PASSWORD": "swordfish", "API_TOKEN": "t0k3n$x", "https_proxy": "http://me:open-it@proxy:1"}
    made = plan("web", "frost", one_offs=one_offs(tmp_path), environ=secrets)
    for text in (to_json(made), made.mask("\n".join(lines(made)))):
        for value in ("swordfish", "t0k3n", "open-it", "hunter22"):
            assert value not in text
    environment = json.loads(to_json(made))["environment"]
    assert environment["DIB_DEV_USER_PASSWORD"] == "***"
    assert "API_TOKEN" not in environment  # the caller's own, which the build has not touched
    assert environment["https_proxy"] == "http://me:***@proxy:1"
    assert 'DIB_DEV_USER_PASSWORD="***"' in environment["DIB_ENV"]


def test_a_secret_that_is_a_common_word_spoils_no_document() -> None:
    made = plan("web", "frost", environ={"DIB_PASSWORD": "root", "A_TOKEN": "host", "B_SECRET": "frost"})
    document = json.loads(to_json(made))
    jsonschema.validate(document, SCHEMA)
    assert document["steps"][0]["phase"] == "root" and document["steps"][0]["side"] == "host"
    assert "frost" in [element["name"] for element in document["elements"]]


def test_a_base_image_takes_the_place_of_a_layout() -> None:
    made = plan("web", "frost", base="/images/base.qcow2", base_checksum="sha256:" + "0" * 64)
    assert made.layout is None and made.base is not None
    assert json.loads(to_json(made))["base"] == {
        "kind": "image",
        "location": "/images/base.qcow2",
        "checksum": "sha256:" + "0" * 64,
        "source": made.base.source,
    }
    jsonschema.validate(json.loads(to_json(made)), SCHEMA)
    assert "base      image /images/base.qcow2 (sha256:0000" in "\n".join(lines(made))


def test_a_base_image_needs_no_elements(tmp_path: Path) -> None:
    made = plan(base="/images/base.qcow2", one_offs=one_offs(tmp_path))
    assert [step.kind for step in made.steps] == ["run", "copy-in", "root-password"]
    assert made.elements == ()
    assert list(lines(made))[1] == "elements  none"


def test_elements_that_want_an_operating_system_beside_a_base_image() -> None:
    settings = Settings(elements=("vm",), base="/images/base.qcow2", environ={"PATH": "/usr/bin:/bin"})
    with pytest.raises(NoOperatingSystem, match="no element of the base image's operating system is named") as raised:
        make_plan(settings)
    assert "like debian" in raised.value.hint


def test_the_most_particular_base_image_counts_if_all_its_variables_are_set(copy: Path) -> None:
    (copy / "frost" / "base-image.yaml").write_text("url: https://example.org/plain.qcow2\n")
    write(copy / "glacier" / "element-deps", "frost\n")
    write(copy / "glacier" / "base-image.yaml", "url: https://example.org/${DIB_RELEASE}/${FLAVOUR}.qcow2\n")
    with_flavour = plan("web", "glacier", at=copy, environ={"FLAVOUR": "small"})
    assert str(with_flavour.base) == "https://example.org/bookworm/small.qcow2"
    assert plan("web", "glacier", at=copy).base is None
    assert str(plan("frost", at=copy).base) == "https://example.org/plain.qcow2"


def test_an_element_that_knows_only_diskimage_builder_takes_its_image_apart_itself(copy: Path) -> None:
    (copy / "frost" / "os-family").unlink()
    image = {"DIB_LOCAL_IMAGE": "/images/base.qcow2"}
    assert plan("frost", at=copy, base="/images/base.qcow2", environ=image).base is None
    asked = plan("frost", at=copy, base="/images/base.qcow2", environ=image, argv=("--base", "/images/base.qcow2"))
    assert asked.base is not None
    assert plan("frost", base="/images/base.qcow2", environ=image).base is not None


def test_several_outputs() -> None:
    made = plan("frost", image_name="dir/x", image_types=("qcow2", "raw", "squashfs", "docker"))
    assert [output.path for output in made.outputs] == ["dir/x.qcow2", "dir/x.raw", "dir/x.squash", "dir/x.docker.tar"]


def test_install_types_are_foreseen() -> None:
    def hooks(**more: Any) -> list[str]:
        return [s.name for s in plan("web", "frost", **more).steps if s.name.startswith("70-")]

    assert hooks() == ["70-web-from-source"]
    assert hooks(install_type="package") == ["70-web-from-package"]
    assert hooks(environ={"DIB_INSTALLTYPE_web": "package"}) == ["70-web-from-package"]


def test_the_tree_is_staged_with_lists_and_scripts_but_not_with_what_hooks_will_make(tmp_path: Path) -> None:
    made = plan("web", "frost", one_offs=one_offs(tmp_path))
    hooks = tmp_path / "hooks"
    made.stage(hooks)
    assert (hooks / "packages" / "install.d" / "install-system").read_text() == "linux-image-amd64\n"
    assert (hooks / "svc-map-services").read_text() == "web\tdefault\thttpd\nweb\tdebian\tnginx\n"
    script = next(step for step in made.steps if step.kind == "run")
    assert os.access(hooks / "command-line" / script.name, os.X_OK)
    assert not (hooks / "install.d" / "70-web-from-source").exists()
    for phase in {step.phase for step in made.steps}:
        planned = {step.name for step in made.steps if step.phase == phase and step.kind == "hook"}
        staged = set(list_hooks(hooks / phase.directory))
        assert staged - made.left_out(phase) == planned - {"70-web-from-source"}


def test_what_is_hidden_and_skipped_is_warned_of(copy: Path) -> None:
    settings = Settings(elements=("web", "frost"), arch="amd64", environ=ENVIRON, elements_path=(copy,))
    warnings = make_plan(settings, Catalog.load([copy], builtin=SAMPLE)).warnings
    assert f"element {copy / 'web'} overrides {SAMPLE / 'web'}" in warnings
    assert any("60-web.sh does not run" in warning for warning in warnings)


def test_a_plan_is_the_same_every_time() -> None:
    assert to_json(plan("web", "frost")) == to_json(plan("web", "frost"))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda at: write(at / "base" / "install.d" / "50-web", "", 0o755),
            ElementError,
            "both bring install.d/50-web",
        ),
        (lambda at: (at / "web" / "install.d" / "50-web").chmod(0o644), FileError, "not executable"),
        (lambda at: write(at / "web" / "package-installs.yaml", "a: [\n"), FileError, "not valid YAML"),
        (lambda at: write(at / "web" / "package-installs.yaml", "a: {when: NO = 1}\n"), FileError, "NO is not set"),
        (lambda at: write(at / "web" / "environment.d" / "30-x", "echo $UNSET_HERE\n"), FileError, "UNSET_HERE"),
        (lambda at: (at / "frost" / "element-provides").unlink(), NoOperatingSystem, "no operating system"),
        (
            lambda at: write(at / "web" / "element-provides", "operating-system\n"),
            ElementError,
            "two operating systems",
        ),
        (lambda at: write(at / "web" / "block-device-default.yaml", "- what: {}\n"), DibError, "what"),
    ],
)
def test_what_cannot_work_is_refused(
    spoil: Callable[[Path], None], error: type[Exception], said: str, copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(error, match=re.escape(said)):
        plan("web", "frost", at=copy)


def test_a_break_point_that_no_build_reaches_is_refused() -> None:
    with pytest.raises(UsageError, match="before-instal") as caught:
        plan("frost", breakpoints=("before-instal",))
    assert caught.value.hint.startswith("did you mean before-install or ")
    plan("frost", breakpoints=("before-install", "after-error"))


def _others_can_read_the_checkout() -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (HERE, *HERE.parents))


@pytest.mark.skipif(not _others_can_read_the_checkout(), reason="needs a checkout that every user can read")
def test_a_file_that_may_not_be_read_is_an_error_of_its_own() -> None:
    with tempfile.TemporaryDirectory() as directory:  # others may look into it, unlike into tmp_path
        at = Path(shutil.copytree(SAMPLE, Path(directory) / "elements"))
        Path(directory).chmod(0o755)
        (at / "web" / "install.d" / "50-web").chmod(0o311)
        mine = os.geteuid()
        os.seteuid(mine or 65534)
        try:
            with pytest.raises(FileError, match="cannot be read: Permission denied") as caught:
                plan("web", "frost", at=at)
        finally:
            os.seteuid(mine)
    assert caught.value.path == at / "web" / "install.d" / "50-web"


def test_names_that_run_can_be_widened_as_in_diskimage_builder() -> None:
    wide = plan("web", "frost", environ={"RUN_PARTS_REGEX": "^[0-9A-Za-z._-]+$"})
    assert "60-web.sh" in [step.name for step in wide.steps] and not wide.warnings
    with pytest.raises(UsageError, match="RUN_PARTS_REGEX"):
        plan("web", "frost", environ={"RUN_PARTS_REGEX": "["})


# -- keys


def keys(made: Plan) -> dict[str, str]:
    return {f"{step.phase.directory}/{step.name}": step.key for step in made.steps}


def changed(before: Plan, after: Plan) -> list[str]:
    """Steps of both plans whose key differs, in order."""
    old, new = keys(before), keys(after)
    return [name for name in old if name in new and old[name] != new[name]]


def after_step(made: Plan, name: str) -> list[str]:
    """This step and all that follow it."""
    names = list(keys(made))
    return names[names.index(name) :]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda at: write(at / "web" / "install.d" / "50-web", "#!/bin/bash\nstatic\n", 0o755), "install.d/50-web"),
        (lambda at: (at / "web" / "install.d" / "50-web").chmod(0o700), "install.d/50-web"),
        (lambda at: write(at / "web" / "static" / "etc" / "web.conf", "listen = 81\n"), "install.d/50-web"),
        (lambda at: write(at / "web" / "install.d" / "beside.conf", "x\n"), "extra-data.d/99-enable-install-types"),
        (
            lambda at: write(at / "base" / "package-installs.yaml", "wget: {phase: pre-install.d}\n"),
            "pre-install.d/10-package-installs",
        ),
        (lambda at: write(at / "web" / "environment.d" / "30-more", "export MORE=1\n"), "root.d/10-frost"),
        (lambda at: write(at / "web" / "cleanup.d" / "90-web", "#!/bin/sh\n", 0o755), "cleanup.d/90-web"),
    ],
)
def test_the_first_step_that_changed_changes_all_that_follow(
    change: Callable[[Path], None], first: str, copy: Path
) -> None:
    before = plan("web", "frost", at=copy)
    change(copy)
    after = plan("web", "frost", at=copy)
    assert changed(before, after) == after_step(before, first)


@pytest.mark.parametrize(
    "change",
    [
        lambda at: write(at / "web" / "README.rst", "Better words.\n"),
        lambda at: write(at / "frost" / "tests" / "test_frost.py", "assert True\n"),
        lambda at: write(at / "unused" / "install.d" / "10-x", "#!/bin/sh\n", 0o755),
    ],
)
def test_what_no_step_reads_changes_nothing(change: Callable[[Path], None], copy: Path) -> None:
    before = plan("web", "frost", at=copy)
    change(copy)
    assert changed(before, plan("web", "frost", at=copy)) == []


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({"CI_BUILD_NUMBER": "17"}, None),
        ({"DIB_ANYTHING": "1"}, "root.d/10-frost"),
        ({"DIB_WEB_PORT": "81"}, "root.d/10-frost"),  # exported by environment.d, which every phase sources
        ({"DIB_PACKAGES_EPOCH": "2026-01-02"}, "root.d/10-frost"),
        ({"DIB_QUIET": "1"}, None),
    ],
)
def test_what_variables_do_to_keys(environ: dict[str, str], first: str | None) -> None:
    before, after = plan("web", "frost"), plan("web", "frost", environ=environ)
    assert changed(before, after) == ([] if first is None else after_step(before, first))


def test_the_image_name_is_in_no_key_unless_a_hook_names_it(copy: Path) -> None:
    before, after = (
        plan("web", "frost", at=copy),
        plan("web", "frost", at=copy, image_name="other", argv=("-o", "other")),
    )
    assert changed(before, after) == []
    write(copy / "web" / "cleanup.d" / "90-web", '#!/bin/sh\ntouch "$IMAGE_NAME.done"\n', 0o755)
    before, after = plan("web", "frost", at=copy), plan("web", "frost", at=copy, image_name="other")
    assert changed(before, after) == ["cleanup.d/90-web"]


def test_the_disk_is_in_every_key() -> None:
    before, after = plan("web", "frost"), plan("web", "frost", image_size=10 * 1024**3)
    assert changed(before, after) == list(keys(before))


def test_a_file_that_a_variable_names_is_in_the_key(tmp_path: Path) -> None:
    sources = tmp_path / "sources.list"
    sources.write_text("deb one\n")
    environ = {"DIB_APT_SOURCES": str(sources)}
    before = plan("frost", environ=environ)
    sources.write_text("deb two\n")
    assert changed(before, plan("frost", environ=environ)) == list(keys(before))


def test_files_of_elements_that_others_hide_are_in_the_key_of_who_looks_for_all(copy: Path, tmp_path: Path) -> None:
    write(
        copy / "web" / "extra-data.d" / "99-squash",
        '#!/bin/sh\nsquash --path="$ELEMENTS_PATH" package-installs\n',
        0o755,
    )
    hidden = tmp_path / "hidden" / "frost" / "package-installs.yaml"
    write(hidden, "one:\n")
    elements_path = (copy, tmp_path / "hidden")
    before = plan("web", "frost", at=copy, elements_path=elements_path)
    hidden.write_text("two:\n")
    after = plan("web", "frost", at=copy, elements_path=elements_path)
    assert changed(before, after) == after_step(before, "extra-data.d/99-squash")


def test_what_is_copied_in_and_run_is_in_the_key(tmp_path: Path) -> None:
    everything = one_offs(tmp_path)
    before = plan("frost", one_offs=everything)
    (tmp_path / "fix.sh").write_text("#!/bin/sh\necho better\n")
    after = plan("frost", one_offs=everything)
    assert changed(before, after) == after_step(before, "post-install.d/command-line-1-run-fix.sh")


def test_a_secret_is_in_the_key_only_with_the_stores_own() -> None:
    one, two = {"DIB_PASSWORD": "swordfish"}, {"DIB_PASSWORD": "sailfish"}
    assert changed(plan("frost", environ=one), plan("frost", environ=two)) == []
    assert changed(plan("frost", environ=one, secret=b"s"), plan("frost", environ=two, secret=b"s")) != []


def test_one_more_element_begins_where_its_own_work_does(tmp_path: Path) -> None:
    """Of the elements that come with dib-py: what the operating system's packages cost is not paid again."""
    write(tmp_path / "late" / "finalise.d" / "60-late", "#!/bin/sh\n", 0o755)
    write(tmp_path / "late" / "element-deps", "sysprep\n")
    write(tmp_path / "late" / "README.rst", "Other words.\n")
    catalog = Catalog.load([tmp_path])

    def made(*more: str) -> dict[str, str]:
        elements = ("debian", "vm", "cloud-init", "growroot", *more)
        settings = Settings(elements=elements, arch="amd64", environ=ENVIRON, packages_epoch="x")
        return keys(make_plan(settings, catalog))

    before = made()
    for element, first in (("qga", "install.d/01-package-installs-elements"), ("late", "finalise.d/60-late")):
        after = made(element)
        assert next(name for name, key in after.items() if key != before.get(name)) == first


# -- the command


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dib_py", "plan", *words],
        env={**ENVIRON, "ELEMENTS_PATH": str(SAMPLE), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_what_the_function_says() -> None:
    done = run("--json", "web", "-p", "vim", "frost")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert [e["name"] for e in document["elements"] if e["requested"]] == ["web", "frost"]
    assert "warning" in done.stderr  # never in the way of a program that reads the JSON


def test_the_command_tells_an_error_in_one_message() -> None:
    done = run("web", "frosty")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "unknown element 'frosty'" in done.stderr and "did you mean frost?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_says_what_is_verified(tmp_path: Path) -> None:
    def told(made: Plan) -> str:
        text = " ".join("\n".join(lines(made)).split())
        return text[text.index("verify ") :] if "verify " in text else ""

    assert told(plan("frost")) == ""
    assert told(plan("frost", verify=True)).startswith(
        "verify the image is booted, and takes its name only if it passes profile openstack: "
    )
    windows = Settings(elements=("windows",), base="/x.qcow2", verify=True, environ={"PATH": os.environ["PATH"]})
    assert "images of Windows can't be booted here" in told(make_plan(windows, keyed=False))


@pytest.mark.parametrize(
    ("name", "formats", "told"),
    [
        ("x.tar", ("qcow2",), ["the image will be x.tar.qcow2: -t tar writes what -o x.tar sounds like"]),
        ("x.tar.zst", ("raw", "qcow2"), ["the image will be x.tar.zst.raw and x.tar.zst.qcow2: -t tar.zst writes"]),
        ("x.vhd", ("qcow2",), ["the image will be x.vhd.qcow2: -t vhd writes what"]),
        ("x.vhd", ("vhd-fixed", "raw"), []),
        ("x-12.5", ("qcow2",), []),
        ("tar", ("qcow2",), []),
    ],
)
def test_a_name_that_promises_another_format_is_told(name: str, formats: tuple[str, ...], told: list[str]) -> None:
    said = [one for one in plan("frost", image_name=name, image_types=formats).warnings if "image will be" in one]
    assert len(said) == len(told)
    assert all(one.startswith(start) for one, start in zip(said, told, strict=True))
