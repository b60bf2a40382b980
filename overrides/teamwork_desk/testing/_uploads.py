"""The files of FakeDesk, and its upload host, which is another host than Desk."""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesHeaderParser
from itertools import count, pairwise
from typing import Any, Literal, cast

import httpx
from attrs import define, field

from ._responses import ErrorShape, FakeResponse, json_response, rejection, validation_error

FIRST_FILE = 501
PATH = "/uploads"
_REFERENCE = "/desk/api/v2/files/ref.json"
_FILE = re.compile(r"/desk/api/v2/files/([0-9]{1,19})\.json")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""Source: RFC 2046, section 5.1.1."""
_PORT = re.compile(":[0-9]+$")
_IN_MEMORY = httpx.URL("https://uploads.example.net")


@define
class UploadedFile:
    """A file of FakeDesk.

    Attributes:
        id: The file's id.
        filename: The file's name. The repr does not show it, because it may hold personal data.
        mime_type: The file's media type.
        state: `temp` until the upload is confirmed, then `active`.
        content: The bytes; None until the upload host has received them.
        params: The fields that the form must have.
    """

    id: int
    filename: str = field(repr=False)
    mime_type: str
    state: Literal["temp", "active"] = "temp"
    content: bytes | None = field(default=None, repr=False)
    params: dict[str, str] = field(factory=dict[str, str], repr=False)


def is_upload(path: str) -> bool:
    """Return whether a path is on the upload host."""
    return path == PATH


class Uploads:
    """The files, and the rules for their upload.

    Attributes:
        files: The files by their ids.
    """

    def __init__(self) -> None:
        self.files: dict[int, UploadedFile] = {}
        self._ids = count(FIRST_FILE)
        self._origin = _IN_MEMORY

    @contextmanager
    def at(self, origin: str) -> Generator[None]:
        """Have the upload host at another origin, while it is served there."""
        before, self._origin = self._origin, httpx.URL(origin)
        try:
            yield
        finally:
            self._origin = before

    def _netloc(self, host: str) -> str:
        """Return the host and the port of the upload host.

        Args:
            host: The `Host` header of a request. While the upload host is served, it has the name by which the client
                reaches Desk: it may listen on all addresses of a machine, and only the client knows which it can reach.
        """
        if self._origin is _IN_MEMORY or not host:
            return self._origin.netloc.decode("ascii")
        return f"{_PORT.sub('', host)}:{self._origin.port}"

    def carry_out(self, method: str, path: str, body: Any, shape: ErrorShape, host: str) -> FakeResponse | None:
        """Return Desk's response to a request about files; None if the path is about something else."""
        match = _FILE.fullmatch(path)
        if path != _REFERENCE and match is None:
            return None
        allowed = "PATCH" if match else "POST"
        if method != allowed:
            return rejection(405, f"the method must be {allowed}", Allow=allowed)
        return self._confirm(int(match[1]), shape) if match else self._announce(body, shape, host)

    def _confirm(self, file_id: int, shape: ErrorShape) -> FakeResponse:
        file = self.files.get(file_id)
        if file is None:
            return rejection(404, "the file is unknown")
        if file.content is None:
            return validation_error([("file", "must be uploaded")], shape)
        file.state = "active"
        return json_response(200, {"file": _as_json(file)})

    def _announce(self, body: Any, shape: ErrorShape, host: str) -> FakeResponse:
        problems = list(_problems_of_announcement(body))
        if problems:
            return validation_error(problems, shape)
        file = UploadedFile(next(self._ids), body["filename"], body["mimeType"])
        self.files[file.id] = file
        file.params = {
            "Content-Type": file.mime_type,
            "bucket": "fake-desk",
            "key": f"{secrets.token_hex(8)}/{file.id}",
            "policy": secrets.token_urlsafe(48),
            "success_action_status": "201",
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": "fake-desk/s3/aws4_request",
            "x-amz-date": "20240101T000000Z",
            "x-amz-signature": secrets.token_hex(32),
        }
        url = f"{self._origin.scheme}://{self._netloc(host)}{PATH}?signature={secrets.token_hex(16)}"
        return json_response(200, {"url": url, "params": file.params, "file": _as_json(file)})

    def receive(self, method: str, headers: httpx.Headers, body: bytes) -> FakeResponse:
        """Return the upload host's response to a form. It quotes the form, as a storage host does."""
        problem, fields = _fields_of(headers, body)
        key = dict(fields).get("key", b"").decode("latin-1")
        file = next((file for file in self.files.values() if file.params.get("key") == key), None)
        if method != "POST":
            problem = "the method must be POST"
        elif headers.get("host") != self._netloc(headers.get("host", "")):
            problem = "this host knows no uploads"
        elif "authorization" in headers or "cookie" in headers:
            problem = "only the signature may authorize the upload"
        elif not problem and file is None:
            problem = "the key is unknown"
        if file is not None and not problem:
            expected = [(name, value.encode()) for name, value in file.params.items()]
            if fields[:-1] != expected or fields[-1][0] != "file":
                problem = "the form must have the signed fields unchanged and in order, and the file last"
            else:
                file.content = fields[-1][1]
        code, status = ("AccessDenied", 403) if problem else ("Created", 201)
        text = f"<Response><Code>{code}</Code><Message>{problem}</Message><Key>{key}</Key></Response>"
        return FakeResponse(status, httpx.Headers({"Content-Type": "application/xml"}), text.encode())

    def problems_of(self, body: Any) -> list[tuple[str, str]]:
        """Return the problems with the files of a convert request, which is valid otherwise.

        FakeDesk accepts any id of another object, and so also of a file that it does not know. But a file that it has
        announced must have been uploaded and confirmed.
        """
        listed: list[dict[str, Any]] = body.get("files") or []
        files = [self.files.get(each["id"]) for each in listed]
        return [
            (f"files[{index}].id", "must be an uploaded file")
            for index, file in enumerate(files)
            if file is not None and file.state != "active"
        ]


def _as_json(file: UploadedFile) -> dict[str, Any]:
    return {"id": file.id, "filename": file.filename, "mimeType": file.mime_type, "state": file.state}


def _problems_of_announcement(body: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(body, dict):
        yield "body", "must be a JSON object"
        return
    fields = cast("dict[str, Any]", body)
    for name in ("filename", "mimeType"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            yield name, "must be set"
    for name, choices in {"type": ("attachment",), "disposition": ("attachment", "attachment-inline")}.items():
        if fields.get(name) not in choices:
            yield name, f"must be one of ‘{', '.join(choices)}’"


def _fields_of(headers: httpx.Headers, body: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the problem with a form, and its fields in their order."""
    boundary = _boundary_of(headers)
    if boundary is None:
        return "the content type must be multipart/form-data", []
    if headers.get("content-length") != str(len(body)):
        return "the length must be known", []
    body = b"\r\n" + body
    delimiter = re.compile(rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    found = list(delimiter.finditer(body))
    last = next((number for number, each in enumerate(found) if each[1]), 0)
    if not last:
        return "the form is not complete", []
    # Each part begins after the line of its delimiter. What is before the first or after the last is not a part.
    return "", [_field_of(body[start.end() + 2 : end.start()]) for start, end in pairwise(found[: last + 1])]


def _boundary_of(headers: httpx.Headers) -> bytes | None:
    message = Message()
    message["Content-Type"] = headers.get("content-type", "")
    boundary = message.get_boundary("")
    is_form = message.get_content_type() == "multipart/form-data" and _BOUNDARY.fullmatch(boundary)
    return boundary.encode("ascii") if is_form else None


def _field_of(part: bytes) -> tuple[str, bytes]:
    head, _, value = part.partition(b"\r\n\r\n")
    name = BytesHeaderParser().parsebytes(head).get_param("name", "", "content-disposition")
    return name if isinstance(name, str) else "", value
