"""What an import may do, how far it is, and what it came to, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.changes import snapshot
from service.changes.snapshot import Counts
from service.changes.types import ResourceType
from service.model import Document
from service.store.jobs import State

MOST_ERRORS = 20  # that a job shows


@dataclass(frozen=True, slots=True)
class Terms:
    """What an import may do."""

    longest: int  # bytes of a line
    force: bool = False  # delete whatever is missing, however much it is
    max_delete_share: float = snapshot.MAX_DELETE_SHARE  # of what was there before, 0 to 1


@dataclass(slots=True)
class Tally:
    """How far an import is."""

    before: int = 0  # imported resources that were there when it began
    done: int = 0  # lines that are not blank
    unread: int = 0  # of these, those that cannot be read, or repeat another
    refused: int = 0  # and those whose identities belong to other resources
    counts: Counts = field(default_factory=Counts)
    missing: int = 0  # resources that it has not shown
    deleted: int = 0
    broken: str | None = None  # why the stream did not come to its end
    errors: list[tuple[int, str, str]] = field(default_factory=list)  # line, pointer into it, and what is wrong

    def complain(self, line: int, pointer: str, detail: str) -> None:
        """Note what is wrong with a line; of many lines, the first."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append((line, pointer, detail))

    def is_whole(self, terms: Terms) -> bool:
        """Whether it has shown all there is, so that what is missing is gone.

        A line that cannot be read may have been any resource; a stream without a line is a mistake, or forced.
        """
        return self.broken is None and not self.unread and (self.done > 0 or terms.force)

    def is_held(self, terms: Terms) -> bool:
        """Whether so much is missing that somebody must confirm it first."""
        return not terms.force and snapshot.too_many(self.missing, self.before, terms.max_delete_share)

    def verdict(self, terms: Terms) -> tuple[State, str | None]:
        """How it ended, and for a person why, and how to go on."""
        if self.broken is not None:
            return State.FAILED, (
                f"{self.broken}, after {self.done} line{'s' * (self.done != 1)}: what came before stays, and nothing "
                "was deleted; import the whole file again"
            )
        if not self.done and not terms.force:
            return State.FAILED, (
                "no line came, so that nothing was deleted; if the directory is really empty, import it with force=true"
            )
        if self.unread:
            return State.FAILED, (
                f"lines that were refused: {self.unread} of {self.done}, so that nothing was deleted; correct them, "
                "and import the whole file again"
            )
        if self.is_held(terms):
            return State.HELD, (
                f"{self.missing} of {self.before} imported resources are missing, more than "
                f"{terms.max_delete_share * 100:g} %: none was deleted; if they are really gone, import the file "
                "again with force=true"
            )
        if self.refused:
            return State.FAILED, f"lines whose identities belong to other resources: {self.refused} of {self.done}"
        return State.SUCCEEDED, None

    def result(self, rtype: ResourceType, *, held: bool = False) -> Document:
        """What the job says besides its state."""
        return {
            "objectType": rtype.name,
            "created": self.counts.created,
            "updated": self.counts.updated,
            "unchanged": self.counts.unchanged,
            "overtaken": self.counts.overtaken,
            "deleted": self.deleted,
            "heldDeletions": self.missing if held else 0,
            "failed": self.unread + self.refused,
            "errors": [
                {"line": line, "pointer": pointer, "detail": detail} for line, pointer, detail in sorted(self.errors)
            ],
        }
