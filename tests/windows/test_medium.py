"""Media that are damaged: an answer or an error, whatever their bytes are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dib_py.errors import HostError
from dib_py.windows.medium import iso
from tests.windows import virtio_media

_FIRST, _LAST = 32768, 90000  # bytes in which an image has its descriptors and directories


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("image") / "small.iso"
    return virtio_media.write_iso(virtio_media.media(["2k22"], ["viostor"]), path).read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(_FIRST, _LAST), st.integers(0, 255)), max_size=40),
    size=st.integers(0, 200_000),
)
def test_a_damaged_image_is_read_or_an_error(
    image: bytes, tmp_path: Path, changes: list[tuple[int, int]], size: int
) -> None:
    damaged = bytearray(image)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path / "damaged.iso"
    path.write_bytes(damaged[:size])
    try:
        with iso(path) as medium:
            for name in medium.paths():
                medium.read(name)
    except HostError as error:
        assert str(error).startswith(f"{path} is no ISO image that can be read")
