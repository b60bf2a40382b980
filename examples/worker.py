"""A worker that converts the conversations in a queue until it gets SIGTERM: `python examples/worker.py 1 2 3`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import teamwork_desk as td

CONCURRENCY = 8
"""How many jobs run at the same time."""
REDELIVERY_DELAY = 60.0
"""Seconds until a returned job is delivered again."""
FINAL = (td.ValidationError, td.NotFoundError, td.ConflictError, td.UnprocessableError)
"""The errors with which Desk says that it will never convert a conversation."""

logger = logging.getLogger("worker")


def is_about_job(error: td.DeskError) -> bool:
    """Return whether an error says something final about the job, and not about the URL or the token.

    With a wrong URL or token, every job fails, and may fail with the status of a missing conversation.
    """
    if isinstance(error, td.ResponseDecodeError):
        return error.maybe_applied  # The conversation was converted, but the response cannot be read.
    if isinstance(error, FINAL):
        # `convert` has sent something only after the listing of this Desk has shown the conversation. An error without
        # headers is no response: the listing does not show the conversation.
        return error.from_desk and (error.attempts > 0 or not error.headers)
    return isinstance(error, td.RequestError)


async def work(queue: asyncio.Queue[int], desk: td.AsyncDesk, conversation_id: int) -> None:
    """Convert a conversation. Acknowledge the job if its outcome is known, and return it to the queue otherwise."""
    try:
        # The queue may deliver a job twice, so a conversation that already has a ticket must not be converted again.
        conversation = await desk.conversations.convert(conversation_id, notify_customer=False)
        outcome = f"ticket {conversation.ticket_id}"
    except td.DeskError as error:
        if not is_about_job(error):
            logger.warning("%d: returned to the queue: %s", conversation_id, error)
            asyncio.get_running_loop().call_later(REDELIVERY_DELAY, queue.put_nowait, conversation_id)
            return
        outcome = f"a person must check it: {error}"
    queue.task_done()
    logger.info("%d: acknowledged: %s", conversation_id, outcome)


async def receive(queue: asyncio.Queue[int], desk: td.AsyncDesk, jobs: asyncio.TaskGroup) -> None:
    """Take jobs from the queue for ever, but only as many as run at the same time."""
    slots = asyncio.Semaphore(CONCURRENCY)
    while True:
        await slots.acquire()
        job = jobs.create_task(work(queue, desk, await queue.get()))
        job.add_done_callback(lambda _: slots.release())


async def main(*conversation_ids: int) -> None:
    """Work until a signal arrives. Then finish the running jobs, and take no more."""
    # This queue replaces a broker, which would redeliver every job that was not acknowledged.
    queue = asyncio.Queue[int]()
    for conversation_id in conversation_ids:
        queue.put_nowait(conversation_id)
    # The deadline must be shorter than the time between SIGTERM and SIGKILL.
    async with td.AsyncDesk(deadline=25) as desk, asyncio.TaskGroup() as jobs:
        receiver = jobs.create_task(receive(queue, desk, jobs))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, receiver.cancel)
    logger.info("stopped")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*map(int, sys.argv[1:])))
