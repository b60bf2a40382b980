"""Workers that convert the conversations in a durable queue: Taskiq on Redis Streams. It needs the extra `fleet`.

The queue delivers a job at least once, and still each conversation is converted only once. A job takes a lease on its
conversation, and looks the conversation up before it converts it. A call ends at its deadline, and the lease lasts
longer than the call by the settling time. So when another worker can get the lease of a worker that died, the request
of that worker has ended, and its ticket is in the listing.

A job stays in Redis with its arguments, which may be personal data, until it is done or discarded. Then it is deleted.
The names of the Redis keys and fields contain the account's name and the conversation's id. The logs contain both, and
the error.
"""

try:
    from ._fleet import Fleet
    from ._jobs import EnqueuedJob
    from ._records import Parked
    from ._worker import EventHooks
except ImportError as _error:
    raise ImportError('teamwork_desk.fleet needs an extra: pip install "teamwork-desk[fleet]"') from _error

__all__ = ["EnqueuedJob", "EventHooks", "Fleet", "Parked"]
