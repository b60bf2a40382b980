"""The files that the jobs of a run attach. The ledger keeps what was uploaded for a job that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from teamwork_desk import AsyncDesk, ConvertedConversation, DeskError

from ._attach import attach, may_be_about_files
from ._ledger import Ledger


class Uploads:
    """Uploads the files of jobs, and knows which of them each job attaches.

    Args:
        desk: The client that uploads; None uploads nothing.
        ledger: The ledger.
    """

    def __init__(self, desk: AsyncDesk | None, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger
        self._paths: dict[int, tuple[Path, ...]] = {}
        self._attached: dict[int, set[int]] = {}
        self._forgotten: set[int] = set()

    def add(self, conversation_id: int, paths: tuple[Path, ...]) -> None:
        """Add the files of a job."""
        if paths:
            self._paths[conversation_id] = paths

    async def attach(self, conversation_id: int, arguments: dict[str, Any]) -> ConvertedConversation | None:
        """Upload the files of a job, unless its conversation has a ticket: then return the conversation."""
        paths = self._paths.get(conversation_id)
        if self._desk is None or not paths:
            return None
        known = self._ledger.uploads(conversation_id)
        attached = self._attached[conversation_id] = set()

        def keep(fingerprint: str, file_id: int) -> None:
            if fingerprint not in known:
                self._ledger.keep_upload(conversation_id, fingerprint, file_id)
            attached.add(file_id)

        return await attach(self._desk, conversation_id, paths, arguments, known=known, keep=keep)

    def forget_if_rejected(self, conversation_id: int, error: DeskError) -> None:
        """Forget the files of a conversation if it may not have been converted because of them."""
        if conversation_id in self._attached and may_be_about_files(error):
            self._ledger.forget_uploads(conversation_id)
            self._forgotten.add(conversation_id)

    def forget(self, conversation_id: int) -> None:
        """Forget the files of a conversation, because it is converted."""
        if conversation_id in self._paths:
            self._ledger.forget_uploads(conversation_id)

    def describe(self, conversation_id: int) -> str:
        """Return what became of the files of a job that failed, as the end of a message."""
        ids = ", ".join(map(str, sorted(self._attached.get(conversation_id, ()))))
        if not ids:
            return ""
        if conversation_id in self._forgotten:
            return f"; uploaded, but the next run uploads again: file {ids}"
        return f"; uploaded for the next run with this ledger: file {ids}"
