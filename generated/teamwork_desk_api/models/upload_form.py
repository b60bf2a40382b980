from typing import TypeAlias

UploadForm: TypeAlias = dict[str, str | int]
"""The fields of the form that uploads the bytes."""
