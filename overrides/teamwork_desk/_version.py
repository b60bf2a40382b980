"""The version of the installed package."""

from __future__ import annotations


def version() -> str:
    """Return the version of the installed package; `"unknown"` if it was installed without its metadata.

    Tools that build small packages, for serverless platforms for example, remove the folder with the metadata.
    """
    from importlib import metadata  # noqa: PLC0415 - slow to import

    try:
        # The version is None if the folder is there, and its METADATA file is not.
        found: str | None = metadata.version("teamwork-desk")
    except Exception:  # damaged metadata may raise anything, and a name for logs must not break a client
        found = None
    return found or "unknown"
