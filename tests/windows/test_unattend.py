from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dib_py import process
from dib_py.errors import BaseError, FileError
from dib_py.windows import answer_file, unattend
from dib_py.windows.generations import GENERATIONS
from dib_py.windows.hive import Value
from tests.windows.applying import Subject, subject
from tests.windows.phony import AUDIT, COMPLETE, IMAGE_STATES, SPECIALIZED, UNDEPLOYABLE, Guest

SCHEMA = Path(__file__).parent / "unattend.rng"
HEAD = '<unattend xmlns="urn:schemas-microsoft-com:unattend" xmlns:dib="urn:dib-py"'
HEAD += ' xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State">'
SETUP = '<component name="Microsoft-Windows-Shell-Setup">'
DEPLOYMENT = '<component name="Microsoft-Windows-Deployment">'


def document(content: str, *, component: str = SETUP, of: str = "specialize") -> str:
    return f'{HEAD}<settings pass="{of}">{component}{content}</component></settings></unattend>'


def command(path: str, order: int = 1) -> str:
    return (
        f'<RunSynchronous><RunSynchronousCommand wcm:action="add"><Order>{order}</Order><Path>{path}</Path>'
        "</RunSynchronousCommand></RunSynchronous>"
    )


def apply(one: Subject, *documents: str, **variables: str) -> str:
    """Apply files one after the other, and return the answer file that the guest then has."""
    guest = one.open()
    for number, text in enumerate(documents):
        path = one.scratch / f"{number}.xml"
        path.write_text(text)
        wanted = unattend.parse(path, variables)
        unattend.check(wanted, guest)
        unattend.apply(wanted, guest)
    guest.commit()
    place = one.planted.file("Windows/Panther/unattend.xml")
    process.run(["xmllint", "--noout", "--relaxng", SCHEMA, place])
    return place.read_text()


def values(one: Subject, name: str) -> list[str]:
    """The text of all elements of that name, as another reader finds it."""
    place = one.planted.file("Windows/Panther/unattend.xml")
    count = int(process.run(["xmllint", "--xpath", f"count(//*[local-name()='{name}'])", place]))
    expression = "string((//*[local-name()='{}'])[{}])"
    return [
        process.run(["xmllint", "--xpath", expression.format(name, number), place]).rstrip("\n")
        for number in range(1, count + 1)
    ]


def test_files_are_merged_by_pass_and_component(tmp_path: Path) -> None:
    one = subject(tmp_path)
    text = apply(
        one,
        document("<ComputerName>*</ComputerName><TimeZone>UTC</TimeZone>"),
        document("<OOBE><HideEULAPage>true</HideEULAPage></OOBE>", of="oobeSystem"),
        document("<OOBE><ProtectYourPC>3</ProtectYourPC></OOBE>", of="oobeSystem"),
        document("<TimeZone>W. Europe Standard Time</TimeZone>"),
    )
    assert [text.count(part) for part in ("<settings", "<component", "<OOBE>")] == [2, 2, 1]
    assert values(one, "TimeZone") == ["W. Europe Standard Time"]
    assert values(one, "ComputerName") == ["*"]
    assert values(one, "HideEULAPage") == ["true"]
    assert 'processorArchitecture="amd64"' in text


def test_items_of_lists_are_added_and_numbered_anew(tmp_path: Path) -> None:
    one = subject(tmp_path)
    files = [document(command(path), component=DEPLOYMENT) for path in ("cmd /c a", "cmd /c b", "cmd /c a")]
    apply(one, *files)
    assert values(one, "Path") == ["cmd /c a", "cmd /c b"]
    assert values(one, "Order") == ["1", "2"]


def test_items_with_a_key_are_replaced(tmp_path: Path) -> None:
    group = (
        '<FirewallGroups><FirewallGroup wcm:action="add" wcm:keyValue="rdp"><Active>{}</Active>'
        "<Group>@FirewallAPI.dll,-28752</Group><Profile>all</Profile></FirewallGroup></FirewallGroups>"
    )
    component = '<component name="Networking-MPSSVC-Svc">'
    one = subject(tmp_path)
    apply(one, *(document(group.format(active), component=component) for active in ("false", "true")))
    assert values(one, "Active") == ["true"]


def test_applied_twice_nothing_changes(tmp_path: Path) -> None:
    one = subject(tmp_path)
    files = [document("<ComputerName>*</ComputerName>"), document(command("a"), component=DEPLOYMENT)]
    apply(one, *files)
    state = one.state()
    apply(one, *files)
    assert one.state() == state


def test_variables_are_escaped(tmp_path: Path) -> None:
    one = subject(tmp_path)
    apply(one, document("<TimeZone>${DIB_A}${DIB_B:-&amp;}</TimeZone>"), DIB_A="<&>\"'ü")
    assert values(one, "TimeZone") == ["<&>\"'ü&"]


def test_what_does_not_apply_is_as_if_not_written(tmp_path: Path) -> None:
    one = subject(tmp_path)
    content = '<ComputerName>*</ComputerName><ProductKey dib:when="DIB_KEY != ">${DIB_KEY}${DIB_NONE}</ProductKey>'
    text = apply(one, document(content), DIB_KEY="")
    assert "ProductKey" not in text and "dib:" not in text


def test_passwords_are_hidden(tmp_path: Path) -> None:
    one = subject(tmp_path)
    content = (
        "<UserAccounts><AdministratorPassword><Value>${DIB_PW}</Value><PlainText>true</PlainText>"
        '</AdministratorPassword><LocalAccounts><LocalAccount wcm:action="add"><Name>a</Name><Password>'
        "<Value>s&amp;cret</Value><PlainText>true</PlainText></Password></LocalAccount></LocalAccounts></UserAccounts>"
    )
    text = apply(one, document(content, of="oobeSystem"), DIB_PW="P@ssw0rd")
    assert "P@ssw0rd" not in text and "cret" not in text
    # typed from what Windows System Image Manager writes for this password
    assert "UABAAHMAcwB3ADAAcgBkAEEAZABtAGkAbgBpAHMAdAByAGEAdABvAHIAUABhAHMAcwB3AG8AcgBkAA==" in text
    assert base64.b64decode(values(one, "Value")[1]).decode("utf-16-le") == "s&cretPassword"
    assert one.planted.file("Windows/Panther/unattend.xml").stat().st_mode & 0o777 == 0o700


def test_components_for_another_architecture_are_left_out(tmp_path: Path) -> None:
    other = SETUP.replace(">", ' processorArchitecture="x86">')
    one = subject(tmp_path, Guest("10", architecture="x86"))
    text = apply(one, document("<TimeZone>UTC</TimeZone>", component=other))
    assert 'processorArchitecture="x86"' in text
    two = subject(tmp_path / "2")
    apply(two, document("<ComputerName>*</ComputerName>"), document("<TimeZone>UTC</TimeZone>", component=other))
    assert values(two, "TimeZone") == []


PLACES = [
    "Windows/Panther/Unattend/Unattend.xml",
    "Windows/Panther/unattend/AUTOUNATTEND.XML",
    "Windows/Panther/autounattend.xml",
    "Windows/System32/Sysprep/unattend.xml",
    "unattend.xml",
    "Autounattend.xml",
]


@pytest.mark.parametrize("place", PLACES)
def test_what_would_be_read_first_is_removed(tmp_path: Path, place: str) -> None:
    one = subject(tmp_path, Guest(files={place: b"<unattend/>"}))
    apply(one, document("<ComputerName>*</ComputerName>"))
    assert not one.planted.file(place).exists()


def test_the_value_that_names_another_file_is_removed(tmp_path: Path) -> None:
    pointer = {"SYSTEM": {"Setup": [Value.string("UnattendFile", "C:\\other.xml")]}}
    one = subject(tmp_path, Guest(extra=pointer))
    apply(one, document("<ComputerName>*</ComputerName>"))
    assert one.planted.hive("SYSTEM").value("Setup", "UnattendFile") is None


def test_a_file_of_somebody_else_is_replaced_with_its_access(tmp_path: Path) -> None:
    foreign = document("<TimeZone>UTC</TimeZone>").encode()
    one = subject(tmp_path, Guest(files={"Windows/Panther/unattend.xml": foreign}))
    place = one.planted.file("Windows/Panther/unattend.xml")
    place.chmod(0o777)
    apply(one, document("<ComputerName>*</ComputerName>"))
    assert values(one, "TimeZone") == []
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("state", [*IMAGE_STATES, None])
def test_an_image_that_will_never_read_it_is_refused(tmp_path: Path, state: str | None) -> None:
    one = subject(tmp_path, Guest(image_state=state))
    told = {COMPLETE: "no answer file will ever be read", UNDEPLOYABLE: "did not come to an end"}
    told |= dict.fromkeys(AUDIT, "starts in audit mode")
    if state in told:
        with pytest.raises(BaseError, match=told[state]):
            apply(one, document("<ComputerName>*</ComputerName>"))
        assert not one.planted.file("Windows/Panther/unattend.xml").exists()
    else:
        apply(one, document("<ComputerName>*</ComputerName>"))


def test_a_pass_that_is_over_in_the_image_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(subject(tmp_path), document("<ComputerName>*</ComputerName>"))
    assert "specialize" not in capsys.readouterr().out
    apply(subject(tmp_path / "2", Guest(image_state=SPECIALIZED)), document("<ComputerName>*</ComputerName>"))
    assert "the pass specialize is over in this image" in capsys.readouterr().out


LANGUAGES = r"ControlSet001\Control\MUI\UILanguages"


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [(["de-DE"], "", "de-DE"), (["de-DE"], "fr-FR", "fr-FR"), (["de-DE", "fr-FR"], "", "en-US"), ([], "", "en-US")],
)
def test_menus_have_the_language_of_the_image(tmp_path: Path, there: list[str], asked: str, expected: str) -> None:
    keys: dict[str, list[Value]] = {rf"{LANGUAGES}\{name}": [] for name in there}
    one = subject(tmp_path, Guest(extra={"SYSTEM": keys}))
    international = '<component name="Microsoft-Windows-International-Core">'
    for _ in range(2):
        apply(one, document("<UILanguage>${DIB_UI:-}</UILanguage>", component=international), DIB_UI=asked)
        assert values(one, "UILanguage") == [expected]


ANSWERS = document("<OOBE><HideEULAPage>true</HideEULAPage></OOBE>", of="oobeSystem")
PASSWORD = document(
    "<UserAccounts><AdministratorPassword><Value>x</Value><PlainText>true</PlainText></AdministratorPassword>"
    "</UserAccounts>",
    of="oobeSystem",
)


@pytest.mark.parametrize(
    ("documents", "generation", "told"),
    [
        ([ANSWERS], "2025", True),
        ([ANSWERS, PASSWORD], "2025", False),
        ([ANSWERS], "11", False),
        ([document("<ComputerName>*</ComputerName>")], "2025", False),
        ([], "2025", False),
    ],
)
def test_a_server_without_a_password_is_told(tmp_path: Path, documents: list[str], generation: str, told: bool) -> None:
    wanted = []
    for number, text in enumerate(documents):
        (tmp_path / f"{number}.xml").write_text(text)
        wanted.append(unattend.parse(tmp_path / f"{number}.xml", {}))
    found = list(unattend.advice(wanted, next(one for one in GENERATIONS if one.name == generation)))
    assert ["admin-password" in text for text in found] == [True] * told


def test_what_holds_nothing_that_applies_is_left_out(tmp_path: Path) -> None:
    one = subject(tmp_path)
    inner = command("netsh.exe").replace("<RunSynchronousCommand", '<RunSynchronousCommand dib:when="DIB_A = 1"')
    text = apply(
        one,
        document(inner, component=DEPLOYMENT),
        document("<ComputerName>*</ComputerName>"),
        DIB_A="2",
    )
    assert "Deployment" not in text and "RunSynchronous" not in text
    assert apply(one, document(inner, component=DEPLOYMENT), DIB_A="1").count("netsh.exe") == 1


def test_a_file_of_which_nothing_applies_needs_nothing(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(image_state=COMPLETE))
    path = tmp_path / "a.xml"
    path.write_text(f'{HEAD}<settings pass="specialize" dib:when="DIB_A = 1"/></unattend>')
    guest = one.open()
    wanted = unattend.parse(path, {"DIB_A": "2"})
    unattend.check(wanted, guest)
    unattend.apply(wanted, guest)
    assert not one.planted.file("Windows/Panther/unattend.xml").exists()


def test_passes_that_are_over_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(document("<x/>", of="windowsPE"))
    assert "windowsPE" in next(unattend.warnings(unattend.parse(path, {})))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: is no XML"),
        ("<a>\n<b></a>", ":2: is no XML"),
        ("<!DOCTYPE a>\n<a/>", ":1: .*no document type"),
        ("<unattend/>", ":1: its root is unattend"),
        (f"{HEAD}\n<setting/></unattend>", ":2: setting stands where settings"),
        (f'{HEAD}\n<settings pass="specialise"/></unattend>', ":2: there is no configuration pass 'specialise'"),
        (f'{HEAD}\n<settings pass="specialize">\n<x/></settings></unattend>', ":3: x stands where component"),
        (f'{HEAD}<settings pass="specialize">\n<component/></settings></unattend>', ":2: a component needs a name"),
        (document('\n<a wcm:action="ad"/>'), ":2: wcm:action is 'ad'"),
        (document("\n<a>text<b/></a>"), ":2: a has text beside"),
        (document("\n<a>${DIB_NOPE}</a>"), ":2: variable DIB_NOPE is not set"),
        (document('\n<a dib:when="DIB_NOPE = 1"/>'), ":2: dib:when: variable DIB_NOPE is not set"),
        (document('\n<a dib:when="DIB_NOPE"/>'), ":2: malformed dib:when"),
        (document("\n<a>${DIB_BELL}</a>"), ":2: a gets a character that XML can't hold"),
        (document('\n<a b="${DIB_BELL}"/>'), ":2: a gets a character that XML can't hold"),
        (document("\n<a>${DIB_END}</a>"), ":2: a gets a character that XML can't hold"),
        (document("\n<a>${DIB_BYTES}</a>"), ":2: variable DIB_BYTES holds what is no UTF-8 text"),
        (document("<a>" * 3000 + "</a>" * 3000), ":1: its elements are nested too deep"),
        (document(f"\n{command('x' * 260)}", component=DEPLOYMENT), ":2: Path has 260 characters, .* 259"),
        (
            document(
                f'\n<FirstLogonCommands><SynchronousCommand wcm:action="add"><CommandLine>{"x" * 1025}</CommandLine>'
                "</SynchronousCommand></FirstLogonCommands>",
                of="oobeSystem",
            ),
            ":2: CommandLine has 1025 characters, .* 1024",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        unattend.parse(path, {"DIB_BELL": "\a", "DIB_END": "\uffff", "DIB_BYTES": "p\udce9"})


def test_the_longest_command_is_taken(tmp_path: Path) -> None:
    one = subject(tmp_path)
    apply(one, document(command("x" * 259), component=DEPLOYMENT))
    assert values(one, "Path") == ["x" * 259]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="<>/=\"'&; abwcm:ction${DIB_A}\n", max_size=60), st.booleans())
def test_any_text_is_read_or_refused(tmp_path: Path, text: str, inside: bool) -> None:
    path = tmp_path / "a.xml"
    path.write_text(document(text) if inside else text)
    try:
        tree = unattend.parse(path, {"DIB_A": "1"}).tree
    except FileError as error:
        assert error.line is not None
    else:
        merged = answer_file.empty()
        answer_file.merge(merged, tree, "amd64")
        assert answer_file.read_ours(answer_file.written(merged)) is not None
