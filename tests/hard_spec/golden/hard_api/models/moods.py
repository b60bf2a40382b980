from typing import Literal, TypeAlias

Moods: TypeAlias = dict[str, Literal["calm", "it's", 'a "b"'] | str]
"""Moods"""
