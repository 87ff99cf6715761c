"""All watches in memory, compiled: a change finds those that want it without asking the database."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.delivery import masking
from service.delivery.recipient import RenderError
from service.model import Change, Event, Watch
from service.watches import address, fields, match, template, verification
from service.watches.jsonpath import Expression

SOME = 20  # watches that are named of those which were not told

Interest = tuple[str, str, str | None]  # tenant and type, and the resource where it is one only


@dataclass(frozen=True, slots=True)
class Prepared:
    """A watch that is ready to be told: see delivery.recipient.Recipient."""

    watch: Watch
    secrets: frozenset[str] = field(repr=False)
    rate: float | None  # attempts a second at most, by its owner's wish and by its receiver's
    origin: str | None  # what callbacks say to a receiver that consented to it
    _template: template.Template
    _address: address.AddressTemplate
    fields: tuple[Expression, ...] = ()  # an update is told only if one of them changed; none: every update

    @classmethod
    def of(cls, watch: Watch) -> Prepared:
        """Compile a watch; errors.Invalid when its template or address cannot be."""
        return cls(
            watch,
            masking.secrets_of(watch),
            verification.rate(watch),
            verification.origin(watch),
            template.compile(watch.schema, add_previous_data=watch.add_previous_data),
            address.compile(watch.address),
            fields.compile(watch.fields or ()),
        )

    def body(self, change: Change) -> bytes:
        """The request body."""
        try:
            return self._template.body(change)
        except template.TemplateTooLarge as error:
            raise RenderError(error.detail, too_large=True) from error
        except template.TemplateError as error:
            raise RenderError(error.detail) from error

    def address(self, change: Change) -> str:
        """The URL with its placeholders filled."""
        try:
            return self._address.expand(change)
        except template.TemplateError as error:
            raise RenderError(f"address: {error.detail}") from error


@dataclass(frozen=True, slots=True)
class PassedOver:
    """The watches that an update was not told to, because it touched none of their fields."""

    watches: int
    ids: list[str]  # of some of them


class Registry:
    """The watches, by id and by what they want to hear of.

    A watch of one resource is found by that resource, so that ten thousand of them cost a change nothing. Who hears of
    an event is found out once, and kept up to date as watches come and go. Those with ``fields`` are asked about
    each update that may have touched them: see ``fields``.
    """

    def __init__(self, in_order: fields.InOrder = lambda _type, document: document) -> None:
        self.in_order = in_order
        self._by_id: dict[str, Prepared] = {}
        self._by_interest: defaultdict[Interest, dict[str, Prepared]] = defaultdict(dict)
        self._audiences: dict[Interest, dict[Event, tuple[Prepared, ...]]] = {}
        self._with_fields: dict[Interest, fields.Index] = {}
        self.examined = 0  # watches whose fields were compared, ever

    def __len__(self) -> int:
        return len(self._by_id)

    def everyone(self) -> list[Prepared]:
        """All of them."""
        return list(self._by_id.values())

    def get(self, watch_id: str) -> Prepared | None:
        """One watch, or None."""
        return self._by_id.get(watch_id)

    def adopt(self, prepared: Prepared) -> None:
        """Add a watch, or put it in its predecessor's place."""
        self.remove(prepared.watch.id)
        interest = _interest(prepared.watch)
        self._by_id[prepared.watch.id] = prepared
        self._by_interest[interest][prepared.watch.id] = prepared
        for event, told in self._audiences.get(interest, {}).items():
            if match.hears(prepared.watch, event):
                self._audiences[interest][event] = (*told, prepared)
        if match.picks(prepared.watch):
            self._with_fields.setdefault(interest, fields.Index()).add(prepared.watch.id, prepared.fields)

    def remove(self, watch_id: str) -> None:
        """Forget a watch."""
        prepared = self._by_id.pop(watch_id, None)
        if prepared is not None:
            interest = _interest(prepared.watch)
            del self._by_interest[interest][watch_id]
            for event, told in self._audiences.get(interest, {}).items():
                if match.hears(prepared.watch, event):
                    self._audiences[interest][event] = tuple(other for other in told if other is not prepared)
            if not self._by_interest[interest]:
                del self._by_interest[interest]
                self._audiences.pop(interest, None)
            if match.picks(prepared.watch):
                self._with_fields[interest].remove(watch_id)
                if not self._with_fields[interest].members:
                    del self._with_fields[interest]

    def match(self, change: Change) -> tuple[Prepared, ...]:
        """Those that hear of this change; mostly the same tuple as for the change before."""
        everyone = self._audience((change.tenant, change.type, None), change.event)
        others = self._audience((change.tenant, change.type, change.object_id), change.event)
        heard = everyone + others if others else everyone
        if self._with_fields and change.event is Event.UPDATED:
            touched = self._touched(change)
            return heard + touched if touched else heard
        return heard

    def touches(self, prepared: Prepared, change: Change) -> bool:
        """Whether a change is none of those updates that a watch with ``fields`` does not hear of."""
        if not prepared.fields or change.event is not Event.UPDATED:
            return True
        return fields.Comparison(change, self.in_order).touches(prepared.fields)

    @property
    def has_fields(self) -> bool:
        """Whether any watch hears only of some updates."""
        return bool(self._with_fields)

    def passed_over(self, change: Change, heard: Sequence[Prepared]) -> PassedOver | None:
        """Whom an update was not told to that was told to ``heard``; None: there is nobody."""
        if change.event is not Event.UPDATED:
            return None
        indexes = self._indexes(change)
        if not indexes:
            return None
        told = {prepared.watch.id for prepared in heard if prepared.fields}
        watches = sum(len(index.members) for index in indexes) - len(told)
        left = (id_ for index in indexes for id_ in index.members if id_ not in told)
        return PassedOver(watches, list(itertools.islice(left, SOME))) if watches else None

    def _touched(self, change: Change) -> tuple[Prepared, ...]:
        """Those with fields, one of which this update changed."""
        indexes = self._indexes(change)
        found = [(index, id_) for index in indexes for id_ in index.candidates(change.diff)]
        if not found:
            return ()
        self.examined += len(found)
        comparison = fields.Comparison(change, self.in_order)
        return tuple(self._by_id[id_] for index, id_ in found if comparison.touches(index.members[id_]))

    def _indexes(self, change: Change) -> list[fields.Index]:
        interests = ((change.tenant, change.type, None), (change.tenant, change.type, change.object_id))
        return [self._with_fields[interest] for interest in interests if interest in self._with_fields]

    def hearing(self, tenant: str, type_: str, object_id: str, event: Event) -> tuple[Prepared, ...]:
        """Those that hear of such an event, before there is a change."""
        return self._audience((tenant, type_, None), event) + self._audience((tenant, type_, object_id), event)

    def _audience(self, interest: Interest, event: Event) -> tuple[Prepared, ...]:
        known = self._audiences.get(interest)
        told = None if known is None else known.get(event)
        if told is None:
            watches = self._by_interest.get(interest)
            if watches is None:
                return ()
            told = tuple(prepared for prepared in watches.values() if match.hears(prepared.watch, event))
            self._audiences.setdefault(interest, {})[event] = told
        return told


def _interest(watch: Watch) -> Interest:
    return watch.tenant, watch.object_type, watch.object_id
