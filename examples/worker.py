"""A worker that converts the conversations of a queue, until SIGTERM: `python examples/worker.py 1 2 3`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import teamwork_desk as td

IN_HAND = 8
"""Jobs at a time."""
LATER = 60.0
"""Seconds until a job that was given back comes again."""
FINAL = (td.RequestError, td.ValidationError, td.NotFoundError, td.ConflictError, td.UnprocessableError)
"""It was not converted, and another try would not change that."""

logger = logging.getLogger("worker")


async def work(queue: asyncio.Queue[int], desk: td.AsyncDesk, conversation_id: int) -> None:
    """Do one job: acknowledge it where its outcome is known, and give it back where not."""
    try:
        # A job may come twice: a conversation that has a ticket stays as it is.
        conversation = await desk.conversations.convert(conversation_id, notify_customer=False, verify_first=True)
        outcome = f"ticket {conversation.ticket_id}"
    except td.DeskError as error:
        converted = isinstance(error, td.ResponseDecodeError) and error.maybe_applied
        if not converted and not isinstance(error, FINAL):
            logger.warning("%d: given back: %s", conversation_id, error)
            asyncio.get_running_loop().call_later(LATER, queue.put_nowait, conversation_id)
            return
        outcome = f"for a person to look at: {error}"
    queue.task_done()
    logger.info("%d: acknowledged: %s", conversation_id, outcome)


async def receive(queue: asyncio.Queue[int], desk: td.AsyncDesk, in_hand: asyncio.TaskGroup) -> None:
    """Take jobs for ever, and no more of them than are worked on."""
    room = asyncio.Semaphore(IN_HAND)
    while True:
        await room.acquire()
        job = in_hand.create_task(work(queue, desk, await queue.get()))
        job.add_done_callback(lambda _: room.release())


async def main(*conversation_ids: int) -> None:
    """Work until a signal comes; then finish what is in hand, and take nothing more."""
    queue = asyncio.Queue[int]()  # stands in for a broker, which delivers again what is not acknowledged
    for conversation_id in conversation_ids:
        queue.put_nowait(conversation_id)
    # The deadline is shorter than the time between SIGTERM and SIGKILL.
    async with td.AsyncDesk(deadline=25) as desk, asyncio.TaskGroup() as in_hand:
        receiver = in_hand.create_task(receive(queue, desk, in_hand))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, receiver.cancel)
    logger.info("stopped")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*map(int, sys.argv[1:])))
