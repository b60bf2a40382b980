"""The models of requests and responses."""

from ..types import complete_init as _complete_init
from .aggregate import Aggregate
from .contact import Contact
from .conversation import Conversation
from .conversation_page import ConversationPage
from .convert_conversation import ConvertConversation
from .create_file_reference import CreateFileReference
from .custom_field import CustomField
from .custom_field_definition import CustomFieldDefinition
from .custom_field_definition_page import CustomFieldDefinitionPage
from .custom_field_meta import CustomFieldMeta
from .customer import Customer
from .customer_page import CustomerPage
from .customer_ref import CustomerRef
from .entity_ref import EntityRef
from .field_errors import FieldErrors
from .file import File
from .file_reference import FileReference
from .filter_args import FilterArgs
from .inbox import Inbox
from .inbox_page import InboxPage
from .json_object import JsonObject
from .pagination import Pagination
from .scheduled_email import ScheduledEmail
from .tag import Tag
from .tag_page import TagPage
from .ticket_priority import TicketPriority
from .ticket_priority_page import TicketPriorityPage
from .ticket_source import TicketSource
from .ticket_source_page import TicketSourcePage
from .ticket_status import TicketStatus
from .ticket_status_page import TicketStatusPage
from .ticket_type import TicketType
from .ticket_type_page import TicketTypePage
from .upload_form import UploadForm
from .user import User
from .user_page import UserPage
from .validator import Validator

__all__ = (
    "Aggregate",
    "Contact",
    "Conversation",
    "ConversationPage",
    "ConvertConversation",
    "CreateFileReference",
    "Customer",
    "CustomerPage",
    "CustomerRef",
    "CustomField",
    "CustomFieldDefinition",
    "CustomFieldDefinitionPage",
    "CustomFieldMeta",
    "EntityRef",
    "FieldErrors",
    "File",
    "FileReference",
    "FilterArgs",
    "Inbox",
    "InboxPage",
    "JsonObject",
    "Pagination",
    "ScheduledEmail",
    "Tag",
    "TagPage",
    "TicketPriority",
    "TicketPriorityPage",
    "TicketSource",
    "TicketSourcePage",
    "TicketStatus",
    "TicketStatusPage",
    "TicketType",
    "TicketTypePage",
    "UploadForm",
    "User",
    "UserPage",
    "Validator",
)

_complete_init([globals()[name] for name in __all__])
