"""CycloneDX 1.5 as JSON."""

from __future__ import annotations

from typing import Any

import licences
from document import Document
from purl import purl
from table import Package


def render(document: Document) -> dict[str, Any]:
    system = document.system
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{document.uuid}",
        "version": 1,
        "metadata": {
            "timestamp": document.created,
            "tools": {"components": [{"type": "application", "name": "dib-py"}]},
            "component": {
                "type": "operating-system",
                "bom-ref": "image",
                "name": document.name,
                **({"version": system.version_id} if system.version_id else {}),
                **({"description": f"disk image of {system.name}"} if system.name else {}),
            },
        },
        "components": [_component(document, package) for package in document.packages],
        "dependencies": [{"ref": "image", "dependsOn": [purl(package, system) for package in document.packages]}],
    }


def _component(document: Document, package: Package) -> dict[str, Any]:
    name = purl(package, document.system)
    source = {"name": package.source, "version": package.source_version}
    return {
        "type": "library",
        "bom-ref": name,
        **({"publisher": package.vendor} if package.vendor else {}),
        "name": package.name,
        "version": package.version,
        **({"licenses": [_licence(package.licence)]} if package.licence else {}),
        "purl": name,
        **({"externalReferences": [{"type": "website", "url": package.homepage}]} if package.homepage else {}),
        "properties": [{"name": f"dib-py:source:{key}", "value": value} for key, value in source.items() if value],
    }


def _licence(text: str) -> dict[str, Any]:
    expression = licences.expression(text)
    return {"license": {"name": text}} if expression is None else {"expression": expression}
