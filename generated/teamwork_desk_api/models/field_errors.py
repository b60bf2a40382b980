from typing import TypeAlias

FieldErrors: TypeAlias = dict[str, list[str]]
"""The reasons by field."""
