from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""Any JSON object."""
