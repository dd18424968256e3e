"""Variables for looking at a declarative file without an image: whatever it asks with ``when`` counts as true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dib_py.packages.package_installs import WHEN


class Supposed(Mapping[str, str]):
    """Variables of which those that conditions ask for hold what makes them true.

    ``unknown`` are those that hold anything but one value: text with them can't be judged. Of a file that is a list
    only ``item`` is read, counted from 0, so that what can't be judged in one hides nothing that is wrong with another.
    """

    def __init__(self, variables: Mapping[str, str], item: int = 0, unknown: frozenset[str] = frozenset()) -> None:
        self._variables = variables
        self.item = item
        self.unknown = unknown

    def where(self, statements: Iterable[str]) -> Supposed:
        """The variables where these hold too; what is no condition says nothing."""
        variables, unknown = dict(self._variables), self.unknown
        for match in filter(None, map(WHEN.match, statements)):
            name, value = match["variable"], match["value"]
            if match["operator"] == "=":
                variables[name] = value
                unknown -= {name}
            elif variables.get(name, value) == value:
                variables.pop(name, None)
                unknown |= {name}
        return Supposed(variables, self.item, unknown)

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
