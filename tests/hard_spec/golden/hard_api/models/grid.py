from typing import TypeAlias

Grid: TypeAlias = dict[str, list[list[int]]]
"""Grid"""
