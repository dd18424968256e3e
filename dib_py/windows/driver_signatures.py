"""Whether a Windows can verify a driver's signature: before 8, SHA-2 has to be taught to it by an update."""

from __future__ import annotations

from dib_py.windows.registry import Registry

_PACKAGES = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages"
_UPDATES = ("package_for_kb3033929~", "package_for_kb4474419~", "package_for_rollupfix~")
_SHA256 = bytes.fromhex("0609608648016503040201")  # object identifiers, as DER has them
_SHA1 = bytes.fromhex("06052b0e03021a")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_HEAD = 64  # bytes after SignedData's identifier in which its digest algorithm stands


def needs_sha2(catalog: bytes) -> bool:
    """Whether the first signature of a catalog (PKCS #7) is made with SHA-256; what is no catalog needs nothing."""
    start = catalog.find(_SIGNED_DATA)
    head = catalog[start : start + len(_SIGNED_DATA) + _HEAD]
    sha256, sha1 = head.find(_SHA256), head.find(_SHA1)
    return start >= 0 and sha256 >= 0 and (sha1 < 0 or sha256 < sha1)


def knows_sha2(registry: Registry) -> bool:
    """Whether an update that brings SHA-2 is installed: KB3033929, KB4474419, or a monthly rollup."""
    return any(name.casefold().startswith(_UPDATES) for name in registry.keys(_PACKAGES))
