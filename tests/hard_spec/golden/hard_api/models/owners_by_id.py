from typing import TypeAlias

OwnersById: TypeAlias = dict[str, "Owner"]
"""OwnersById"""


from .owner import Owner
