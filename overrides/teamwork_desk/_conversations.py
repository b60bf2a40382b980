"""`desk.conversations`: convert, convert_many, get and list."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, Required, TypedDict

from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import (
    Conversation,
    ConversationPage,
    CustomerRef,
    CustomField,
    EntityRef,
)

from ._arguments import check_id, check_verify_first, convert_body, convert_request
from ._call import Call
from ._conversion import ConversationOptions, Conversion, subject_of
from ._lookup import filter_by_ids, not_listed
from ._memory import Memory
from ._paging import objects_of_pages, page_request
from ._session import Session
from ._tickets import ConvertedConversation, Outcome, with_ticket_ids
from ._values import SequenceNotStr


class ConvertedFields(TypedDict, total=False):
    """The arguments of `convert` that reach the ticket. Fields that are None are omitted from the request."""

    agent: EntityRef | int | None
    bcc: SequenceNotStr[str] | None
    cc: SequenceNotStr[str] | None
    customer: CustomerRef | int | str | None
    customfields: Mapping[int, Any] | Sequence[CustomField] | None
    edit_method: Literal["html", "markdown"] | str | None
    files: Sequence[EntityRef | int] | None
    from_thread_id: int | None
    from_ticket_id: int | None
    inbox: EntityRef | int | None
    message: str | None
    notify_customer: bool | None
    parent: EntityRef | int | None
    priority: EntityRef | int | None
    scheduled_email: Mapping[str, Any] | None
    send_from: str | None
    source: EntityRef | int | None
    status: EntityRef | int | None
    subject: str | None
    tags: SequenceNotStr[EntityRef | int | str] | None
    tickettemplate: EntityRef | int | None
    type: EntityRef | int | None


class Job(ConvertedFields, total=False):
    """One conversation to convert: the arguments of `convert` by their names."""

    conversation_id: Required[int]
    email: str | None
    verify_first: bool | None


class Conversations:
    """Chats with customers, which can become tickets."""

    def __init__(self, session: Session, memory: Memory, options: ConversationOptions) -> None:
        self._session = session
        self._memory = memory
        self._options = options

    async def convert(
        self,
        conversation_id: int,
        *,
        agent: EntityRef | int | None = None,
        bcc: SequenceNotStr[str] | None = None,
        cc: SequenceNotStr[str] | None = None,
        customer: CustomerRef | int | str | None = None,
        customfields: Mapping[int, Any] | Sequence[CustomField] | None = None,
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
        verify_first: bool | None = None,
    ) -> ConvertedConversation:
        """Convert a conversation to a ticket, once.

        This mails real customers and cannot be undone. The client looks the conversation up first, and returns it as
        it is if it already has a ticket. It sends a request again only after a lookup has shown that there is no
        ticket. Calls of one client for one conversation run one after the other. A reference is an `EntityRef` or a
        plain id. Arguments that are None are omitted from the request, and Desk then uses its default. Source: the API
        page of `POST conversations/{id}/convert.json`.

        Example:
            ```python
            inbox = await desk.inboxes.find("Support")
            conversation = await desk.conversations.convert(
                42, subject="Refund", customer="jo@example.com", inbox=inbox.id, notify_customer=False
            )
            print(conversation.ticket_id, conversation.created)
            ```

        Args:
            conversation_id: The conversation's id, as `list` returns it.
            agent: The user who gets the ticket: an id, as of `desk.users.find("ann@acme.com")`.
            bcc: Email addresses that get a blind copy of the initial message.
            cc: Email addresses that get a copy of the initial message.
            customer: Whom the ticket is for: the id of a customer (`desk.customers.find`), or an email address.
            customfields: The custom fields available to the ticket, such as `{272: 1613, 273: "gold"}`: for each
                field's id (`desk.custom_fields.find`) its text, or the id of a dropdown's option. A value of None omits
                the field. A list of `CustomField` is also accepted.
            edit_method: How agents write in this ticket by default. The API page names "html" and "markdown"; any other
                str is sent as it is, and Desk decides.
            email: Deprecated, use `customer`.
            files: The attachments, as `desk.files.upload` returns them.
            from_thread_id: A thread of a ticket, whose message and customer the new ticket gets.
            from_ticket_id: The ticket of that thread; only required if it is archived.
            inbox: The inbox that the ticket goes to: an id, as of `desk.inboxes.find("Support")`.
            message: The text of the ticket's initial message.
            notify_customer: Whether Desk notifies the customer that an agent has created a ticket for them. Pass False
                if the customer shall get no email from a backlog.
            parent: The id of the ticket that becomes the parent of this ticket.
            priority: An id, as of `desk.priorities.find("High")`.
            scheduled_email: An email that Desk sends later, before it makes the ticket; its properties are not
                documented. If the outcome is unknown, the request is not sent again.
            send_from: The alias of the inbox that email notifications are sent from.
            source: Where the ticket comes from: an id, as of `desk.sources.find("Chat")`.
            status: An id, as of `desk.statuses.find("solved")`.
            subject: The ticket's subject.
            tags: Words, or the ids of existing tags (`desk.tags.find`). All samples of Teamwork have ids.
            tickettemplate: The id of a ticket template.
            type: The kind of ticket: an id, as of `desk.types.find("Question")`.
            verify_first: Whether to look the conversation up first. The default is the client's `verify_first`. With
                False, the request is sent at once, which saves a lookup: a conversation that already has a ticket gets
                a second one. If the outcome of an earlier call is unknown, the client looks in any case.

        Returns:
            The conversation; `ticket_id` is its ticket, and `created` says whether this call made it.

        Raises:
            RequestError: An argument was rejected, and nothing was sent.
            ValidationError: Desk rejected fields of the request, and nothing was changed.
            NotFoundError: The listing does not show the conversation, or Desk does not know it; nothing was changed.
            OutcomeUnknownError: A request was sent, and its outcome cannot be found out.
            ResponseDecodeError: A response cannot be read. If `maybe_applied` is True, the conversation was converted.
                If it is False, the response to the first lookup cannot be read, and nothing was sent.
            DeskError: Any other error of the error tree. If `maybe_applied` is True, the conversation may have been
                converted by an earlier call whose outcome is still unknown.
        """
        if email is not None:
            warnings.warn("email= is deprecated, use customer=", DeprecationWarning, stacklevel=2)
        with Conversion(self._session, self._memory, self._options, conversation_id) as conversion:
            conversation_id = check_id(conversation_id)
            check_verify_first(verify_first)
            body = convert_body(
                agent=agent,
                bcc=bcc,
                cc=cc,
                customer=customer,
                customfields=customfields,
                edit_method=edit_method,
                email=email,
                files=files,
                from_thread_id=from_thread_id,
                from_ticket_id=from_ticket_id,
                inbox=inbox,
                message=message,
                notify_customer=notify_customer,
                parent=parent,
                priority=priority,
                scheduled_email=scheduled_email,
                send_from=send_from,
                source=source,
                status=status,
                subject=subject,
                tags=tags,
                tickettemplate=tickettemplate,
                type=type,
            )
            if verify_first is None:
                verify_first = self._options.verify_first
            request = convert_request(conversation_id, body, ConvertedFields)
            # A cancellation keeps the frame of this method, and crash reporters print its local variables.
            del bcc, body, cc, customer, customfields, email, message, scheduled_email, send_from, subject, tags
            return await conversion.convert(request, verify_first=verify_first)

    def convert_many(
        self, jobs: Iterable[Job | int] | AsyncIterable[Job | int], *, concurrency: int = 8
    ) -> AsyncGenerator[Outcome]:
        """Convert a backlog, and yield the outcome of each job as soon as it is known, in any order.

        A failed job is an outcome and does not stop the others. At most `concurrency` jobs are held at a time. It runs
        on asyncio only. `teamwork_desk.backlog.convert_many` has the details.

        Args:
            jobs: For each conversation the arguments of `convert`, or its id if there are no other arguments.
            concurrency: How many jobs run at the same time. The rate window limits the speed. More jobs need fewer
                requests, because they share their lookups: 1.3 for a conversion with 8 jobs, and 1.1 with 32.

        Yields:
            The outcome of each job: its conversation, or its error.

        Raises:
            RequestError: `concurrency` is not an int of at least 1.
        """
        from ._backlog import convert_many  # noqa: PLC0415 - few callers need it, and it imports asyncio

        return convert_many(self.convert, jobs, names=Job.__annotations__, concurrency=concurrency)

    async def get(self, conversation_id: int) -> Conversation:
        """Return a conversation.

        Args:
            conversation_id: The conversation's id.

        Raises:
            NotFoundError: The listing does not show this conversation.
            RequestError: The id is invalid, and nothing was sent.
            DeskError: Any other error of the error tree.
        """
        with Call(self._session, self._options, "get", subject=subject_of(conversation_id)) as call:
            conversation_id = check_id(conversation_id)
            page = await call.send(with_ticket_ids(list_conversations(filter=filter_by_ids({conversation_id}))))
            for conversation in page.conversations or ():
                if conversation.id == conversation_id:
                    return conversation
            raise not_listed(conversation_id)

    async def list(
        self,
        *,
        filter: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        order_mode: Literal["asc", "desc"] | str | None = None,
    ) -> AsyncGenerator[Conversation]:
        """Iterate over conversations, with one page in memory at a time.

        Args:
            filter: Which conversations, such as `{"ticket_id": {"$eq": None}}`. Operators: `$eq $ne $lt $lte $gt $gte
                $in $nin $contains $and $or`; fields: `contactId createdAt deletedAt id state ticket_id token
                updatedAt`. Sources: the API page of `GET conversations.json`, and Teamwork's examples of request
                bodies for `$contains`.
            order_by: The field to sort by.
            order_mode: `"asc"` or `"desc"`. Any other str is sent as it is, and Desk decides.

        Yields:
            Each conversation.

        Raises:
            RequestError: `filter` is not a mapping with a JSON form, or `order_by` or `order_mode` is not valid text.
            DeskError: Any other error of the error tree.
        """

        async def fetch(number: int) -> ConversationPage:
            with Call(self._session, self._options, "list") as call:
                request = page_request(
                    list_conversations, number, filter=filter, order_by=order_by, order_mode=order_mode
                )
                return await call.send(with_ticket_ids(request))

        async with aclosing(objects_of_pages(fetch, lambda page: page.conversations)) as listing:
            async for conversation in listing:
                yield conversation
