"""svc-map: what a service is called in the image's distribution, for all elements together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dib_py.element import Element
from dib_py.errors import ElementError
from dib_py.packages.declarations import read_yaml

FILE = "svc-map"


@dataclass(frozen=True)
class Service:
    """Under ``selector`` (a distribution, a family, or ``default``) the service is called ``real``."""

    name: str
    selector: str
    real: str


def merge(elements: Iterable[Element]) -> tuple[Service, ...]:
    """The services of all ``svc-map`` files; ElementError for one that two elements map, FileError for a bad file."""
    owners: dict[str, Element] = {}
    services: list[Service] = []
    for element in elements:
        for service in read(element):
            owner = owners.setdefault(service.name, element)
            if owner is not element:
                raise ElementError(
                    f"service {service.name} is mapped by elements {owner.name} and {element.name}: "
                    f"{owner.path / FILE} and {element.path / FILE}",
                    hint="leave one of the two elements out",
                )
            services.append(service)
    return tuple(services)


def read(element: Element) -> list[Service]:
    """The services of one element's ``svc-map``, none if it has no such file."""
    path = element.path / FILE
    if not path.is_file():
        return []
    document = read_yaml(path)
    if document.data is None:
        return []
    if not isinstance(document.data, dict):
        raise document.error("must be a mapping of services", hint="service: {default: name, debian: other-name}")
    services = []
    for name, mapping in document.data.items():
        if not isinstance(mapping, dict):
            raise document.error(f"service {name} must have a mapping of distributions or families", name)
        for selector, real in mapping.items():
            if not isinstance(real, str) or not real.strip() or set(f"{name}{selector}{real}") & set("\t\n"):
                raise document.error(f"service {name}: {selector} must be a name", name, selector)
            services.append(Service(str(name), str(selector), real))
    return services
