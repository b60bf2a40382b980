from typing import Any, TypeAlias

ScheduledEmail: TypeAlias = dict[str, Any]
"""ScheduledEmail represents a ScheduledEmail. Its properties are not documented."""
