"""How often and how patiently a call is retried: the policy and the quota."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from teamwork_desk import ConfigurationError, RetryPolicy
from teamwork_desk._retry import RetryQuota

# The back-off

SECONDS = st.floats(min_value=0, max_value=1e300)


@pytest.mark.parametrize(("retry", "pause"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 20), (8, 20)])
def test_the_longest_possible_pause_doubles_with_every_retry_up_to_the_cap(retry: int, pause: float) -> None:
    assert RetryPolicy().backoff(retry, 1.0) == pause


@pytest.mark.parametrize("draw", [0.0, 0.25, 1.0])
def test_the_random_draw_scales_the_pause_from_zero_to_the_longest(draw: float) -> None:
    assert RetryPolicy(backoff_base=8, backoff_cap=100).backoff(2, draw) == draw * 16


@given(base=SECONDS, cap=SECONDS, retry=st.integers(1, 10**6), draw=st.floats(0, 1))
def test_a_pause_is_between_zero_and_the_cap_and_not_shorter_than_the_previous_pause(
    base: float, cap: float, retry: int, draw: float
) -> None:
    policy = RetryPolicy(backoff_base=base, backoff_cap=cap)
    assert 0 <= policy.backoff(retry, draw) <= policy.backoff(retry + 1, draw) <= cap


# The policy's values


def test_the_defaults_are_the_documented_values() -> None:
    assert RetryPolicy() == RetryPolicy(
        max_attempts=4,
        backoff_base=0.5,
        backoff_cap=20.0,
        max_retry_after=120.0,
        on_unknown="verify",
        settle=(0.5, 1.0, 2.0),
    )


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RetryPolicy().max_attempts = 9  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "values",
    [
        {"max_attempts": 1},
        {"max_attempts": 1000},
        {"backoff_base": 0, "backoff_cap": 0, "max_retry_after": 0},
        {"backoff_cap": 0.001},
        {"on_unknown": "raise"},
        {"on_unknown": "verify"},
        {"settle": ()},
        {"settle": (0, 1.5)},
    ],
    ids=str,
)
def test_a_valid_value_is_kept(values: dict[str, Any]) -> None:
    policy = RetryPolicy(**values)
    assert {name: getattr(policy, name) for name in values} == values


INVALID_SECONDS = [-1, -0.001, math.nan, math.inf, -math.inf, True, "1", None, 1j]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_attempts", value) for value in [0, -1, 1.0, True, "3", None, math.inf]),
        *((name, value) for name in ("backoff_base", "backoff_cap", "max_retry_after") for value in INVALID_SECONDS),
        *(("settle", (0.5, value)) for value in INVALID_SECONDS),
        *(("settle", value) for value in [1.0, None, "12"]),
        *(("on_unknown", value) for value in ["guess", "Verify", "", None, True, ["verify"]]),
    ],
)
def test_an_invalid_value_is_rejected_with_the_name_of_its_option(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        RetryPolicy(**{name: value})


def test_a_policy_copies_a_list_because_the_list_could_change() -> None:
    assert RetryPolicy(settle=[0.5]) == RetryPolicy(settle=(0.5,))  # type: ignore[arg-type]
    assert hash(RetryPolicy(settle=[0.5]))  # type: ignore[arg-type]


# The quota


def use_up(quota: RetryQuota) -> int:
    """Use up a quota, and return how many retries it allowed."""
    retries = 0
    while quota.spend():
        retries += 1
    return retries


def test_a_quota_allows_a_hundred_retries_and_no_more() -> None:
    quota = RetryQuota()
    assert use_up(quota) == 100
    assert not quota.spend()


@pytest.mark.parametrize(
    ("successes", "retries"),
    [([0] * 4, 0), ([0] * 5, 1), ([1], 1), ([3], 3), ([1, 2, 0, 0, 0, 0, 0], 4), ([100], 100), ([10**9], 100)],
)
def test_a_success_gives_back_the_cost_of_its_retries_and_at_least_a_fifth_of_one_retry(
    successes: list[int], retries: int
) -> None:
    quota = RetryQuota()
    use_up(quota)
    for success in successes:
        quota.give_back(success)
    assert use_up(quota) == retries


def test_a_full_quota_stays_at_its_capacity() -> None:
    quota = RetryQuota()
    quota.give_back(50)
    assert use_up(quota) == 100


@given(st.lists(st.none() | st.integers(0, 200)))
def test_a_quota_stays_between_zero_and_its_capacity_whatever_is_spent_and_given_back(steps: list[int | None]) -> None:
    quota, points = RetryQuota(), 500
    for retries in steps:
        if retries is None:
            assert quota.spend() is (points >= 5)
            points -= 5 if points >= 5 else 0
        else:
            quota.give_back(retries)
            points = min(500, points + max(1, retries * 5))
    assert use_up(quota) == points // 5
