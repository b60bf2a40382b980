"""Async Python SDK for Teamwork Desk: turn a conversation into a ticket, once."""

import typing as _typing

from teamwork_desk_api.models import (
    Contact,
    Conversation,
    Customer,
    CustomerRef,
    CustomField,
    CustomFieldDefinition,
    CustomFieldMeta,
    EntityRef,
    Inbox,
    Tag,
    TicketPriority,
    TicketSource,
    TicketStatus,
    TicketType,
    User,
)

from ._client import AsyncDesk
from ._errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    ServerError,
    StatusError,
    TransportError,
    UnprocessableError,
    ValidationError,
)
from ._headers import RateLimit
from ._resources import Resource
from ._retry import RetryPolicy
from ._tickets import ConvertedConversation

__all__ = [
    "AsyncDesk",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "Contact",
    "Conversation",
    "ConvertedConversation",
    "CustomField",
    "CustomFieldDefinition",
    "CustomFieldMeta",
    "Customer",
    "CustomerRef",
    "DeadlineExceeded",
    "DeskError",
    "EntityRef",
    "Inbox",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitedError",
    "RequestError",
    "Resource",
    "ResponseDecodeError",
    "RetryPolicy",
    "ServerError",
    "StatusError",
    "Tag",
    "TicketPriority",
    "TicketSource",
    "TicketStatus",
    "TicketType",
    "TransportError",
    "UnprocessableError",
    "User",
    "ValidationError",
]


__version__: str

# Hidden from type checkers: they would accept every misspelt name.
if not _typing.TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> str:
        """Read `__version__` on demand, because importlib.metadata is slow to import."""
        if name == "__version__":
            from ._version import version  # noqa: PLC0415

            return version()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
