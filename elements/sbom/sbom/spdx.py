"""SPDX 2.3 as JSON."""

from __future__ import annotations

import re
from typing import Any

import licences
from document import Document
from purl import purl
from table import Package

_GROUP = re.compile(
    r"\b(team|maintainers|group|project|developers|packagers|pkg|packaging|foundation|inc|ltd|list)\b", re.IGNORECASE
)


def render(document: Document) -> dict[str, Any]:
    extracted = {}
    entries = []
    for identifier, package in zip(_identifiers(document.packages), document.packages, strict=True):
        declared = licences.expression(package.licence) if package.licence else "NOASSERTION"
        if declared is None:
            declared = licences.reference(package.licence)
            extracted[declared] = package.licence
        entries.append(_package(document, identifier, package, declared))
    image = "SPDXRef-Image"
    contains = [_relationship(image, "CONTAINS", str(entry["SPDXID"])) for entry in entries]
    texts = [{"licenseId": name, "extractedText": text, "name": text[:80]} for name, text in sorted(extracted.items())]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": document.name,
        "documentNamespace": f"https://spdx.org/spdxdocs/dib-py-{document.uuid}",
        "creationInfo": {
            "created": document.created,
            "creators": ["Tool: dib-py"],
            "licenseListVersion": licences.LIST_VERSION,
        },
        "documentDescribes": [image],
        "packages": [_image(document, image), *entries],
        "relationships": [_relationship("SPDXRef-DOCUMENT", "DESCRIBES", image), *contains],
        **({"hasExtractedLicensingInfos": texts} if texts else {}),
    }


def _image(document: Document, identifier: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": document.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        **({"versionInfo": document.system.version_id} if document.system.version_id else {}),
        **({"description": f"disk image of {document.system.name}"} if document.system.name else {}),
    }


def _package(document: Document, identifier: str, package: Package, declared: str) -> dict[str, Any]:
    source = " ".join(filter(None, (package.source, package.source_version)))
    return {
        "SPDXID": identifier,
        "name": package.name,
        "versionInfo": package.version,
        "supplier": _supplier(package.vendor),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        **({"homepage": package.homepage} if package.homepage else {}),
        **({"sourceInfo": f"built from the source package {source}"} if source else {}),
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared,
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl(package, document.system),
            }
        ],
    }


def _supplier(vendor: str) -> str:
    """Who distributes it: by an address, and no word for a group, a person; databases don't say."""
    if not vendor:
        return "NOASSERTION"
    name, address = re.fullmatch(r"(.*?)\s*(?:<([^<>]*)>)?", vendor).groups()  # type: ignore[union-attr] # always matches
    kind = "Person" if address and not _GROUP.search(name) else "Organization"
    return f"{kind}: {name or address}" + (f" ({address})" if address and name else "")


def _identifiers(packages: tuple[Package, ...]) -> list[str]:
    """One for each package: readable, unique, and the same for the same packages."""
    seen: dict[str, int] = {}
    names = []
    for package in packages:
        text = f"{package.type}-{package.name}-{package.version}-{package.arch}"
        name = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
