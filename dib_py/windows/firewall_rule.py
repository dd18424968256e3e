"""A rule of Windows' firewall as the registry has it: ``v2.10|Action=Allow|Active=TRUE|Dir=In|...|``.

Fields may be there several times, have an order, and grow in number with each version of Windows: whatever is not asked
about stays as it is. The format is Microsoft's ("[MS-FASP] firewall rule grammar").
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

VERSION = "v2.10"  # of Windows 7; later ones accept it
PROTOCOLS = {"icmpv4": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
PROFILES = {"domain": "Domain", "private": "Private", "public": "Public"}
ADDRESS_WORDS = {"localsubnet": "LocalSubnet", "dns": "DNS", "dhcp": "DHCP", "wins": "WINS"}
_ADDRESSES = ("RA4", "RA6", "RA42", "RA62")


@dataclass(frozen=True)
class Rule:
    """What stands between the bars; text that is no rule at all is kept as well."""

    segments: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> Rule:
        return Rule(tuple(text.split("|")))

    @staticmethod
    def of(fields: Iterable[tuple[str, str]]) -> Rule:
        return Rule((VERSION, *(f"{name}={value}" for name, value in fields), ""))

    def __str__(self) -> str:
        return "|".join(self.segments)

    def get(self, name: str) -> list[str]:
        """The values of a field, in their order."""
        found = (segment.partition("=") for segment in self.segments)
        return [value for field, equals, value in found if equals and field.casefold() == name.casefold()]

    def replaced(self, name: str, values: Iterable[str]) -> Rule:
        """The same rule with these values of a field and no others, where the first stood, else at the end."""
        new = [f"{name}={value}" for value in values]
        kept: list[str] = []
        place: int | None = None
        for segment in self.segments:
            field, equals, _ = segment.partition("=")
            if equals and field.casefold() == name.casefold():
                place = len(kept) if place is None else place
            else:
                kept.append(segment)
        if place is None:
            place = len(kept) - 1 if kept[-1] == "" and len(kept) > 1 else len(kept)
        return Rule((*kept[:place], *new, *kept[place:]))

    @property
    def is_active(self) -> bool:
        return [value.casefold() for value in self.get("Active")] == ["true"]

    def activated(self, profiles: Iterable[str], addresses: Iterable[tuple[str, str]] | None) -> Rule:
        """The rule in force for these profiles (none: all) and remote addresses (None: as it has them)."""
        rule = self.replaced("Active", ["TRUE"]).replaced("Profile", profiles)
        if addresses is None:
            return rule
        wanted = list(addresses)
        for name in _ADDRESSES:
            rule = rule.replaced(name, [value for field, value in wanted if field == name])
        return rule


def port_fields(text: str) -> list[tuple[str, str]]:
    """The fields for ``80,443,5000-5010``; ValueError for what is none."""
    fields = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        numbers = [int(number) for number in ((first, last) if dash else (first,))]
        if not all(0 < number < 65536 for number in numbers) or numbers != sorted(numbers):
            raise ValueError(part)
        fields.append(("LPort2_10" if dash else "LPort", "-".join(map(str, numbers))))
    return fields


def address_fields(text: str) -> list[tuple[str, str]]:
    """The fields for ``10.0.0.0/8,LocalSubnet,2001:db8::/32``; none for ``any``, ValueError for what is none."""
    fields: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part.casefold() == "any":
            continue
        word = ADDRESS_WORDS.get(part.casefold())
        if word is not None:
            fields += [("RA4", word), ("RA6", word)]
            continue
        network = ipaddress.ip_network(part, strict=False)
        if network.version == 4:
            fields.append(("RA4", str(network.network_address) if network.prefixlen == 32 else network.with_netmask))
        else:
            fields.append(("RA6", str(network.network_address) if network.prefixlen == 128 else str(network)))
    return fields
