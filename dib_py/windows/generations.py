"""The generations of Windows, told apart by build number and installation type: product names lie (11 says "10")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Generation:
    """One generation: its ``name`` as people say it, and NT's version number.

    ``driver_directory`` is what virtio-win calls it. Builds from ``first`` to ``last`` are of it.
    """

    name: str
    version: tuple[int, int]
    server: bool
    first: int
    last: int
    driver_directory: str

    @property
    def title(self) -> str:
        return f"Windows Server {self.name}" if self.server else f"Windows {self.name}"

    @property
    def osinfo(self) -> str:
        """The short id in libosinfo's database."""
        return f"win{(self.driver_directory if self.server else self.name).casefold()}"

    @property
    def has_driver_database(self) -> bool:
        """Whether Plug and Play knows drivers from ``SYSTEM\\DriverDatabase``; before, from CriticalDeviceDatabase."""
        return self.version >= (6, 2)


# Each up to the build before the next: insider builds and updates count as what they are built on.
GENERATIONS = (
    Generation("2008", (6, 0), True, 6000, 7599, "2k8"),
    Generation("Vista", (6, 0), False, 6000, 7599, "2k8"),
    Generation("2008 R2", (6, 1), True, 7600, 9199, "2k8R2"),
    Generation("7", (6, 1), False, 7600, 9199, "w7"),
    Generation("2012", (6, 2), True, 9200, 9599, "2k12"),
    Generation("8", (6, 2), False, 9200, 9599, "w8"),
    Generation("2012 R2", (6, 3), True, 9600, 9900, "2k12R2"),
    Generation("8.1", (6, 3), False, 9600, 9900, "w8.1"),
    Generation("2016", (10, 0), True, 10240, 17762, "2k16"),
    Generation("2019", (10, 0), True, 17763, 20347, "2k19"),
    Generation("2022", (10, 0), True, 20348, 25999, "2k22"),
    Generation("2025", (10, 0), True, 26000, 99999, "2k25"),
    Generation("10", (10, 0), False, 10240, 21999, "w10"),
    Generation("11", (10, 0), False, 22000, 99999, "w11"),
)


def identify(build: int, installation_type: str) -> Generation | None:
    """The generation of a build; ``installation_type`` is the registry's: Client, Server, Server Core, Nano Server.

    None for a build that is older than Vista, or between two generations.
    """
    server = "server" in installation_type.casefold()
    return next((one for one in GENERATIONS if one.server == server and one.first <= build <= one.last), None)
