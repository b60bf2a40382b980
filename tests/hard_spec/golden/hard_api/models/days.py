import datetime
from typing import TypeAlias

Days: TypeAlias = dict[str, list[datetime.date]]
"""Days"""
