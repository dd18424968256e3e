"""Names of container images: ``[REGISTRY/]NAME[:TAG]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dib_py.errors import UsageError
from dib_py.settings import Settings

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
)


@dataclass(frozen=True)
class ImageReference:
    """The name that a container image is loaded under, and its tag."""

    name: str
    tag: str

    @property
    def familiar(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def full(self) -> str:
        """With the registry that Docker means where none is named."""
        first, slash, _ = self.name.partition("/")
        if slash and (set(".:") & set(first) or first == "localhost"):
            return self.familiar
        return f"docker.io/{'' if slash else 'library/'}{self.familiar}"


def image_reference(settings: Settings) -> ImageReference:
    """``--docker-target``, or the image's own name in lower case; UsageError for what no registry would take."""
    asked = settings.docker_target
    found = _REFERENCE.fullmatch(asked or settings.image_name.rpartition("/")[2].lower())
    if found is None and asked:
        raise UsageError(
            f"--docker-target '{asked}' is no name of a container image",
            hint="NAME:TAG, in lower case, such as debian:12 or registry.example.org/debian:12",
        )
    if found is None:
        raise UsageError(
            f"a container image can't be called '{settings.image_name}'", hint="give its name with --docker-target"
        )
    return ImageReference(found["name"], found["tag"] or "latest")
