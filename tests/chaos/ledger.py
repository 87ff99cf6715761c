"""What was accepted, what came, what the service says of both, and the judgement: pure, of values alone.

The truth is the feed of changes, once everything is over. It is held against what the writers were answered: what was
accepted is in it, what was refused is not, and of what nobody was answered either may be. The callbacks that came, and
the log, are held against the feed. Each check says in words what it finds; no finding is a clean run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Said(StrEnum):
    """How a write was answered."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # or it never left: nothing of it is stored
    LOST = "lost"  # nobody knows


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch of everything."""

    name: str
    is_ordered: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """A write of a resource. Nobody writes the same resource at the same time."""

    object_id: str
    mark: str | None  # a text that no other write has; None: a deletion
    said: Said
    version: int | None = None  # that the answer named; of a deletion: the last one before it that was answered


@dataclass(frozen=True, slots=True)
class Arrival:
    """A callback, as it came."""

    watch: str
    object_id: str
    version: int
    change_id: str
    webhook_id: str
    mark: str | None
    taken: bool = True  # it was answered 200


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the feed."""

    id: str
    object_id: str
    version: int
    mark: str | None  # None: a deletion


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the delivery log."""

    id: str
    watch: str
    change_id: str | None  # None: no attempt was made
    status: str
    reason: str | None


@dataclass(slots=True)
class Cut:
    """A process or a receiver ended, or lost its database: what was under way may have to be sent again."""

    began: int  # after so many arrivals
    ended: int | None = None  # when all was well again; None: never


@dataclass(slots=True)
class Ledger:
    """A whole history."""

    watches: Sequence[Watch] = ()
    writes: list[Write] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)  # in the order in which they came
    feed: Sequence[Change] = ()
    log: Sequence[Logged] = ()
    cuts: list[Cut] = field(default_factory=list)  # of all watches
    in_flight: int = 0  # deliveries of one watch that may be under way, or not settled yet, at one cut

    def cut(self) -> Cut:
        """Something is cut now."""
        self.cuts.append(Cut(len(self.arrivals)))
        return self.cuts[-1]

    def mend(self, cut: Cut) -> None:
        """All is well again."""
        cut.ended = len(self.arrivals)


def judge(ledger: Ledger) -> list[str]:
    """Everything that is wrong with a history, in words."""
    return [finding for check in CHECKS for finding in check(ledger)]


def repeats(ledger: Ledger) -> Mapping[str, int]:
    """By watch: callbacks that came again although an earlier one was taken."""
    taken = Counter((arrival.watch, arrival.webhook_id) for arrival in ledger.arrivals if arrival.taken)
    found: Counter[str] = Counter()
    for (watch, _), times in taken.items():
        found[watch] += times - 1
    return found


def _answers_were_true(ledger: Ledger) -> Iterator[str]:
    """What was accepted is there, in the version that was answered; what was refused is not."""
    of_mark = {change.mark: change for change in ledger.feed if change.mark is not None}
    for write in ledger.writes:
        if write.mark is None:
            continue
        change = of_mark.get(write.mark)
        if change is None:
            if write.said is Said.ACCEPTED:
                yield f"LOST: the write {write.mark} of {write.object_id} was accepted, and no change has it"
        elif write.said is Said.REFUSED:
            yield f"the write {write.mark} of {write.object_id} was refused, and is change {change.id} all the same"
        elif (write.object_id, write.version or change.version) != (change.object_id, change.version):
            yield f"the write {write.mark} was answered as version {write.version} of {write.object_id}, and is {change}"
    written = {write.mark for write in ledger.writes}
    for mark in of_mark.keys() - written:
        yield f"change {of_mark[mark].id} has the mark {mark}, which nobody wrote"


def _deletions_were_true(ledger: Ledger) -> Iterator[str]:
    deleted: defaultdict[str, list[int]] = defaultdict(list)
    for change in sorted(ledger.feed, key=lambda change: change.version):
        if change.mark is None:
            deleted[change.object_id].append(change.version)
    possible: Counter[str] = Counter()
    for write in ledger.writes:
        if write.mark is not None or write.said is Said.REFUSED:
            continue
        possible[write.object_id] += 1
        if write.said is Said.ACCEPTED:
            free = [version for version in deleted[write.object_id] if version > (write.version or 0)]
            if free:
                deleted[write.object_id].remove(free[0])  # it is this one's
                possible[write.object_id] -= 1
            else:
                yield f"LOST: {write.object_id} was deleted after version {write.version}, and no change says so"
    for object_id, versions in deleted.items():
        if len(versions) > possible[object_id]:
            yield f"{object_id} was deleted in versions {versions}, and nobody can have asked for it"


def _versions_have_no_gap(ledger: Ledger) -> Iterator[str]:
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for change in ledger.feed:
        versions[change.object_id].append(change.version)
    for object_id, found in versions.items():
        if found != list(range(1, len(found) + 1)):
            yield f"the feed has the versions of {object_id} as {found}"
    if len({change.id for change in ledger.feed}) < len(ledger.feed):
        yield "two changes in the feed have one id"


def _everyone_was_told(ledger: Ledger) -> Iterator[str]:
    """Each change, to each watch; or the log says why not."""
    taken = {(arrival.watch, arrival.change_id) for arrival in ledger.arrivals if arrival.taken}
    logged = {(row.watch, row.change_id): row for row in ledger.log}
    for watch in ledger.watches:
        for change in ledger.feed:
            row = logged.get((watch.name, change.id))
            if (watch.name, change.id) in taken or (row is not None and row.status == "failed" and row.reason):
                continue
            says = "has nothing of it" if row is None else f"says {row.status}, reason {row.reason}"
            yield f"LOST: version {change.version} of {change.object_id} never came to {watch.name}; the log {says}"


def _the_log_is_closed(ledger: Ledger) -> Iterator[str]:
    """Each delivery has ended, and one that ended well did arrive."""
    taken = {arrival.webhook_id for arrival in ledger.arrivals if arrival.taken}
    for row in ledger.log:
        if row.status == "succeeded" and row.id not in taken:
            yield f"the log says that {row.id} to {row.watch} succeeded, and nobody took it"
        elif row.status not in {"succeeded", "failed"}:
            yield f"the log says that {row.id} to {row.watch} is {row.status}"
        elif row.status == "failed" and not row.reason:
            yield f"the log says that {row.id} to {row.watch} failed, and not why"


def _what_came_is_what_was(ledger: Ledger) -> Iterator[str]:
    changes = {change.id: change for change in ledger.feed}
    versions = {(change.object_id, change.version): change for change in ledger.feed}
    for arrival in ledger.arrivals:
        change = changes.get(arrival.change_id)
        if change is None or (change.object_id, change.version) != (arrival.object_id, arrival.version):
            yield f"{arrival.watch} was told of what is no change: {arrival}"
            continue
        told = change if change.mark is not None else versions.get((change.object_id, change.version - 1))
        if told is None or told.mark != arrival.mark:
            yield f"{arrival.watch} was told another content than that of change {change.id}: {arrival}"


def _order_holds(ledger: Ledger) -> Iterator[str]:
    """By watch and resource no version comes after a later one, not even as a repeat: the later one waits for it."""
    ordered = {watch.name for watch in ledger.watches if watch.is_ordered}
    last: dict[tuple[str, str], int] = {}
    for arrival in ledger.arrivals:
        lane = arrival.watch, arrival.object_id
        if arrival.watch in ordered and arrival.version < last.get(lane, 0):
            yield f"OUT OF ORDER: {arrival.watch} was told version {arrival.version} of {arrival.object_id} after {last[lane]}"
        last[lane] = max(arrival.version, last.get(lane, 0))


def _ids_are_one_to_one(ledger: Ledger) -> Iterator[str]:
    """A webhook-id stands for one change to one watch, and the other way round."""
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    of_id: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    seen = [(arrival.watch, arrival.change_id, arrival.webhook_id) for arrival in ledger.arrivals]
    seen += [(row.watch, row.change_id, row.id) for row in ledger.log if row.change_id is not None]
    for watch, change_id, webhook_id in seen:
        ids[watch, change_id].add(webhook_id)
        of_id[webhook_id].add((watch, change_id))
    for (watch, change_id), found in ids.items():
        if len(found) > 1:
            yield f"change {change_id} has several ids for {watch}: {', '.join(sorted(found))}"
    for webhook_id, pairs in of_id.items():
        if len(pairs) > 1:
            yield f"{webhook_id} stands for several: {sorted(pairs)}"


def _repeats_are_few(ledger: Ledger) -> Iterator[str]:
    cuts = len(ledger.cuts)
    most = cuts * ledger.in_flight
    for watch, times in repeats(ledger).items():
        if times > most:
            yield f"{times} callbacks came to {watch} again; {ledger.in_flight} in flight at {cuts} cuts allow {most}"


def _repeats_have_a_cause(ledger: Ledger) -> Iterator[str]:
    """Between a callback that was taken and its repeat something was cut."""
    taken: dict[tuple[str, str], int] = {}
    for place, arrival in enumerate(ledger.arrivals):
        if not arrival.taken:
            continue
        first = taken.get((arrival.watch, arrival.webhook_id))
        if first is not None and not any(
            cut.began <= place and (cut.ended is None or first < cut.ended) for cut in ledger.cuts
        ):
            yield f"{arrival.webhook_id} came to {arrival.watch} again, although it was taken and nothing was cut"
        taken[arrival.watch, arrival.webhook_id] = place


CHECKS: Sequence[Callable[[Ledger], Iterator[str]]] = (
    _answers_were_true,
    _deletions_were_true,
    _versions_have_no_gap,
    _everyone_was_told,
    _the_log_is_closed,
    _what_came_is_what_was,
    _order_holds,
    _ids_are_one_to_one,
    _repeats_are_few,
    _repeats_have_a_cause,
)
