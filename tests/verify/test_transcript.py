"""What is kept of a console, whatever the guest sends."""

from __future__ import annotations

import itertools
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dib_py.verify.transcript import LONGEST, OVERHEAD, Transcript, cleaned

HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from([b"\n", b"\r", b"\x1b", b"\x1b[", b"\x1b[2J", b"\x1b[1;1H", b"\x1b]0;t\x07", b"\xe2\x80\xae"]),
    ),
    max_size=40,
).map(b"".join)


def texts(*chunks: bytes) -> list[str]:
    transcript = Transcript()
    for number, chunk in enumerate(chunks):
        transcript.feed(chunk, float(number))
    return [line.text for line in transcript.lines]


def test_lines_have_their_numbers_and_the_times_at_which_they_began() -> None:
    transcript = Transcript()
    for at, chunk in enumerate((b"SeaBIOS\r\nLinux ver", b"sion 6.1\r\n", b"\r\nlogin: ")):
        transcript.feed(chunk, at)
    assert [(line.number, line.at, line.text) for line in transcript.lines] == [
        (1, 0, "SeaBIOS"),
        (2, 0, "Linux version 6.1"),
        (3, 2, ""),
        (4, 2, "login:"),
    ]
    assert (transcript.number, transcript.unfinished) == (4, "login:")


def test_what_only_moves_the_cursor_does_not_begin_a_line() -> None:
    transcript = Transcript()
    transcript.feed(b"\x1b[0m\x1b[37m\x1b[40m \r", 7.0)
    transcript.feed(b"[    0.000000] Linux", 12.0)
    transcript.feed(b" version 6.1\n", 13.0)
    assert [(line.at, line.text) for line in transcript.lines] == [(12.0, "[    0.000000] Linux version 6.1")]


def test_colours_titles_and_redrawn_lines_leave_what_a_person_saw() -> None:
    assert texts(b"\x1b]0;title\x07[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mgetty\x1b[0m.\n") == [
        "[  OK  ] Started getty."
    ]
    assert texts(b"10 %\r50 %\r100 %\r\n") == ["100 %"]


def test_a_boot_menu_that_moves_the_cursor_has_its_lines() -> None:
    cleared = b"\x1bc\x1b[?7l\x1b[2J\x1b[0m\x1b[2J"
    menu = b"\x1b[01;01HGNU GRUB\x1b[04;01H*Debian\x1b[05;01H Advanced options\x1b[22;01H"
    frame = b"\x1b[02;01H+-----+\x1b[03;01H|\x1b[03;07H|\x1b[04;01H+-----+"
    assert texts(cleared + menu + frame + b"\x1b[H") == ["GNU GRUB", "*Debian", " Advanced options"]


def test_no_utf8_is_shown_as_such() -> None:
    assert texts(b"caf\xc3", b"\xa9 \xff\xfe\n") == ["café \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"]


def test_text_that_would_be_read_in_another_order_is_not_shown_like_that() -> None:
    assert cleaned("safe\u202egnp.exe\u2066") == "safe\N{REPLACEMENT CHARACTER}gnp.exe\N{REPLACEMENT CHARACTER}"


@given(HOSTILE, st.data())
def test_it_does_not_matter_in_which_pieces_bytes_come(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    assert texts(*pieces, b"\n") == texts(data, b"\n")


@given(HOSTILE)
def test_nothing_in_a_line_controls_anything(data: bytes) -> None:
    for text in texts(data):
        assert not [character for character in text if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]


def test_a_flood_leaves_its_beginning_and_its_end() -> None:
    transcript = Transcript(first=10_000, last=20_000)
    for at in range(1000):
        transcript.feed(b"".join(b"line %d\n" % (at * 100 + number) for number in range(1, 101)), at)
    kept = transcript.lines
    assert kept[0].text == "line 1"
    assert kept[-1].text == "line 100000"
    assert all(line.text == f"line {line.number}" for line in kept)
    assert sum(len(line.text) + OVERHEAD for line in kept) <= 30_000
    gaps = [later.number - line.number for line, later in itertools.pairwise(kept)]
    assert [gap for gap in gaps if gap != 1] == [max(gaps)]


def test_a_flood_of_nothing_takes_no_room_either() -> None:
    transcript = Transcript(first=3200, last=6400)
    for _ in range(100):
        transcript.feed(b"\n" * 10_000, 1.0)
    assert len(transcript.lines) == 9600 // OVERHEAD
    assert transcript.number == 1_000_001


def test_a_line_without_an_end_is_cut_and_counted() -> None:
    transcript = Transcript()
    for _ in range(1000):
        transcript.feed(b"x" * 1000, 1.0)
    (line,) = transcript.lines
    assert line.text == "x" * LONGEST + "... (a line of 1000000 bytes)"
    transcript.feed(b"\nlogin: ", 2.0)
    assert transcript.unfinished == "login:"


def test_the_tail_has_lines_that_say_something() -> None:
    transcript = Transcript()
    transcript.feed(b"one\n\ntwo\n\n\nKernel panic\n\n", 1.0)
    assert transcript.tail(2) == ["two", "Kernel panic"]
