"""The Redis that a fleet can use: its URL, and what is checked when a worker or a producer starts."""

from __future__ import annotations

import re
from typing import Any, Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoPermissionError, RedisError

from .. import ConfigurationError
from ._redis import logger

SOCKET_TIMEOUT: Final = 5.0
"""Seconds until a connection to Redis counts as dead. It must be longer than a read blocks."""

OLDEST: Final = (6, 2)
"""The oldest version of Redis that has the commands of the queue."""

# The script names all keys at once, because a Redis that distributes keys over several servers cannot run it.
CHECK_KEYS: Final = """
for number, key in ipairs(KEYS) do
    local found = redis.call('type', key)['ok']
    if found ~= 'none' and found ~= ARGV[number] then return {key, found, ARGV[number]} end
end
return {}
"""


def check_url(url: object) -> str:
    """Return a URL that redis-py accepts.

    Raises:
        ConfigurationError: The URL has another scheme, such as that of Sentinel, or an option that redis-py rejects.
            The message does not quote the URL, because it may contain a password.
    """
    try:
        if isinstance(url, str):
            # redis-py reads some options only when it creates a connection.
            pool_class: Any = BlockingConnectionPool  # its types are incomplete
            pool = pool_class.from_url(str(url))
            pool.make_connection()
            options = pool.connection_kwargs
            if options.get("decode_responses") or str(options.get("protocol", 2)) != "2":
                raise ConfigurationError("redis_url: the options decode_responses and protocol are not supported")
            if options.get("socket_timeout", SOCKET_TIMEOUT) < SOCKET_TIMEOUT:
                raise ConfigurationError(f"redis_url: expected a socket_timeout of at least {SOCKET_TIMEOUT:g} s")
            return str(url)
    except (ValueError, TypeError, RedisError):
        pass
    raise ConfigurationError(
        "redis_url: expected redis://, rediss:// or unix:// of a single Redis or Valkey, with a percent-encoded "
        "password and options that redis-py has; URLs of Sentinel or of a cluster are not supported"
    )


async def check_server(redis: Redis, keys: dict[str, str]) -> None:
    """Check that a queue can work with this Redis, and log a warning if it may lose keys.

    Args:
        redis: The connections.
        keys: The names of the queue's keys, with the types of their values.

    Raises:
        ConfigurationError: It is a Sentinel, a Redis in cluster mode or an old Redis, or the keys belong to another
            program.
        RedisError: Redis failed.
    """
    try:
        info: dict[str, Any] = await cast("Any", redis).info()
    except NoPermissionError:
        logger.warning(
            "redis_url: its user must not call INFO, so that cluster mode, version and maxmemory-policy of Redis are "
            "not checked"
        )
    else:
        _check_info(info)
    script: Any = redis.register_script(CHECK_KEYS)
    if wrong := await script(keys=list(keys), args=list(keys.values())):
        key, found, expected = (part.decode() for part in wrong)
        raise ConfigurationError(
            f"queue: the key {key} holds a {found} of another program, expected a {expected}; choose another name for "
            "the queue"
        )


def _check_info(info: dict[str, Any]) -> None:
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode == "sentinel":
        raise ConfigurationError("redis_url: this is a Sentinel; expected the address of the primary")
    if mode == "cluster" or info.get("cluster_enabled"):
        raise ConfigurationError(
            "redis_url: this Redis runs in cluster mode, which is not supported, because the keys of a queue must be "
            "on one server; use a Redis with cluster mode disabled"
        )
    version = re.match(r"(\d+)\.(\d+)", str(info.get("redis_version")))
    if version and (int(version[1]), int(version[2])) < OLDEST:
        raise ConfigurationError(f"redis_url: this is Redis {version[0]}; expected Redis or Valkey, 6.2 or newer")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        logger.warning(
            "Redis has maxmemory-policy %s: when its memory is full, it deletes jobs, leases or counts of the rate, so "
            "that jobs are lost or conversations converted twice; use noeviction",
            policy,
        )
