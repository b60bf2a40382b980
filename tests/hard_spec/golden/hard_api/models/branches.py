from typing import TypeAlias

Branches: TypeAlias = dict[str, "Tree"]
"""Branches"""


from .tree import Tree
