from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.errors import FileError, TargetError
from dib_py.windows import firewall
from dib_py.windows.firewall import RULES
from dib_py.windows.firewall_rule import Rule, address_fields
from dib_py.windows.hive import Value
from tests.windows.applying import subject
from tests.windows.phony import Guest
from tests.windows.phony_hives import FIREWALL_RULES

# one of each kind that public dumps of rules have
TABLE = [
    *FIREWALL_RULES.values(),
    (
        "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=17|Profile=Domain|Profile=Private|LPort=5353|App=%SystemRoot%\\"
        "system32\\svchost.exe|Svc=dnscache|Name=@%SystemRoot%\\system32\\firewallapi.dll,-37303|TTK2_22=WFDKmDriver|"
    ),
    "v2.10|Action=Block|Active=FALSE|Dir=Out|LUOwn=S-1-5-21-1|Security2_9=An-NoEncap|LUAuth2_24=O:LSD:(A;;CC;;;S-1)|",
    "v2.33|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort2_10=5000-5020|RPort2_10=Any|RA42=IntErnet|Edge=TRUE|Odd|",
]


@pytest.mark.parametrize("text", TABLE)
def test_a_rule_is_itself_again(text: str) -> None:
    assert str(Rule.parse(text)) == text


@given(st.text(alphabet="v2.10|=Actived TRUE\\%,-@"), st.sampled_from(["Active", "Profile", "RA4"]))
def test_any_text_is_itself_again_and_takes_a_field(text: str, name: str) -> None:
    rule = Rule.parse(text)
    assert str(rule) == text
    changed = rule.replaced(name, ["x", "y"])
    assert changed.get(name) == ["x", "y"]
    assert [part for part in changed.segments if not part.startswith(f"{name}=")] == [
        part for part in rule.segments if not part.casefold().startswith(f"{name}=".casefold())
    ]


def test_only_what_is_asked_for_changes_in_a_rule() -> None:
    before = TABLE[-1].replace("Active=TRUE", "Active=FALSE")
    assert str(Rule.parse(before).activated((), None)) == TABLE[-1]
    text = "v2.30|Action=Allow|Active=FALSE|Dir=In|Profile=Public|Profile=Private|RA4=LocalSubnet|RA6=LocalSubnet|X=y|"
    assert str(Rule.parse(text).activated(("Domain",), [("RA4", "10.0.0.0/255.0.0.0")])) == (
        "v2.30|Action=Allow|Active=TRUE|Dir=In|Profile=Domain|RA4=10.0.0.0/255.0.0.0|X=y|"
    )


def test_addresses_are_written_as_windows_has_them() -> None:
    assert address_fields("10.1.2.3/8, 192.0.2.1, 2001:db8::/32, localsubnet, any") == [
        ("RA4", "10.0.0.0/255.0.0.0"),
        ("RA4", "192.0.2.1"),
        ("RA6", "2001:db8::/32"),
        ("RA4", "LocalSubnet"),
        ("RA6", "LocalSubnet"),
    ]


RDP = """
- name: rdp-tcp
  stock: ["@FirewallAPI.dll,-28752"]
  rule: {protocol: tcp, ports: "${DIB_RDP_PORT:-3389}", title: Remote Desktop}
"""


def rules_after(tmp_path: Path, text: str, guest: Guest | None = None, **variables: str) -> dict[str, str]:
    path = tmp_path / "firewall.yaml"
    path.write_text(text)
    one = subject(tmp_path, guest)
    for _ in range(2):
        opened = one.open()
        firewall.apply(firewall.parse(path, variables), opened)
        opened.commit()
    return {name: value.text for name, value in one.open().registry.values(RULES).items()}


def test_stock_rules_are_activated_and_nothing_else_is_touched(tmp_path: Path) -> None:
    rules = rules_after(tmp_path, RDP)
    expected = {
        name: text.replace("Active=FALSE", "Active=TRUE") if "RemoteDesktop" in name else text
        for name, text in FIREWALL_RULES.items()
    }
    assert rules == expected


def test_a_port_that_no_stock_rule_is_for_gets_its_own(tmp_path: Path) -> None:
    rules = rules_after(tmp_path, RDP, DIB_RDP_PORT="3390")
    assert rules["dib-rdp-tcp"] == ("v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3390|Name=Remote Desktop|")


def test_a_guest_without_rules_gets_its_own(tmp_path: Path) -> None:
    without = Guest(without=(r"SYSTEM\ControlSet001\Services\SharedAccess",))
    text = """
- name: web
  rule: {protocol: tcp, ports: "80,5000-5010", program: '%SystemRoot%\\x.exe', service: w3svc, description: Pages}
  remote: LocalSubnet
  profiles: [Domain, private]
"""
    assert rules_after(tmp_path, text, without) == {
        "dib-web": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=80|LPort2_10=5000-5010|"
        "App=%SystemRoot%\\x.exe|Svc=w3svc|Name=web|Desc=Pages|Profile=Domain|Profile=Private|"
        "RA4=LocalSubnet|RA6=LocalSubnet|"
    }


def test_each_control_set_gets_what_it_lacks(tmp_path: Path) -> None:
    guest = Guest(control_set=1, default_control_set=2, without=(r"SYSTEM\ControlSet002\Services\SharedAccess",))
    path = tmp_path / "firewall.yaml"
    path.write_text(RDP)
    one = subject(tmp_path, guest)
    opened = one.open()
    firewall.apply(firewall.parse(path, {}), opened)
    opened.commit()
    rules = RULES.partition("CurrentControlSet")[2]
    system = one.planted.hive("SYSTEM")
    assert "dib-rdp-tcp" not in system.values(f"ControlSet001{rules}")
    assert list(system.values(f"ControlSet002{rules}")) == ["dib-rdp-tcp"]


def test_a_stock_rule_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"firewall.yaml:1: the image has none of the firewall's rules NoSuch"):
        rules_after(tmp_path, "- {name: x, stock: [NoSuch]}")


def test_profiles_are_switched(tmp_path: Path) -> None:
    path = tmp_path / "firewall.yaml"
    path.write_text("- {profile: private, enabled: no}\n- {profile: Domain, enabled: yes}\n")
    guest = subject(tmp_path).open()
    firewall.apply(firewall.parse(path, {}), guest)
    on = Value.dword("EnableFirewall", 1)
    assert guest.registry.value(rf"{firewall.POLICY}\DomainProfile", "EnableFirewall") == on
    off = guest.registry.value(rf"{firewall.POLICY}\StandardProfile", "EnableFirewall")
    assert off is not None and off.number == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x", ":1: must be a list"),
        ("- {name: x}", ":1: neither stock rules nor a rule"),
        ("- {name: x, rule: {ports: 1}}", ":1: protocol is missing"),
        ("- {name: x, rule: {protocol: tpc}}", ":1: 'tpc' is none of icmpv4, tcp"),
        ("- {name: x, rule: {protocol: tcp, ports: 70000}}", ":1: '70000' are no ports"),
        ("- {name: x, rule: {protocol: tcp, ports: 9-1}}", ":1: '9-1' are no ports"),
        ("- {name: x, rule: {protocol: tcp, ports: ''}}", ":1: no ports"),
        ("- {name: x, rule: {protocol: tcp, icmp: '8:*'}}", ":1: icmp make no sense"),
        ("- {name: x, rule: {protocol: tcp, title: a|b}}", r":1: 'a\|b. can't stand in a rule"),
        ("- {name: x, stock: [a], remote: everyone}", ":1: 'everyone' are no addresses"),
        ("- {name: x, stock: [a], profiles: [home]}", ":1: 'home' is none of domain, private, public"),
        ("- {name: a|b, rule: {protocol: tcp}}", r":1: 'a\|b. can't stand in a rule"),
        ("- {name: '', stock: [a]}", ":1: a rule needs a name"),
        ("- {profile: public}", ":1: enabled is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "firewall.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        firewall.parse(path, {})
