"""Async Python SDK for Teamwork Desk: turn a conversation into a ticket, once."""

import typing as _typing

from teamwork_desk_api.models import Contact, Conversation, CustomerRef, CustomField, CustomFieldMeta, EntityRef

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
    "CustomFieldMeta",
    "CustomerRef",
    "DeadlineExceeded",
    "DeskError",
    "EntityRef",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitedError",
    "RequestError",
    "ResponseDecodeError",
    "RetryPolicy",
    "ServerError",
    "StatusError",
    "TransportError",
    "UnprocessableError",
    "ValidationError",
]


__version__: str

# Hidden from type checkers: they would accept every misspelt name.
if not _typing.TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> str:
        """Read `__version__` on demand, because importlib.metadata is slow to import."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            return version("teamwork-desk")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
