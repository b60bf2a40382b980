"""A URL that is parsed late is a URL like any other."""

from __future__ import annotations

import copy
import pickle

import httpx
import pytest

from teamwork_desk._lazy_url import LazyURL
from teamwork_desk_api.api.conversations.list_conversations import list_conversations

ORIGINS = ["https://acme.teamwork.com", "http://127.0.0.1:8080", "http://[::1]:8080", "https://xn--bcher-kva.example"]
TARGETS = [
    "/desk/api/v2/conversations/42/convert.json",
    list_conversations(filter='{"state":{"$eq":"\u00e4 /?#&=%+\'~"}}', includes=["users", "all"], page=2).target,
]
# `raw` warns that it is deprecated.
PROPERTIES = sorted(name for name, member in vars(httpx.URL).items() if isinstance(member, property) and name != "raw")

each = pytest.mark.parametrize(
    ("lazy", "parsed"),
    [
        pytest.param(LazyURL(httpx.URL(origin), target), httpx.URL(origin + target), id=f"{origin}-{number}")
        for origin in ORIGINS
        for number, target in enumerate(TARGETS)
    ],
)


@each
@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_is_that_of_the_parsed_one(lazy: LazyURL, parsed: httpx.URL, name: str) -> None:
    assert getattr(copy.copy(lazy), name) == getattr(parsed, name)


@each
def test_it_is_equal_and_can_be_copied_and_changed(lazy: LazyURL, parsed: httpx.URL) -> None:
    assert (lazy, str(lazy), hash(lazy)) == (parsed, str(parsed), hash(parsed))
    assert parsed == lazy
    assert httpx.URL(lazy) == parsed
    assert httpx.Request("GET", lazy).url == parsed
    assert lazy.copy_with(query=None) == parsed.copy_with(query=None)
    assert lazy.join("/other") == parsed.join("/other")
    for other in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        assert other == parsed


def test_what_sending_takes_parses_nothing() -> None:
    lazy = LazyURL(httpx.URL(ORIGINS[0]), TARGETS[0])
    before = dict(vars(lazy))
    assert (lazy.raw_scheme, lazy.raw_host, lazy.port) == (b"https", b"acme.teamwork.com", None)
    assert (str(lazy), lazy.raw_path) == (ORIGINS[0] + TARGETS[0], TARGETS[0].encode())
    assert vars(lazy) == before


def test_what_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = LazyURL(httpx.URL(ORIGINS[0]), TARGETS[0]).nothing
