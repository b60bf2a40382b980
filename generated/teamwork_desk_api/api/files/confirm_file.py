"""Confirms that a file was uploaded."""

from typing import Any

from ...types import Hook, Request
from ...types import path_segment as _path_segment
from ...types import target as _target


def confirm_file(id: int) -> Request[None]:
    """Confirms that a file was uploaded.

    The third of three steps of an upload. Until then the file's `state` is `temp`.

    Args:
        id: The file's id.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="confirm_file",
        method="PATCH",
        target=_target(f"/desk/api/v2/files/{_path_segment(id)}.json", {}),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> None:
    """Ignore the response body: the contract describes none."""
