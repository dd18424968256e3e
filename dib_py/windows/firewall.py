r"""``firewall.yaml``: what the firewall lets in, with the rules that Windows ships where it has them.

::

    - name: rdp-tcp
      stock: ["@FirewallAPI.dll,-28752"]    # names of rules, or groups of them, which begin with @
      rule: {protocol: tcp, ports: "${DIB_RDP_PORT:-3389}", title: Remote Desktop (TCP)}
      remote: 10.0.0.0/8, LocalSubnet       # default: as the stock rule has it, else any
      profiles: [domain, private]           # default: all
    - profile: public
      enabled: false                        # the firewall as a whole

Those of the ``stock`` rules that exist are put in force. Where none of them is for the protocol and ports of ``rule``,
a rule ``dib-NAME`` is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.errors import TargetError
from dib_py.windows.firewall_rule import PROFILES, PROTOCOLS, Rule, address_fields, port_fields
from dib_py.windows.hive import Hive, Value
from dib_py.windows.yaml_node import Node, read

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

POLICY = r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"
RULES = rf"{POLICY}\FirewallRules"
# what the registry calls a profile; "StandardProfile" is the private one
_PROFILE_KEYS = {"domain": "DomainProfile", "private": "StandardProfile", "public": "PublicProfile"}
_ENTRY = ("name", "stock", "rule", "remote", "profiles")
_RULE = ("direction", "action", "protocol", "ports", "icmp", "program", "service", "title", "description")


@dataclass(frozen=True)
class Opening:
    """One entry: stock rules by name or group, and the fields of our own where they are not enough."""

    name: str
    stock: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]  # of our own rule; none: only stock rules will do
    profiles: tuple[str, ...]
    addresses: tuple[tuple[str, str], ...] | None
    line: int = field(compare=False, default=0)


@dataclass(frozen=True)
class Firewall:
    """A file: rules, and whether the firewall is on, by the registry's name of the profile."""

    path: Path = field(compare=False)
    openings: tuple[Opening, ...] = ()
    profiles: tuple[tuple[str, bool], ...] = ()


def parse(path: Path, variables: Mapping[str, str]) -> Firewall:
    """What ``firewall.yaml`` asks for; FileError with the line for what is wrong."""
    root = read(path, variables)
    openings, profiles = [], []
    for node in () if root.is_nothing else root.sequence():
        if "profile" in node.mapping():
            profiles.append(_profile(node))
        else:
            openings.append(_opening(node))
    return Firewall(path, tuple(openings), tuple(profiles))


def apply(wanted: Firewall, guest: Installation) -> None:
    """Put it in force in every control set; TargetError where a stock rule is needed that the guest has not."""
    for opening in wanted.openings:
        for hive, key in guest.registry.places(RULES):
            values = list(_rules(opening, hive, key))
            if not values:
                names = ", ".join(opening.stock)
                raise TargetError(
                    f"the image has none of the firewall's rules {names}",
                    hint="give the entry a rule of its own",
                    where=f"{wanted.path}:{opening.line}",
                )
            hive.set(key, values)
    for profile, enabled in wanted.profiles:
        guest.registry.set(rf"{POLICY}\{profile}", Value.dword("EnableFirewall", int(enabled)))


def _rules(opening: Opening, hive: Hive, key: str) -> Iterator[Value]:
    serves = False
    for value in hive.values(key).values():
        rule = Rule.parse(value.text)
        if _is_stock(value.name, rule, opening.stock):
            serves = serves or _serves(rule, opening)
            yield Value.string(value.name, str(rule.activated(opening.profiles, opening.addresses)))
    if opening.fields and not serves:
        own = Rule.of(opening.fields).activated(opening.profiles, opening.addresses or ())
        yield Value.string(f"dib-{opening.name}", str(own))


def _is_stock(name: str, rule: Rule, stock: tuple[str, ...]) -> bool:
    groups = {group.casefold() for group in rule.get("EmbedCtxt")}
    return any(
        wanted.casefold() in groups if wanted.startswith("@") else wanted.casefold() == name.casefold()
        for wanted in stock
    )


def _serves(rule: Rule, opening: Opening) -> bool:
    """Whether a stock rule lets in what our own would."""
    wanted = Rule.of(opening.fields)
    same = ("Dir", "Protocol", "LPort", "LPort2_10", "ICMP4", "ICMP6")
    return all(sorted(rule.get(name)) == sorted(wanted.get(name)) for name in same)


# -- reading
def _profile(node: Node) -> tuple[str, bool]:
    entries = node.mapping(("profile", "enabled"), needs=("enabled",))
    profile = entries["profile"]
    return _chosen(profile, _PROFILE_KEYS), entries["enabled"].flag()


def _opening(node: Node) -> Opening:
    entries = node.mapping(_ENTRY, needs=("name",))
    name = _field_text(entries["name"])
    if not name:
        raise entries["name"].error("a rule needs a name")
    stock = tuple(item.text() for item in entries["stock"].sequence()) if "stock" in entries else ()
    fields = tuple(_fields(entries["rule"], name)) if "rule" in entries else ()
    if not stock and not fields:
        raise node.error("neither stock rules nor a rule", hint="stock: [...], rule: {protocol: tcp, ports: 22}")
    profiles = entries["profiles"].sequence() if "profiles" in entries else ()
    addresses = entries.get("remote")
    return Opening(
        name,
        stock,
        fields,
        tuple(_chosen(item, PROFILES) for item in profiles),
        None if addresses is None else _addresses(addresses),
        node.line,
    )


def _fields(node: Node, name: str) -> Iterator[tuple[str, str]]:
    entries = node.mapping(_RULE, needs=("protocol",))
    protocol = _chosen(entries["protocol"], {name: str(number) for name, number in PROTOCOLS.items()})
    yield "Action", _word(entries, "action", {"allow": "Allow", "block": "Block"}, "Allow")
    yield "Active", "TRUE"
    yield "Dir", _word(entries, "direction", {"in": "In", "out": "Out"}, "In")
    yield "Protocol", protocol
    is_icmp = protocol in ("1", "58")
    for key, fits in (("ports", not is_icmp), ("icmp", is_icmp)):
        if key in entries and not fits:
            raise entries[key].error(f"{key} make no sense with protocol {entries['protocol'].value}")
    if "ports" in entries:
        yield from _ports(entries["ports"])
    if "icmp" in entries:
        yield "ICMP4" if protocol == "1" else "ICMP6", _field_text(entries["icmp"])
    for key, field_name in (("program", "App"), ("service", "Svc")):
        if key in entries:
            yield field_name, _field_text(entries[key])
    yield "Name", _field_text(entries["title"]) if "title" in entries else name
    if "description" in entries:
        yield "Desc", _field_text(entries["description"])


def _word(entries: Mapping[str, Node], key: str, known: Mapping[str, str], default: str) -> str:
    return _chosen(entries[key], known) if key in entries else default


def _chosen(node: Node, known: Mapping[str, str]) -> str:
    found = known.get(node.text().casefold())
    if found is None:
        raise node.error(f"{node.value!r} is none of {', '.join(known)}")
    return found


def _field_text(node: Node) -> str:
    text = node.text()
    if "|" in text or any(character < " " for character in text):
        raise node.error(f"{text!r} can't stand in a rule, whose fields end with |")
    return text


def _ports(node: Node) -> list[tuple[str, str]]:
    try:
        fields = port_fields(node.text())
    except ValueError as error:
        raise node.error(f"{node.value!r} are no ports", hint="22, or 80,443,5000-5010") from error
    if not fields:
        raise node.error("no ports", hint="leave ports out to mean all of them")
    return fields


def _addresses(node: Node) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(address_fields(node.text()))
    except ValueError as error:
        raise node.error(f"{node.value!r} are no addresses", hint="any, 10.0.0.0/8, LocalSubnet") from error
