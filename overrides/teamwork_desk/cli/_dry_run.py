"""The dry run: it reads and checks every job as a run does, and sends nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from teamwork_desk import ConvertedConversation, ValidationError
from teamwork_desk._arguments import check_arguments
from teamwork_desk.backlog import ConvertedFields
from teamwork_desk.testing._validator import problems_of

from ._jobs import Line
from ._ledger import Ledger
from ._result import Report, Result
from ._run import Run


async def check(conversation_id: int, **arguments: Any) -> ConvertedConversation:
    """Check the arguments of `convert` as the client does, and then as a fake Desk does.

    The customer of the conversation is not known here, so it is assumed that there is one.

    Returns:
        The conversation, without a ticket.

    Raises:
        RequestError: The client would refuse the arguments.
        ValidationError: Desk would refuse them. Its message does not speak of a response, because nothing was sent.
    """
    body = check_arguments(conversation_id, arguments, ConvertedFields)
    errors: dict[str, list[str]] = {}
    for field, reason in problems_of(body, has_contact=True, old_installation=False):
        errors.setdefault(field, []).append(reason)
    if errors:
        raise ValidationError("Desk does not accept this", status_code=400, errors=errors)
    return ConvertedConversation(id=conversation_id, created=True)


async def convert_in_memory(
    ledger: Ledger, lines: Iterable[Line], report: Report, *, limit: float = math.inf, only_failed: bool = False
) -> None:
    """Do everything that a run does, except for the requests.

    Args:
        ledger: A copy of the ledger in memory.
        lines: The jobs.
        report: Called with the result of each line. A job that would be converted is `planned`.
        limit: How many jobs would be tried.
        only_failed: Whether only the jobs would be tried that are `failed` in the ledger.
    """

    def report_as_planned(result: Result) -> None:
        report(attrs.evolve(result, state="planned", created=None) if result.state == "done" else result)

    run = Run(check, ledger, report_as_planned, settle=0, verify_first=False, limit=limit, only_failed=only_failed)
    await run.convert_all(lines, concurrency=1)
