from typing import TypeAlias

Either: TypeAlias = dict[str, "Owner | str"]
"""Either"""


from .owner import Owner
