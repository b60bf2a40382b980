"""The rules for seconds, counts, ids and printable text, as tables of values."""

from __future__ import annotations

import enum
import math
from decimal import Decimal

import pytest

from teamwork_desk._checks import (
    LARGEST_ID,
    LONGEST_TEXT,
    is_count,
    is_id,
    is_seconds,
    name_only,
    printable,
    unknown_names,
)


class Number(enum.IntEnum):
    ZERO = 0
    SEVEN = 7


class IntSubclass(int):
    pass


class FloatSubclass(float):
    pass


NOT_NUMBERS = [True, False, "7", b"7", None, [7], Decimal(7), 7j]


@pytest.mark.parametrize(
    "value",
    [0, 7, 0.0, -0.0, 0.5, 1e300, Number.ZERO, Number.SEVEN, IntSubclass(7), FloatSubclass(0.5)],
    ids=repr,
)
def test_a_finite_number_that_is_not_negative_is_seconds(value: object) -> None:
    assert is_seconds(value)


@pytest.mark.parametrize(
    "value",
    [*NOT_NUMBERS, -1, -0.5, math.inf, -math.inf, math.nan, IntSubclass(-1), FloatSubclass(math.nan)],
    ids=repr,
)
def test_any_other_value_is_not_seconds(value: object) -> None:
    assert not is_seconds(value)


COUNTS = [1, 7, LARGEST_ID, Number.SEVEN, IntSubclass(7)]
NOT_COUNTS = [*NOT_NUMBERS, 0, -1, 7.0, math.inf, math.nan, Number.ZERO, IntSubclass(0), FloatSubclass(7)]


@pytest.mark.parametrize("value", [*COUNTS, LARGEST_ID + 1], ids=repr)
def test_a_positive_int_is_a_count(value: object) -> None:
    assert is_count(value)


@pytest.mark.parametrize("value", NOT_COUNTS, ids=repr)
def test_any_other_value_is_not_a_count(value: object) -> None:
    assert not is_count(value)


def test_an_id_has_at_most_64_bits_with_a_sign() -> None:
    assert LARGEST_ID == 9_223_372_036_854_775_807


@pytest.mark.parametrize("value", COUNTS, ids=repr)
def test_a_positive_int_of_at_most_64_bits_is_an_id(value: object) -> None:
    assert is_id(value)


@pytest.mark.parametrize("value", [*NOT_COUNTS, LARGEST_ID + 1, IntSubclass(LARGEST_ID + 1)], ids=repr)
def test_any_other_value_is_not_an_id(value: object) -> None:
    assert not is_id(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("Grüße, 日本, \U0001f600", "Grüße, 日本, \U0001f600"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("a\ttab", r"a\ttab"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("nul\0 bell\a", r"nul\x00 bell\x07"),
        ("C1 control \x9b", r"C1 control \x9b"),
        ("right to left \u202e", r"right to left \u202e"),
        ("a line separator \u2028", r"a line separator \u2028"),
        ("a lone surrogate \ud800", r"a lone surrogate \ud800"),
        (r"C:\names", r"C:\names"),
    ],
    ids=ascii,
)
def test_characters_that_could_control_a_terminal_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * LONGEST_TEXT, "x" * LONGEST_TEXT),
        ("x" * (LONGEST_TEXT + 1), "x" * LONGEST_TEXT + "..."),
        ("x" * 10**7, "x" * LONGEST_TEXT + "..."),
        ("\n" * LONGEST_TEXT, r"\n" * LONGEST_TEXT),
        ("\n" * (LONGEST_TEXT + 1), r"\n" * LONGEST_TEXT + "..."),
    ],
    ids=["longest", "too long by one", "far too long", "longest, escaped", "too long by one, escaped"],
)
def test_text_is_cut_only_if_it_is_longer_than_the_limit(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("customer", "customer"),
        ("notifyCustomer", "notifyCustomer"),
        ("größe", "größe"),
        ("", "..."),
        ("jo@example.com", "..."),
        ("two words", "..."),
        ("7", "..."),
        (7, "..."),
        (("jo", "s3cret"), "..."),
        (None, "None"),
    ],
    ids=repr,
)
def test_a_name_that_is_not_an_identifier_is_hidden(name: object, expected: str) -> None:
    assert name_only(name) == expected


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        (["custmer"], "unknown argument: custmer (did you mean customer?)"),
        (["nothing"], "unknown argument: nothing"),
        (["jo@example.com"], "unknown argument: ..."),
        (["zebra", "subjct", 7], "unknown arguments: ..., subjct (did you mean subject?), zebra"),
        (iter(["zebra", "apple"]), "unknown arguments: apple, zebra"),
    ],
    ids=["similar", "not similar", "hidden", "several", "iterator"],
)
def test_a_message_lists_the_unknown_names_in_order_and_suggests_similar_names(
    unknown: list[object], message: str
) -> None:
    assert unknown_names("argument", unknown, iter(["customer", "subject"])) == message
