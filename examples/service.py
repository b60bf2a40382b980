"""A service that converts conversations to tickets: `uvicorn --app-dir examples service:app`."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import teamwork_desk as td

RESPONSES: dict[type[td.DeskError], tuple[int, str]] = {
    td.RequestError: (422, "the request is not valid, and was not sent to Desk"),
    td.ValidationError: (422, "Desk rejected fields of the request"),
    td.UnprocessableError: (422, "Desk cannot convert this conversation"),
    td.NotFoundError: (404, "the conversation or the inbox was not found"),
    td.ConflictError: (409, "the state of the conversation does not allow a ticket"),
    td.RateLimitedError: (503, "Desk accepts no more requests at the moment"),
    td.DeadlineExceeded: (503, "Desk did not respond in time"),
    td.TransportError: (502, "Desk cannot be reached"),
    td.ResponseDecodeError: (502, "the response of Desk cannot be read"),
    td.StatusError: (502, "Desk failed"),
    td.OutcomeUnknownError: (504, "the outcome is unknown"),
    # The caller can do nothing about the token, its permissions or the settings, so only the log has the reason.
    **dict.fromkeys((td.AuthenticationError, td.PermissionDeniedError, td.DeskError), (500, "this service failed")),
}
LARGEST_FILE = 20 * 1024 * 1024
HINT = "the conversation may have a ticket now: check it in Desk before you repeat the request"


class NewTicket(BaseModel):
    """The requested ticket."""

    subject: str
    customer_email: str
    message: str | None = None
    tags: list[str] = []


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, td.AsyncDesk]]:
    """Keep one client while the service runs, so that all requests share its connections and its pacing."""
    # The default deadline is longer than the caller of a web service waits.
    async with td.AsyncDesk(deadline=25, retry=td.RetryPolicy(max_retry_after=5)) as desk:
        yield {"desk": desk}


def get_desk(request: Request) -> td.AsyncDesk:
    """Return the client. A test overrides this dependency with a client of a FakeDesk."""
    desk: td.AsyncDesk = request.state.desk
    return desk


app = FastAPI(lifespan=lifespan)


@app.post("/conversations/{conversation_id}/ticket")
async def make_ticket(
    conversation_id: int, ticket: NewTicket, desk: Annotated[td.AsyncDesk, Depends(get_desk)]
) -> dict[str, int | None]:
    """Convert a conversation. A repeated request returns the same ticket."""
    conversation = await desk.conversations.convert(
        conversation_id,
        subject=ticket.subject,
        customer=ticket.customer_email,
        message=ticket.message,
        tags=ticket.tags,
    )
    return {"ticket_id": conversation.ticket_id}


@app.post("/conversations/{conversation_id}/ticket/with-file")
async def make_ticket_with_file(
    conversation_id: int, filename: str, inbox: str, request: Request, desk: Annotated[td.AsyncDesk, Depends(get_desk)]
) -> dict[str, int | None]:
    """Convert a conversation with an attachment, in an inbox by its name. The body of the request is the file."""
    chosen = await desk.inboxes.find(inbox)
    conversation = await desk.conversations.get(conversation_id)
    if conversation.ticket_id:  # nothing is uploaded for a repeated request
        return {"ticket_id": conversation.ticket_id}
    with tempfile.NamedTemporaryFile() as file:
        async for piece in request.stream():
            file.write(piece)
            if file.tell() > LARGEST_FILE:
                raise HTTPException(413, "the file is larger than 20 MB")
        file.flush()
        attachment = await desk.files.upload(file.name, filename=filename)
    conversation = await desk.conversations.convert(conversation_id, inbox=chosen.id, files=[attachment])
    return {"ticket_id": conversation.ticket_id}


@app.exception_handler(td.DeskError)
async def explain(_: Request, error: td.DeskError) -> JSONResponse:
    """Return what is known about an error and concerns the caller."""
    logging.getLogger(__name__).warning("%s: %s: %s", error.conversation_id, type(error).__name__, error)
    kinds = type(error).__mro__
    if isinstance(error, td.StatusError) and not error.from_desk:  # a wrong URL is not the caller's error
        kinds = td.DeskError.__mro__
    status, detail = next(RESPONSES[kind] for kind in kinds if kind in RESPONSES)
    content = {
        "detail": detail,
        "errors": error.errors if isinstance(error, td.ValidationError) else {},
        "maybe_applied": error.maybe_applied,
        "hint": HINT if error.maybe_applied else None,
    }
    wait = error.retry_after if isinstance(error, td.RateLimitedError) else None
    return JSONResponse(content, status, None if wait is None else {"Retry-After": str(math.ceil(wait))})
