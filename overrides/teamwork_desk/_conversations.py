"""`desk.conversations`: convert, get and list."""

from __future__ import annotations

import re
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar, cast

from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import (
    Conversation,
    ConversationPage,
    ConvertConversation,
    CustomerRef,
    CustomField,
    EntityRef,
)
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._email_fallback import resolve_customer, says_customer_is_missing, with_deprecated_email
from ._errors import NotFoundError, RequestError, ValidationError
from ._exchange import encode_json
from ._http import Call, Look, Session, Settings
from ._observe import warn

if TYPE_CHECKING:
    from .backlog import Job, Outcome

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PAGE_SIZE = 100
"""Desk clamps a larger one in silence."""


class SequenceNotStr(Protocol[T_co]):
    """A list or a tuple, but no str: `cc="a@b.c"` would be five addresses of one letter."""

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> T_co: ...
    def __len__(self) -> int: ...


class Conversations:
    """Chats with customers, which can become tickets."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings

    async def convert(
        self,
        conversation_id: int,
        *,
        agent: EntityRef | int | None = None,
        bcc: SequenceNotStr[str] | None = None,
        cc: SequenceNotStr[str] | None = None,
        customer: CustomerRef | int | str | None = None,
        customfields: Sequence[CustomField] | None = None,
        edit_method: Literal["html", "markdown"] | str | None = None,
        email: str | None = None,
        files: Sequence[EntityRef | int] | None = None,
        from_thread_id: int | None = None,
        from_ticket_id: int | None = None,
        inbox: EntityRef | int | None = None,
        message: str | None = None,
        notify_customer: bool | None = None,
        parent: EntityRef | int | None = None,
        priority: EntityRef | int | None = None,
        scheduled_email: Mapping[str, Any] | None = None,
        send_from: str | None = None,
        source: EntityRef | int | None = None,
        status: EntityRef | int | None = None,
        subject: str | None = None,
        tags: SequenceNotStr[EntityRef | int | str] | None = None,
        tickettemplate: EntityRef | int | None = None,
        type: EntityRef | int | None = None,
        verify_first: bool = False,
    ) -> Conversation:
        """Convert a conversation to a ticket, once.

        This mails real customers and cannot be undone. A request whose outcome is unknown is not sent again before
        the conversation shows that it was not converted. A reference is an `EntityRef` or a plain id; what is None is
        left out. Source: the API page of `POST conversations/{id}/convert.json`.

        Args:
            conversation_id: The conversation's id.
            agent: The agent who gets the ticket.
            bcc: Addresses of the BCC for the initial message.
            cc: Addresses of the CC for the initial message.
            customer: The customer: a `CustomerRef`, an id, or an email address. An address reuses the customer who
                has it, or creates one.
            customfields: The custom fields available to the ticket.
            edit_method: The default input method for editing tickets.
            email: Deprecated, use `customer`.
            files: The attachments.
            from_thread_id: When set, this thread's message body and customer are used to create the ticket.
            from_ticket_id: The ticket of that thread; only required if it is archived.
            inbox: The inbox the ticket goes to.
            message: The ticket's initial message.
            notify_customer: Whether to notify the customer when an agent creates a ticket on behalf of the customer.
            parent: The parent ticket.
            priority: The priority.
            scheduled_email: The scheduled email; its properties are not documented.
            send_from: The inbox alias that email notifications are sent from.
            source: Where the ticket comes from.
            status: The status.
            subject: The ticket's subject.
            tags: The words or tags the ticket is tagged with.
            tickettemplate: The ticket template.
            type: The ticket type.
            verify_first: Look first, and return the conversation as it is if it already has a ticket: for a worker
                behind a queue that may deliver twice. Such calls of one client for the same conversation run one after
                the other.

        Returns:
            The converted conversation; `ticket_id` is its ticket.

        Raises:
            RequestError: An argument is refused; nothing was sent.
            ValidationError: Desk refused fields; nothing was changed.
            OutcomeUnknownError: The request left, and what became of it cannot be found out.
            ResponseDecodeError: The conversation was converted, but its answer cannot be read.
            DeskError: Anything else, as the error tree says; `maybe_applied` is False.
        """
        if email is not None:
            warnings.warn("email= is deprecated, use customer=", DeprecationWarning, stacklevel=2)
        with Call(self._session, self._settings, "convert", conversation_id) as call:
            _check_id(conversation_id)
            # Encoding turns tuples and mappings into what JSON has.
            body = ConvertConversation(
                agent=_reference(agent),
                bcc=cast("Any", bcc),
                cc=cast("Any", cc),
                customer=resolve_customer(customer, email),
                customfields=cast("Any", customfields),
                edit_method=edit_method,
                files=_references(files),
                from_thread_id=from_thread_id,
                from_ticket_id=from_ticket_id,
                inbox=_reference(inbox),
                message=message,
                notify_customer=notify_customer,
                parent=_reference(parent),
                priority=_reference(priority),
                scheduled_email=cast("Any", scheduled_email),
                send_from=send_from,
                source=_reference(source),
                status=_reference(status),
                subject=subject,
                tags=_references(tags),
                tickettemplate=_reference(tickettemplate),
                type=_reference(type),
            )
            request = _request(conversation_id, body)
            look = partial(_find_converted, conversation_id)
            if not verify_first:
                return await self._convert(call, request, look)
            # Two calls that look at the same time would both convert.
            async with self._session.lock(conversation_id):
                return await call.look_first(conversation_id, look) or await self._convert(call, request, look)

    async def _convert(self, call: Call, request: Request[Conversation], look: Look[Conversation]) -> Conversation:
        """Convert with the customer's address where the installation knows it."""
        mode = self._settings.email_fallback
        if mode == "always" or (mode == "auto" and self._session.prefers_deprecated_email):
            return await call.send(with_deprecated_email(request) or request, look=look)
        try:
            return await call.send(request, look=look)
        except ValidationError as error:
            deprecated = with_deprecated_email(request)
            if deprecated is None or mode != "auto" or not says_customer_is_missing(error.errors):
                raise
            first = error
        try:
            conversation = await call.send(deprecated, look=look)
        except ValidationError:
            raise first from None
        if not self._session.prefers_deprecated_email:
            self._session.prefers_deprecated_email = True
            warn("this installation does not know customer.email: the deprecated email field is sent instead")
        return conversation

    def convert_many(
        self, jobs: Iterable[Job | int] | AsyncIterable[Job | int], *, concurrency: int = 8
    ) -> AsyncGenerator[Outcome]:
        """Convert a backlog, and yield what became of each job as it becomes known, in any order.

        It stops at no failure and holds at most `concurrency` jobs. On asyncio only. `backlog.convert_many` tells more.

        Args:
            jobs: The arguments of `convert` for each conversation, or its id where there are no others.
            concurrency: How many are under way at once.

        Yields:
            The outcome of each job: its conversation, or its error.

        Raises:
            RequestError: `concurrency` is no int of at least 1.
        """
        from .backlog import convert_many  # noqa: PLC0415 - a companion

        return convert_many(self.convert, jobs, concurrency=concurrency)

    async def get(self, conversation_id: int) -> Conversation:
        """Return a conversation.

        Args:
            conversation_id: The conversation's id.

        Raises:
            NotFoundError: There is none with this id.
            DeskError: Anything else, as the error tree says.
        """
        with Call(self._session, self._settings, "get", conversation_id) as call:
            _check_id(conversation_id)
            page = await call.send(list_conversations(filter=_filter_by_id(conversation_id)))
            for conversation in page.conversations or ():
                if conversation.id == conversation_id:
                    return conversation
            raise _not_found(conversation_id)

    async def list(
        self,
        *,
        filter: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        order_mode: Literal["asc", "desc"] | str | None = None,
    ) -> AsyncGenerator[Conversation]:
        """Iterate over conversations, one page in memory at a time.

        Args:
            filter: Which ones, such as `{"ticket_id": {"$eq": None}}`. Operators: `$eq $ne $lt $lte $gt $gte $in $nin
                $and $or`; fields: `contactId createdAt deletedAt id state ticket_id token updatedAt`. Source: the
                API page of `GET conversations.json`.
            order_by: The field to sort by.
            order_mode: Ascending or descending.

        Yields:
            Each conversation.

        Raises:
            RequestError: The filter has no JSON form.
            DeskError: Anything else, as the error tree says.
        """
        page_number = 1
        while True:
            with Call(self._session, self._settings, "list") as call:
                page = await call.send(_page(filter, order_by, order_mode, page_number))
            for conversation in page.conversations or ():
                yield conversation
            where = page.pagination
            if (
                not page.conversations
                or where is None
                or not where.has_more_pages
                or where.page not in (None, page_number)
            ):
                return
            page_number += 1


def _page(
    filter: Mapping[str, Any] | None, order_by: str | None, order_mode: str | None, page: int
) -> Request[ConversationPage]:
    text = None if filter is None else encode_json(filter).decode()
    try:
        return list_conversations(filter=text, order_by=order_by, order_mode=order_mode, page=page, page_size=PAGE_SIZE)
    except (TypeError, ValueError):
        raise RequestError("order_by, order_mode: expected valid text") from None


async def _find_converted(conversation_id: int, call: Call) -> Conversation | None:
    """Return the conversation if it has a ticket, None if it provably has none.

    Raises:
        NotFoundError: The listing does not show the conversation.
        ResponseDecodeError: The listing does not say whether it has a ticket.
        DeskError: The listing cannot be had.
    """
    listing = list_conversations(filter=_filter_by_id(conversation_id))
    found = await call.send(_decoded_by(listing, partial(_decode_strictly, conversation_id)))
    if found is None:
        raise _not_found(conversation_id)
    return found if found.ticket_id else None


def _decode_strictly(conversation_id: int, payload: Any, hook: Hook) -> Conversation | None:
    """Decode one conversation of a listing, strictly where an error would convert it twice."""
    try:
        listed: list[dict[str, Any]] = payload["conversations"] or []
        found = (entry for entry in listed if entry["id"] == conversation_id)
        # Where it is listed twice, a ticket counts.
        source = max(found, key=lambda entry: bool(entry["ticket_id"]), default=None)
        ticket_id = source["ticket_id"] if source else None
    except (KeyError, TypeError):
        raise DecodeError("the listing does not say which ticket the conversation has") from None
    if ticket_id is not None and ticket_id.__class__ is not int:
        raise DecodeError("the conversation's ticket_id is no integer")
    return None if source is None else Conversation.from_dict(source, (None, "conversations"), hook)


def _filter_by_id(conversation_id: int) -> str:
    return f'{{"id":{{"$eq":{conversation_id}}}}}'


def _not_found(conversation_id: int) -> NotFoundError:
    return NotFoundError(f"the listing has no conversation {conversation_id}", status_code=404)


def _check_id(conversation_id: Any) -> None:
    if conversation_id.__class__ is not int or not 1 <= conversation_id < 2**63:
        raise RequestError("conversation_id: expected a positive int of at most 64 bits")


def _reference(value: Any) -> Any:
    """Turn a plain id into a reference; what is neither is left for `_request`."""
    return EntityRef(id=value) if value.__class__ is int else value


def _references(values: Any) -> Any:
    return [_reference(value) for value in values] if values.__class__ in (list, tuple) else values


def _request(conversation_id: int, body: ConvertConversation) -> Request[Conversation]:
    """Build the request, and refuse what the contract does not foresee: decoding tells."""
    try:
        request = convert_conversation(conversation_id, body=body)
    except (TypeError, ValueError) as error:
        raise RequestError(f"an argument cannot be sent: {error}") from None
    ConvertConversation.from_dict(request.body, hook=_refuse)
    return _decoded_by(request, partial(_decode_own, conversation_id, request.decode))


def _decoded_by(request: Request[Any], decode: Callable[[Any, Hook], T]) -> Request[T]:
    # Not with evolve: it takes a fiftieth of what a call adds to httpx.
    return Request(
        operation=request.operation, method=request.method, target=request.target, body=request.body, decode=decode
    )


def _decode_own(
    conversation_id: int, decode: Callable[[Any, Hook], Conversation], payload: Any, hook: Hook
) -> Conversation:
    """Decode an answer, and refuse another conversation's: a connection may hold what was meant for somebody else."""
    conversation = decode(payload, hook)
    if conversation.id not in (conversation_id, 0):  # Go's 0 names none
        raise DecodeError("it is another conversation's")
    return conversation


def _refuse(path: str, expected: str, got: str) -> NoReturn:
    argument = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", path)
    model = {"scheduled_email": "a mapping", "customfields[]": "a CustomField"}.get(argument, "an EntityRef or an id")
    raise RequestError(f"{argument}: expected {expected.replace('object', model)}, got {got}")
