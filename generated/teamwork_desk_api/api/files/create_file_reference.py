"""Announces a file."""

from typing import Any

from ...models.create_file_reference import CreateFileReference
from ...models.file_reference import FileReference
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import encode as _encode
from ...types import target as _target


def create_file_reference(*, body: CreateFileReference) -> Request[FileReference]:
    """Announces a file.

    The first of three steps of an upload. The second is a multipart POST of `params` and of the file's bytes, as
    the field `file`, to `url`, which is on another host. The third is `confirmFile`.

    Args:
        body: A file that is to be uploaded.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="create_file_reference",
        method="POST",
        target=_target("/desk/api/v2/files/ref.json", {}),
        body=_encode(body),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> FileReference:
    return _decode_answer(FileReference.from_dict, payload, hook, envelope="", required=("url", "params", "file"))
