"""A clone of the project to which CONTRIBUTING.md's recipe adds operations, for the judges and for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIT = shutil.which("git") or "git"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "build", "dist")
ADDED = ("getNotes", "setNote", "deleteNote")

PATHS = """
  /desk/api/v2/conversations/{id}/notes.json:
    summary: The notes of a conversation
    description: What agents have written about a conversation, for each other.
    parameters: [{ $ref: "#/components/parameters/ConversationId" }]
    get:
      operationId: getNotes
      tags: [conversations]
      summary: Gets the notes of a conversation
      description: Returns all notes.
      security: [{ bearer: [] }]
      parameters: [{ $ref: "#/components/parameters/Since" }]
      responses:
        "200":
          description: The notes.
          content:
            application/json:
              schema: { $ref: "#/components/schemas/Notes" }
              example: { notes: [{ id: 7, mood: calm }], counts: { agents: 1 }, byAgent: { "2": [{ id: 7 }] } }
        "400": { $ref: "#/components/responses/Invalid" }
        "404": { $ref: "#/components/responses/NotFound" }
    put:
      operationId: setNote
      tags: [conversations]
      summary: Sets the note of an agent
      description: Replaces the agent's note.
      security: [{ bearer: [] }]
      requestBody: { $ref: "#/components/requestBodies/Note" }
      responses:
        "200":
          description: All notes after the change.
          content:
            application/json:
              schema: { type: array, items: { $ref: "#/components/schemas/Note" }, description: The notes. }
              example: [{ id: 7, text: Call Jo. }]
        "404": { $ref: "#/components/responses/NotFound" }
    delete:
      operationId: deleteNote
      tags: [conversations]
      summary: Deletes the note of an agent
      description: Deletes the agent's note.
      security: [{ bearer: [] }]
      responses:
        "204": { description: The note was deleted. }
        "404": { $ref: "#/components/responses/NotFound" }
"""
COMPONENTS = {
    "parameters": """
    ConversationId:
      name: id
      in: path
      required: true
      description: The conversation's id.
      schema: { type: integer, minimum: 1, description: The conversation's id. }
      example: 42
    Since:
      name: since
      in: query
      description: Only the notes that are newer.
      schema: { type: string, format: date-time, description: Only the notes that are newer. }
      example: "2024-12-19T16:02:34Z"
""",
    "requestBodies": """
    Note:
      description: The note.
      content:
        application/json:
          schema: { $ref: "#/components/schemas/SetNote" }
          example: { text: Call Jo. }
""",
    "responses": """
    NotFound:
      description: The object does not exist.
      content:
        application/json:
          schema: { $ref: "#/components/schemas/Validator" }
          example: { errors: null }
""",
    "schemas": """
    Notes:
      type: object
      description: The notes of a conversation.
      properties:
        notes:
          type: [array, "null"]
          items: { $ref: "#/components/schemas/Note" }
          description: The notes.
        counts:
          anyOf: [{ $ref: "#/components/schemas/NoteCounts" }, { type: "null" }]
          description: The number of notes of each kind of author.
        byAgent:
          anyOf: [{ $ref: "#/components/schemas/NotesByAgent" }, { type: "null" }]
          description: The notes by the agent's id.
    NotesByAgent:
      type: object
      additionalProperties: { type: array, items: { $ref: "#/components/schemas/Note" } }
      description: Notes by an agent's id.
    NoteCounts:
      type: object
      additionalProperties: { type: integer }
      description: Numbers by a kind of author.
    Note:
      type: object
      description: A note.
      properties:
        id: { type: [integer, "null"], description: The note's id. }
        text: { type: [string, "null"], x-secret: true, description: The text. }
        mood: { type: [string, "null"], x-extensible-enum: [calm, angry], description: The mood. }
    SetNote:
      type: object
      description: The new values of a note.
      properties:
        text: { type: string, x-secret: true, description: The text. }
        ranks: { type: array, items: { type: number }, description: The scores of the thing. }
        pinned: { type: boolean, description: Whether it is shown first. }
""",
}


def with_operations(contract: str) -> str:
    """Return the text of a contract with the paths and the components of the new operations."""
    head, components, tail = contract.partition("\ncomponents:\n")
    for section, text in COMPONENTS.items():
        start = f"\n  {section}:\n"
        if start not in f"\n{tail}":
            tail = f"  {section}:\n\n{tail}"
        tail = f"\n{tail}".replace(start, start + text.removeprefix("\n"), 1).removeprefix("\n")
    return head + PATHS + components + tail


class Clone:
    """A clone of the project with a single commit.

    Args:
        root: The folder of the clone, which is empty.

    Attributes:
        root: The folder of the clone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT, root, ignore=LEFT_OUT, dirs_exist_ok=True)
        self._git("init", "--quiet")
        self._git("add", ".")
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        self._git(*author, "commit", "--quiet", "--message", "First")

    def add_operations(self) -> None:
        """Follow the recipe: change the contract, and generate."""
        contract = self.root / "openapi" / "desk.yaml"
        contract.write_text(with_operations(contract.read_text("utf-8")), "utf-8")
        self.run("openapi/generate.py").check_returncode()

    def changed(self) -> set[str]:
        """Return the files that differ from the commit, and are neither generated nor Python's own."""
        files = [line[3:] for line in self._git("status", "--porcelain", "--untracked-files=all").splitlines()]
        return {file for file in files if not file.startswith("generated/") and "__pycache__" not in file}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the packages of the clone."""
        path = os.pathsep.join(str(self.root / folder) for folder in ("generated", "overrides"))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def _git(self, *arguments: str) -> str:
        return subprocess.run([GIT, *arguments], cwd=self.root, capture_output=True, text=True, check=True).stdout
