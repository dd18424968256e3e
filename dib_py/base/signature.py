"""Whether a publisher signed an image or its checksum file: OpenPGP signatures, held against a keyring by gpgv."""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from pathlib import Path

from dib_py.errors import BaseError, HostError
from dib_py.process import CommandFailed, run

CLEARSIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"

_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_LONGEST = 600.0  # seconds that gpgv may take, which reads an image as fast as the disk can


def signed_text(text: str, signature: Path | None, keyring: Path, name: str) -> str:
    """What of ``text`` is signed by a key of ``keyring``: all of it where ``signature`` has a detached signature, else
    what is between the lines of a signed message.

    ``name`` says what the text is, for messages. BaseError for a signature that is missing, wrong, or of another key.
    """
    with tempfile.TemporaryDirectory(prefix="dib-py-signature-") as scratch:
        file = Path(scratch, "text")
        file.write_text(text)
        if signature is None:
            return _gpgv(keyring, name, "--output", "-", file)
        require_signed(file, signature, keyring, name)
        return text


def require_signed(file: Path, signature: Path, keyring: Path, name: str) -> None:
    """Raise BaseError, about ``name``, unless ``signature`` is one of the file by a key of ``keyring``."""
    _gpgv(keyring, name, signature, file)


def _gpgv(keyring: Path, name: str, *arguments: str | Path) -> str:
    with tempfile.TemporaryDirectory(prefix="dib-py-signature-") as scratch:
        keys = Path(scratch, "keys")
        keys.write_bytes(_keys(keyring))
        try:
            return run(["gpgv", "--homedir", scratch, "--keyring", keys, *arguments], timeout=_LONGEST)
        except CommandFailed as error:
            raise BaseError(
                f"{name} is not signed as it should be: {_reason(error)}", hint=f"keyring {keyring}"
            ) from error
        except HostError as error:
            raise BaseError(f"the signature of {name} can't be verified: {error.message}", hint=error.hint) from error


def _keys(keyring: Path) -> bytes:
    """The keys of a keyring, which gpgv reads only without ASCII armor."""
    try:
        content = keyring.read_bytes()
    except OSError as error:
        raise BaseError(f"keyring {keyring} can't be read: {error.strerror}") from error
    blocks = _ARMOR.findall(content)
    return b"".join(map(_without_armor, blocks)) if blocks else content


def _without_armor(block: bytes) -> bytes:
    body = block.replace(b"\r", b"").partition(b"\n\n")[2]
    lines = [line for line in body.splitlines() if line and not line.startswith(b"=")]  # "=" begins a sum of 24 bits
    try:
        return base64.b64decode(b"".join(lines))
    except binascii.Error:
        return b""  # gpgv finds no key then


def _reason(error: CommandFailed) -> str:
    """What gpgv said last, without its name."""
    said = [line.removeprefix("gpgv: ").strip() for line in error.output.splitlines() if line.startswith("gpgv: ")]
    return said[-1] if said else f"gpgv ends with {error.returncode}"
