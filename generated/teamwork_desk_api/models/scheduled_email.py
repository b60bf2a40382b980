from typing import Any, TypeAlias

ScheduledEmail: TypeAlias = dict[str, Any]
"""A scheduled email. Its properties are not documented."""
