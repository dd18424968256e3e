"""What the texts of hooks mention: names that can be variables, and tools that fetch. Pure, and kept for each text."""

from __future__ import annotations

import functools
import re

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
# One or two letters are a word of every other comment and the name of options too, so only what can be a variable's use
# names such a variable: behind $ ${ ${# ${! $( { [ ( = , or a quote, before = += [ or a quote, behind a word that takes
# variables' names, beside a comparison of numbers, and in arithmetic.
_SHORT = re.compile(
    rb"""(?:[$}{\[(=,!#"'`]|(?<!\w)(?:-v|printenv|export|unset|declare|typeset|local|readonly|getenv|ifn?def)\b"""
    rb"""(?:\s+-\w+)*\s+|-(?:eq|ne|[lg][te])\s+)([A-Za-z_]\w?)(?!\w)"""
    rb"""|(?<!\w)([A-Za-z_]\w?)(?=\+?=|["'\[]|\s+-(?:eq|ne|[lg][te])\b)"""
)
_ARITHMETIC = re.compile(rb"\(\((?s:.*?)\)\)|\$\[(?s:.*?)\]|\blet\b.*")
# How every hook turns tracing on. It changes what is printed and nothing else, so it is no mention of the variable.
_TRACING = re.compile(
    rb"""\bif \[\[? "?\$\{?DIB_DEBUG_TRACE(?::?-[01])?\}?"? -(?:gt|ge) [0-9] \]\]?; then\s+set -x+v?\s+fi\b"""
    rb"""|\[\[? "?\$\{?DIB_DEBUG_TRACE(?::?-[01])?\}?"? -(?:eq|le|lt) [0-9] \]\]? \|\| set -x+v?\b"""
)
# A line that is nothing but a comment; one with an expansion may be a line that is written somewhere.
_COMMENT = re.compile(rb"^[ \t]*#[^\n$`]*$", re.MULTILINE)
_FETCHES = re.compile(
    rb"\b(add-apt-repository|apk|apt|apt-get|aptitude|aria2c|cache-url|cargo|cdebootstrap|composer|conda|curl|debootstrap|"
    rb"dnf|docker|emerge|flatpak|ftp|gem|git|go|helm|hg|install-packages|mamba|microdnf|mmdebstrap|mvn|npm|oras|pacman|"
    rb"pacstrap|package-installs|pip[0-9.]*|pnpm|podman|recv-keys|rsync|scp|sftp|skopeo|snap|svn|tdnf|"
    rb"uv|virtualenv|wget|yarn|yum|yumdownloader|zypper)\b|\b(?:https?|ftp)://"
)


@functools.lru_cache(maxsize=4096)
def words(text: bytes) -> frozenset[bytes]:
    """Everything in a text that could name a variable; kept, because most files are read by many steps."""
    return frozenset(_WORD.findall(_TRACING.sub(b"", text)))


@functools.lru_cache(maxsize=4096)
def short_names(text: bytes) -> frozenset[bytes]:
    """The names of one or two letters that a text uses as a variable; all such words of what is no text."""
    if b"\0" in text:
        return frozenset(word for word in words(text) if len(word) < 3)
    found = {word for pair in _SHORT.findall(text) for word in pair}
    for expression in _ARITHMETIC.findall(text):
        found |= words(expression)
    return frozenset(word for word in found if 0 < len(word) < 3)


@functools.lru_cache(maxsize=4096)
def fetches(text: bytes) -> bool:
    return b"\0" in text or _FETCHES.search(without_comments(text)) is not None


def without_comments(text: bytes) -> bytes:
    """A text without the lines that are comments to the shell, and to most that is not the shell."""
    return _COMMENT.sub(b"", text)
