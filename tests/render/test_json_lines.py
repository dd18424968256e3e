"""JSON lines can be read back into the events that they were."""

from __future__ import annotations

import io
import json

from dib_py.events import Event, from_json
from dib_py.render.json_lines import JsonLines


def test_each_event_is_a_line_that_can_be_read_back(good_build: list[Event], failed_build: list[Event]) -> None:
    stream = io.StringIO()
    show = JsonLines(stream)
    for event in good_build + failed_build:
        show(event)
    lines = stream.getvalue().splitlines()
    assert [type(from_json(line)) for line in lines] == [type(event) for event in good_build + failed_build]
    assert json.loads(lines[-1])["tail"] == ["+ cp a b", "cp: cannot stat 'a'"]
    assert json.loads(lines[0]) == {
        "event": "Message",
        "at": 1767225600.25,
        "level": "info",
        "text": "target host: KVM does not work here",
    }
