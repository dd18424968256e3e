"""Licences as databases have them, told apart: an expression of SPDX identifiers, or just a text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LIST_VERSION = "3.28"  # of the SPDX licence list that the two files beside this one are from

_HERE = Path(__file__).parent
_LICENCES = {name.lower(): name for name in (_HERE / "licences.txt").read_text().split()}
_EXCEPTIONS = {name.lower(): name for name in (_HERE / "exceptions.txt").read_text().split()}
_OPERATORS = ("AND", "OR")


def expression(text: str) -> str | None:
    """The text as an SPDX expression in its usual spelling, or None if it isn't one.

    All of it has to be known: half an expression would say something else than the whole.
    """
    words = re.findall(r"[()]|[^\s()]+", text)
    parts: list[str] = []
    depth = 0
    operand_next = True
    for word in words:
        previous = parts[-1] if parts else ""
        if word == "(":
            if not operand_next:
                return None
            depth += 1
            parts.append(word)
        elif word == ")":
            if operand_next or not depth:
                return None
            depth -= 1
            parts.append(word)
        elif word.upper() in _OPERATORS:
            if operand_next:
                return None
            parts.append(word.upper())
            operand_next = True
        elif word.upper() == "WITH":
            if operand_next or previous in (")", "WITH") or previous in _EXCEPTIONS.values():
                return None
            parts.append("WITH")
        elif previous == "WITH":
            if word.lower() not in _EXCEPTIONS:
                return None
            parts.append(_EXCEPTIONS[word.lower()])
        elif operand_next:
            known = _identifier(word)
            if known is None:
                return None
            parts.append(known)
            operand_next = False
        else:
            return None
    if operand_next or depth or parts[-1] == "WITH":
        return None
    return " ".join(parts).replace("( ", "(").replace(" )", ")")


def reference(text: str) -> str:
    """The name by which a document calls a licence that it can only quote."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")[:40].strip("-")
    return f"LicenseRef-{slug or 'text'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _identifier(word: str) -> str | None:
    known = _LICENCES.get(word.lower())
    if known is None and word.endswith("+"):
        known = _LICENCES.get(word[:-1].lower())
        return known and f"{known}+"
    return known
