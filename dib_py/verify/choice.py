"""Which checks there are, and which of them are meant by a profile or by names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dib_py.errors import HostError, UsageError, nearest
from dib_py.verify.checks import NAMESPACE, Check

DEFAULT_PROFILE = "openstack"


def known() -> list[Check]:
    """All checks that are installed, by name; HostError for one that does not load."""
    from stevedore.extension import ExtensionManager  # costs as much as the rest of a small command

    def broken(_manager: object, entry_point: object, error: BaseException) -> None:
        raise HostError(f"the check {getattr(entry_point, 'name', '')} does not load: {error}") from error

    manager: ExtensionManager[Check] = ExtensionManager(NAMESPACE, invoke_on_load=True, on_load_failure_callback=broken)
    found = [extension.obj for extension in manager]
    return sorted((check for check in found if check is not None), key=lambda check: check.name)


def of_profile(profile: str, checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks of a profile; UsageError for one that no check is in."""
    listed = list(checks)
    chosen = tuple(check for check in listed if profile in check.profiles)
    if not chosen:
        profiles = sorted({name for check in listed for name in check.profiles})
        raise UsageError(f"there is no profile {profile}", hint=_hint(profile, profiles))
    return chosen


def by_name(names: Sequence[str], checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks of these names; UsageError for a name that none has."""
    named = {check.name: check for check in checks}
    for name in names:
        if name not in named:
            raise UsageError(f"there is no check {name}", hint=_hint(name, sorted(named)))
    return tuple(named[name] for name in dict.fromkeys(names))


def _hint(name: str, there: Sequence[str]) -> str:
    meant = nearest(name, there, 1)
    return f"{meant[0]}?" if meant else f"there are: {', '.join(there)}"
