"""Does the guest reach the metadata service of a cloud?"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterator
from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, Unreachable, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

_SERVICE = ipaddress.IPv4Address("169.254.169.254")
_ZEROCONF = ipaddress.IPv4Network("169.254.0.0/16")
_NUMBER = re.compile(r"[0-9A-F]{8}")
_PATH = "latest/meta-data/instance-id"

# with the first of these that the guest has, and past any proxy: that would be another machine asking
_FETCH = """
if command -v curl >/dev/null; then
    curl --silent --show-error --noproxy '*' --max-time 20 '{url}'
elif command -v python3 >/dev/null; then
    python3 -c 'import sys, urllib.request as u
print(u.build_opener(u.ProxyHandler({{}})).open(sys.argv[1], timeout=20).read().decode())' '{url}'
elif command -v wget >/dev/null; then
    env -u http_proxy -u HTTP_PROXY wget -q -T 20 -O - '{url}'
else
    echo 'there is no curl, python3 or wget' >&2
    exit 127
fi
"""
_NO_CLIENT = 127


class MetadataRoute:
    """The guest asks with a word of this check, and the service must have heard it."""

    name: ClassVar[str] = "metadata-route"
    proves: ClassVar[str] = "The metadata service at 169.254.169.254 is reached: no zeroconf route is in its way."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHELL})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)  # until then the network is still being set up
        word = secrets.token_hex(8)
        url = f"http://{_SERVICE}/{_PATH}?{word}"
        answers = ask(subject.shell, {"routes": "cat /proc/net/route", "answer": _FETCH.format(url=url)})
        routes, answer = list(_routes(answers["routes"].output)), answers["answer"]
        heard = [request for request in subject.requests if word in request.path]
        evidence = (
            Evidence("routes", "\n".join(f"{network} by {device}" for network, device in routes) or "(none)"),
            Evidence(url, answer.output),
            Evidence("requests that came", "\n".join(f"{one.method} {one.path} {one.status}" for one in heard)),
        )
        zeroconf = [f"{network} by {device}" for network, device in routes if _is_zeroconf(network)]
        if zeroconf:
            return failed(f"a zeroconf route takes what is meant for the metadata service: {zeroconf[0]}", *evidence)
        if answer.exit_code == _NO_CLIENT:
            raise Unreachable("the guest has no program to ask the metadata service with")
        if answer.output.strip() != subject.seed.instance_id or not heard:
            return failed(f"the metadata service is not reached: {_why(answer.output, bool(heard))}", *evidence)
        return passed(*evidence)


def _is_zeroconf(network: ipaddress.IPv4Network) -> bool:
    """Whether it is one to neighbours with addresses of their own choice; clouds hand out one to the service alone."""
    return network.subnet_of(_ZEROCONF) and network.prefixlen < network.max_prefixlen


def _routes(table: str) -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    """The networks of /proc/net/route and their devices; addresses there are hexadecimal, last byte first."""
    for line in table.splitlines():
        words = line.split()
        if len(words) > 7 and _NUMBER.fullmatch(words[1]) and _NUMBER.fullmatch(words[7]):
            address, mask = (bytes.fromhex(words[column])[::-1] for column in (1, 7))
            prefix = int.from_bytes(mask, "big").bit_count()
            yield ipaddress.IPv4Network((address, prefix), strict=False), words[0]


def _why(printed: str, heard: bool) -> str:
    last = printed.strip().splitlines()[-1:] or ["nothing came back"]
    return f"it was asked, but the guest got {last[0]!r}" if heard else last[0]
