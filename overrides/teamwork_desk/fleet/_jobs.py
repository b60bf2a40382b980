"""The handle of a job, which a producer gets from `Fleet.enqueue`."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from attrs import field, frozen
from taskiq import AsyncTaskiqTask, TaskiqResult
from taskiq.result_backends.dummy import DummyResultBackend

from .. import ConfigurationError

POLL: Final = 0.2
"""How many seconds `wait` waits between two looks at the result backend."""


@frozen(kw_only=True)
class EnqueuedJob:
    """A job that is in the queue.

    `status` and `wait` need a result backend of Taskiq: call `fleet.broker.with_result_backend(...)` in the workers
    and in the producer. Without it, both raise a `ConfigurationError`. A backend that fails raises an error of Taskiq.

    Attributes:
        id: The job's id. Taskiq logs it as the id of the task.
        account: The account's name.
        conversation_id: The conversation's id.
    """

    id: str
    account: str
    conversation_id: int
    _task: AsyncTaskiqTask[int | None] = field(repr=False, eq=False, alias="task")

    async def status(self) -> Literal["waiting", "converted", "parked"]:
        """Return how far the job is.

        A job is `"waiting"` until its outcome is known: also while it runs, and while it waits for a retry.

        Raises:
            ConfigurationError: The broker has no result backend.
        """
        result = await self._result()
        if result is None:
            return "waiting"
        return "parked" if result.return_value is None else "converted"

    async def wait(self, timeout: float | None = None) -> int | None:  # noqa: ASYNC109 - callers need no scope
        """Wait until the job has ended.

        Args:
            timeout: How many seconds to wait at most. If it is None, wait as long as it takes.

        Returns:
            The ticket's id; None if the job is parked.

        Raises:
            TimeoutError: The job has not ended in time.
            ConfigurationError: The broker has no result backend.
        """
        async with asyncio.timeout(timeout):
            while (result := await self._result()) is None:  # noqa: ASYNC110 - the backend has no events
                await asyncio.sleep(POLL)
        return result.return_value

    async def _result(self) -> TaskiqResult[int | None] | None:
        if isinstance(self._task.result_backend, DummyResultBackend):
            raise ConfigurationError(
                "fleet.broker has no result backend, so that nothing is known about an enqueued job; "
                "call fleet.broker.with_result_backend(...)"
            )
        if not await self._task.is_ready():
            return None
        result = await self._task.get_result()
        # A worker that was stopped while the job ran leaves an error. The job is delivered again.
        return None if result.is_err else result
