from typing import TypeAlias

ShelvesByWord: TypeAlias = dict[str, "list[Shelf]"]
"""ShelvesByWord"""


from .shelf import Shelf
