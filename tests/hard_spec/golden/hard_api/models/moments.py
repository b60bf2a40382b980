import datetime
from typing import TypeAlias

Moments: TypeAlias = dict[str, datetime.datetime]
"""Moments"""
