"""The models of requests and responses."""

from .aggregate import Aggregate
from .contact import Contact
from .conversation import Conversation
from .conversation_page import ConversationPage
from .convert_conversation import ConvertConversation
from .custom_field import CustomField
from .custom_field_meta import CustomFieldMeta
from .customer_ref import CustomerRef
from .entity_ref import EntityRef
from .field_errors import FieldErrors
from .filter_args import FilterArgs
from .json_object import JsonObject
from .pagination import Pagination
from .scheduled_email import ScheduledEmail
from .validator import Validator

__all__ = (
    "Aggregate",
    "Contact",
    "Conversation",
    "ConversationPage",
    "ConvertConversation",
    "CustomerRef",
    "CustomField",
    "CustomFieldMeta",
    "EntityRef",
    "FieldErrors",
    "FilterArgs",
    "JsonObject",
    "Pagination",
    "ScheduledEmail",
    "Validator",
)
