"""Answer files of Windows Setup as trees: read with lines, variables and conditions; merged; written.

The format is Microsoft's ("Unattended Windows Setup Reference"): settings by configuration pass, in them components, in
them settings that are named once, or lists whose items have ``wcm:action="add"``. In an element's file any of them may
have ``dib:when="DIB_NAME = value"``; where that does not hold it is as if not written. What a component's attributes
leave out, the architecture above all, is filled in when the file is applied to a guest.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.parsers import expat

from dib_py.errors import FileError, nearest
from dib_py.packages.package_installs import WHEN
from dib_py.windows.supposed import Supposed
from dib_py.windows.templating import Missing, Template

NAMESPACE = "urn:schemas-microsoft-com:unattend"
WCM = "http://schemas.microsoft.com/WMIConfig/2002/State"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
DIB = "urn:dib-py"
PASSES = ("windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem")
COMPONENT_DEFAULTS = {"publicKeyToken": "31bf3856ad364e35", "language": "neutral", "versionScope": "nonSxS"}
MARK = " made by dib-py of its elements' unattend.d "

_ACTION, _KEY_VALUE, _WHEN = f"{{{WCM}}}action", f"{{{WCM}}}keyValue", f"{{{DIB}}}when"
_ACTIONS = ("add", "modify", "remove")
_NAMES = ("Name", "Description", "Path", "CommandLine", "Group", "Key")  # what tells items of a list apart
_ORDER = "Order"
_LONGEST = {  # characters that Windows takes of the commands in an item
    "RunSynchronousCommand": ("Path", 259),
    "RunAsynchronousCommand": ("Path", 259),
    "SynchronousCommand": ("CommandLine", 1024),
}
_DEEPEST = 50  # elements in elements; Microsoft's reference has none below ten
_TEXT = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
# only how it is written: ElementTree has no other way to say which prefixes a document uses
ET.register_namespace("", NAMESPACE)
ET.register_namespace("wcm", WCM)
ET.register_namespace("xsi", XSI)


def read(path: Path, variables: Mapping[str, str]) -> ET.Element:
    """An element's answer file, with its conditions decided and its passwords hidden; FileError with the line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error
    root, lines = _parse(content, path)
    reader = _Reader(path, variables, lines)
    reader.fill(root)
    reader.check(root)
    hide_passwords(root)
    return root


def read_ours(content: bytes) -> ET.Element | None:
    """An answer file that was written here before; None for anybody else's."""
    if MARK.encode() not in content:
        return None
    try:
        return _parse(content, Path("unattend.xml"))[0]
    except FileError:
        return None


def merge(into: ET.Element, wanted: ET.Element, architecture: str) -> None:
    """Add what a file of an element wants to an answer file for a guest of that architecture.

    What is named once is replaced; items of lists are added unless they are there, and numbered anew. Components for
    another architecture are left out, as Windows would do.
    """
    for settings in wanted:
        for component in settings:
            if component.get("processorArchitecture", architecture) != architecture:
                continue
            _merge(_component(_settings(into, settings), component, architecture), component)


def written(root: ET.Element) -> bytes:
    """The file, indented, in UTF-8, with the mark by which it is known again."""
    root = deepcopy(root)
    root[:] = sorted(root, key=lambda settings: PASSES.index(settings.get("pass", "")))
    root.insert(0, ET.Comment(MARK))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.replace(b"\n", b"\r\n") + b"\r\n"


def empty() -> ET.Element:
    return ET.Element(f"{{{NAMESPACE}}}unattend")


def can_hold(text: str) -> bool:
    """Whether XML can have this text: no control characters, and nothing that is no Unicode."""
    return _TEXT.fullmatch(text) is not None


def hide_passwords(root: ET.Element) -> None:
    """Passwords the way Windows' own tools store them: encoded with their element's name, so that none is in clear."""
    for password in root.iter():
        value, plain = password.find(_tag("Value")), password.find(_tag("PlainText"))
        if value is None or plain is None or (plain.text or "").strip().lower() != "true":
            continue
        salted = (value.text or "") + _local(password)
        value.text = base64.b64encode(salted.encode("utf-16-le")).decode()
        plain.text = "false"


# -- reading
def _parse(content: bytes, path: Path) -> tuple[ET.Element, dict[ET.Element, int]]:
    """The tree without comments, and the line of each element."""
    builder = ET.TreeBuilder()
    lines: dict[ET.Element, int] = {}
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise FileError(path, "its elements are nested too deep", line=parser.CurrentLineNumber)
        element = builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})
        lines[element] = parser.CurrentLineNumber

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_qualified(name))

    def refuse_document_type(*_: object) -> None:
        raise FileError(path, "an answer file has no document type", line=parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise FileError(path, f"is no XML: {expat.ErrorString(error.code)}", line=error.lineno) from error
    except (ValueError, LookupError) as error:  # a declared encoding that nobody knows
        raise FileError(path, f"is no XML: {error}", line=1) from error
    return builder.close(), lines


class _Reader:
    def __init__(self, path: Path, variables: Mapping[str, str], lines: Mapping[ET.Element, int]) -> None:
        self._path = path
        self._variables = variables
        self._lines = lines

    def fill(self, element: ET.Element) -> None:
        """Leave out what does not apply, and what holds nothing else; fill variables into the rest."""
        outside = self._variables
        if isinstance(outside, Supposed) and _WHEN in element.attrib:
            self._variables = outside.where([element.attrib[_WHEN].strip()])
        try:
            self._fill(element)
        finally:
            self._variables = outside

    def _fill(self, element: ET.Element) -> None:
        template = Template(self._path, self._variables, self._lines[element])
        element[:] = [child for child in element if self._holds(child)]
        element.attrib = {name: template.fill(value) for name, value in element.attrib.items() if name != _WHEN}
        text = (element.text or "").strip() if len(element) else element.text or ""
        if len(element) and (text or any((child.tail or "").strip() for child in element)):
            raise self._error(element, f"{_local(element)} has text beside other elements")
        element.text = self._text(template, text) or None
        element.tail = None
        if not all(map(can_hold, (element.text or "", *element.attrib.values()))):
            raise self._error(element, f"{_local(element)} gets a character that XML can't hold")
        for child in list(element):
            had_children = bool(len(child))
            self.fill(child)
            if had_children and not len(child):
                element.remove(child)

    def _text(self, template: Template, text: str) -> str:
        """Text that holds what nobody knows is left out where only the rest is looked at."""
        try:
            return template.fill(text)
        except Missing:
            if isinstance(self._variables, Supposed):
                return ""
            raise

    def check(self, root: ET.Element) -> None:
        if root.tag != _tag("unattend"):
            raise self._error(root, f"its root is {root.tag}", hint=f'<unattend xmlns="{NAMESPACE}">')
        for settings in root:
            self._expect(settings, "settings")
            name = settings.get("pass", "")
            if name not in PASSES:
                meant = nearest(name, PASSES, 1)
                raise self._error(
                    settings,
                    f"there is no configuration pass {name!r}",
                    hint=f"is {meant[0]} meant?" if meant else f"there are {', '.join(PASSES)}",
                )
            for component in settings:
                self._expect(component, "component")
                if not component.get("name"):
                    raise self._error(component, "a component needs a name")
        for element in root.iter():
            if element.get(_ACTION, "add") not in _ACTIONS:
                raise self._error(element, f"wcm:action is {element.get(_ACTION)!r}", hint=", ".join(_ACTIONS))
            self._check_length(element)

    def _check_length(self, item: ET.Element) -> None:
        name, longest = _LONGEST.get(_local(item), ("", 0))
        command = item.find(_tag(name)) if name else None
        if command is not None and len(command.text or "") > longest:
            raise self._error(
                command,
                f"{name} has {len(command.text or '')} characters, and Windows takes {longest}",
                hint="put the command into a script among the element's files",
            )

    def _holds(self, element: ET.Element) -> bool:
        statement = element.get(_WHEN)
        if statement is None:
            return True
        match = WHEN.match(statement.strip())
        if match is None:
            raise self._error(element, f"malformed dib:when: '{statement}'", hint="NAME = value, or NAME != value")
        if isinstance(self._variables, Supposed):
            return True
        variable = match["variable"]
        if variable not in self._variables:
            hint = f"export {variable}=... or give it a default in environment.d of the element"
            raise self._error(element, f"dib:when: variable {variable} is not set", hint=hint)
        return (self._variables[variable] == match["value"]) == (match["operator"] == "=")

    def _expect(self, element: ET.Element, name: str) -> None:
        if element.tag != _tag(name):
            raise self._error(element, f"{_local(element)} stands where {name} is expected")

    def _error(self, element: ET.Element, message: str, hint: str = "") -> FileError:
        return FileError(self._path, message, line=self._lines[element], hint=hint)


# -- merging
def _settings(into: ET.Element, wanted: ET.Element) -> ET.Element:
    found = next((one for one in into if one.get("pass") == wanted.get("pass")), None)
    return ET.SubElement(into, wanted.tag, wanted.attrib) if found is None else found


def _component(settings: ET.Element, wanted: ET.Element, architecture: str) -> ET.Element:
    attributes = {
        "name": wanted.get("name", ""),
        "processorArchitecture": architecture,
        **COMPONENT_DEFAULTS,
        **wanted.attrib,
    }
    found = next((one for one in settings if one.attrib == attributes), None)
    return ET.SubElement(settings, wanted.tag, attributes) if found is None else found


def _merge(into: ET.Element, wanted: ET.Element) -> None:
    if not len(wanted):
        into[:], into.text = [], wanted.text
        return
    into.text = None
    for child in wanted:
        there = next((one for one in into if _is_same(one, child)), None)
        if there is None:
            into.append(deepcopy(child))
        elif child.get(_ACTION) is not None:
            _replace(into, there, child)
        else:
            there.attrib.update(child.attrib)
            _merge(there, child)
    _number(into)


def _is_same(there: ET.Element, wanted: ET.Element) -> bool:
    """Whether two children are one setting: of a list's items, those with one key, or one name."""
    if there.tag != wanted.tag:
        return False
    if wanted.get(_ACTION) is None:
        return True
    return _identity(there) == _identity(wanted)


def _identity(item: ET.Element) -> tuple[str, str]:
    if item.get(_KEY_VALUE) is not None:
        return _KEY_VALUE, item.get(_KEY_VALUE, "")
    for name in _NAMES:
        child = item.find(_tag(name))
        if child is not None:
            return name, child.text or ""
    return "", "".join(item.itertext())


def _replace(into: ET.Element, there: ET.Element, wanted: ET.Element) -> None:
    """An item keeps its place in the list."""
    new = deepcopy(wanted)
    into[list(into).index(there)] = new
    order, old = new.find(_tag(_ORDER)), there.find(_tag(_ORDER))
    if order is not None and old is not None:
        order.text = old.text


def _number(parent: ET.Element) -> None:
    """Items that Windows works through by number get consecutive ones: each file counts from one."""
    orders = [order for child in parent if (order := child.find(_tag(_ORDER))) is not None]
    for number, order in enumerate(orders, start=1):
        order.text = str(number)


def _qualified(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
