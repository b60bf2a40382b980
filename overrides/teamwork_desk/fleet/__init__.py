"""Workers that convert what a durable queue holds: Taskiq over Redis Streams; it needs the extra `fleet`.

A queue delivers at least once, and each conversation is converted once all the same. A job takes a lease on its
conversation, and looks before it converts. A call ends by its deadline, and the lease outlasts it by the settling time:
when the next worker may look, the request of one that died has ended, and its ticket shows.

A job rests in Redis with its arguments, personal data included, until it is done or discarded, and is deleted then. The
names of keys tell the account and the conversation's id; logs tell those and the error.
"""

try:
    from ._fleet import EventHooks, Fleet
    from ._queue import Parked
except ImportError as _error:
    raise ImportError('teamwork_desk.fleet needs more: pip install "teamwork-desk[fleet]"') from _error

__all__ = ["EventHooks", "Fleet", "Parked"]
