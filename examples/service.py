"""A service that makes tickets: `uvicorn --app-dir examples service:app`."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import teamwork_desk as td

ANSWERS: dict[type[td.DeskError], tuple[int, str]] = {
    td.RequestError: (422, "this cannot be sent to Desk"),
    td.ValidationError: (422, "Desk refuses fields"),
    td.UnprocessableError: (422, "Desk cannot make a ticket of this conversation"),
    td.NotFoundError: (404, "there is no such conversation"),
    td.ConflictError: (409, "the conversation's state allows no ticket"),
    td.RateLimitedError: (503, "Desk takes no more requests for now"),
    td.DeadlineExceeded: (503, "Desk did not get round to it"),
    td.TransportError: (502, "Desk cannot be reached"),
    td.ResponseDecodeError: (502, "Desk's answer cannot be read"),
    td.StatusError: (502, "Desk failed"),
    td.OutcomeUnknownError: (504, "Desk does not tell what became of it"),
    # The caller can do nothing about the token, its rights and the settings: the log tells which it was.
    **dict.fromkeys((td.AuthenticationError, td.PermissionDeniedError, td.DeskError), (500, "this service failed")),
}
HINT = "the conversation may have a ticket now: look at it in Desk before you ask again"


class NewTicket(BaseModel):
    """The ticket that is asked for."""

    subject: str
    customer_email: str
    message: str | None = None
    tags: list[str] = []


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, td.AsyncDesk]]:
    """Keep one client, with its connections and its pace, for as long as the service runs."""
    # A caller waits for seconds, not for minutes.
    async with td.AsyncDesk(deadline=25, retry=td.RetryPolicy(max_retry_after=5)) as desk:
        yield {"desk": desk}


def get_desk(request: Request) -> td.AsyncDesk:
    """Return the client; a test overrides this dependency with one that talks to a FakeDesk."""
    desk: td.AsyncDesk = request.state.desk
    return desk


app = FastAPI(lifespan=lifespan)


@app.post("/conversations/{conversation_id}/ticket")
async def make_ticket(
    conversation_id: int, ticket: NewTicket, desk: Annotated[td.AsyncDesk, Depends(get_desk)]
) -> dict[str, int | None]:
    """Convert a conversation; asked again, tell the ticket that it has."""
    conversation = await desk.conversations.convert(
        conversation_id,
        subject=ticket.subject,
        customer=ticket.customer_email,
        message=ticket.message,
        tags=ticket.tags,
        verify_first=True,
    )
    return {"ticket_id": conversation.ticket_id}


@app.exception_handler(td.DeskError)
async def explain(_: Request, error: td.DeskError) -> JSONResponse:
    """Say what is known, and no more than concerns the caller."""
    logging.getLogger(__name__).warning("%s: %s: %s", error.conversation_id, type(error).__name__, error)
    status, detail = next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    content = {
        "detail": detail,
        "errors": error.errors if isinstance(error, td.ValidationError) else {},
        "maybe_applied": error.maybe_applied,
        "hint": HINT if error.maybe_applied else None,
    }
    wait = error.retry_after if isinstance(error, td.RateLimitedError) else None
    return JSONResponse(content, status, None if wait is None else {"Retry-After": str(math.ceil(wait))})
