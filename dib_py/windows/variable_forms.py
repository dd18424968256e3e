"""The forms that what a variable holds may have to have: what Windows takes where elements put it.

Setup stops at the first start of each machine, in a window that nobody sees, over a value that it does not take. Forms
are from Microsoft's "Unattended Windows Setup Reference"; names of time zones from tzlocal, which has Unicode's table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dib_py.errors import nearest
from dib_py.windows.firewall_rule import address_fields

_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?-([A-Za-z]{2}|\d{3})(-[A-Za-z0-9]{2,8})*|qps-ploc[am]?", re.ASCII)
_COMPUTER_NAME = re.compile(r"(?!\d+$)[^\s{}|~\[\]\\^':;<=>?@!\"#$%`()+/.,*&]{1,15}|\*")
_KEYBOARD = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}", re.ASCII)
_PRODUCT_KEY = re.compile(r"([A-Za-z0-9]{5}-){4}[A-Za-z0-9]{5}", re.ASCII)
_DST_OFF = "_dstoff"  # after a zone's name: without summer time


@dataclass(frozen=True)
class Form:
    """``what`` a variable has to hold, and ``advice``, which tells what is wrong with a text; empty for nothing."""

    what: str
    advice: Callable[[str], str]


def _addresses(text: str) -> str:
    try:
        address_fields(text)
    except ValueError:
        return "any, or addresses, networks and LocalSubnet between commas: 10.0.0.0/8, LocalSubnet"
    return ""


def _keyboard(text: str) -> str:
    """Windows takes several between semicolons, each by its numbers or by a language that brings its own."""
    if all(_KEYBOARD.fullmatch(one) or _LOCALE.fullmatch(one) for one in text.split(";")):
        return ""
    return "language and layout are written like 0407:00000407, or a language like de-CH; several with ; between them"


def _locale(text: str) -> str:
    return "" if _LOCALE.fullmatch(text) else "language and country are written like de-CH or en-US"


def _computer_name(text: str) -> str:
    allowed = "at most 15 letters, digits, - and _, not digits alone; * lets Windows choose"
    return "" if _COMPUTER_NAME.fullmatch(text) else allowed


def _product_key(text: str) -> str:
    return "" if _PRODUCT_KEY.fullmatch(text) else "five groups of five letters and digits, with - between them"


def _time_zone(text: str) -> str:
    from tzlocal.windows_tz import tz_win, win_tz  # here, because few plans need these tables

    if text.removesuffix(_DST_OFF) in win_tz:
        return ""
    folded = {name.casefold(): name for name in tz_win}
    if (name := folded.get(text.casefold())) is not None:
        return f"Windows calls it '{tz_win[name]}'"
    near = {name: name for name in win_tz} | (tz_win if "/" in text else {})
    meant = [near[name] for name in nearest(text, near)]
    hint = f"is '{meant[0]}' meant? " if meant else ""
    return f"{hint}tzutil /l of Windows lists the names, like 'W. Europe Standard Time'"


FORMS: Mapping[str, Form] = {
    "addresses": Form("addresses", _addresses),
    "computer-name": Form("a computer's name", _computer_name),
    "keyboard": Form("a keyboard's language and layout", _keyboard),
    "locale": Form("a language with its country", _locale),
    "product-key": Form("a product key", _product_key),
    "time-zone": Form("one of Windows' time zones", _time_zone),
}
