from typing import TypeAlias

Nested: TypeAlias = dict[str, "OwnersById"]
"""Nested"""


from .owners_by_id import OwnersById
