"""All watches in memory, compiled: a change finds those that want it without asking the database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.delivery import masking
from service.delivery.recipient import RenderError
from service.model import Change, Event, Watch
from service.watches import address, match, template

Interest = tuple[str, str, str | None]  # tenant and type, and the resource where it is one only


@dataclass(frozen=True, slots=True)
class Prepared:
    """A watch that is ready to be told: see delivery.recipient.Recipient."""

    watch: Watch
    secrets: frozenset[str] = field(repr=False)
    _template: template.Template
    _address: address.AddressTemplate

    @classmethod
    def of(cls, watch: Watch) -> Prepared:
        """Compile a watch; errors.Invalid when its template or address cannot be."""
        return cls(
            watch,
            masking.secrets_of(watch),
            template.compile(watch.schema, add_previous_data=watch.add_previous_data),
            address.compile(watch.address),
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


class Registry:
    """The watches, by id and by what they want to hear of.

    A watch of one resource is found by that resource, so that ten thousand of them cost a change nothing. Who hears of
    an event is found out once, and again when one of those watches has changed.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Prepared] = {}
        self._by_interest: defaultdict[Interest, dict[str, Prepared]] = defaultdict(dict)
        self._audiences: dict[Interest, dict[Event, tuple[Prepared, ...]]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, watch_id: str) -> Prepared | None:
        """One watch, or None."""
        return self._by_id.get(watch_id)

    def adopt(self, prepared: Prepared) -> None:
        """Add a watch, or put it in its predecessor's place."""
        self.remove(prepared.watch.id)
        interest = _interest(prepared.watch)
        self._by_id[prepared.watch.id] = prepared
        self._by_interest[interest][prepared.watch.id] = prepared
        self._audiences.pop(interest, None)

    def remove(self, watch_id: str) -> None:
        """Forget a watch."""
        prepared = self._by_id.pop(watch_id, None)
        if prepared is not None:
            interest = _interest(prepared.watch)
            self._audiences.pop(interest, None)
            del self._by_interest[interest][watch_id]
            if not self._by_interest[interest]:
                del self._by_interest[interest]

    def match(self, change: Change) -> tuple[Prepared, ...]:
        """Those that hear of this change; mostly the same tuple as for the change before."""
        everyone = self._audience((change.tenant, change.type, None), change.event)
        others = self._audience((change.tenant, change.type, change.object_id), change.event)
        return everyone + others if others else everyone

    def _audience(self, interest: Interest, event: Event) -> tuple[Prepared, ...]:
        known = self._audiences.get(interest)
        if known is None:
            watches = self._by_interest.get(interest)
            if watches is None:
                return ()
            known = self._audiences[interest] = {
                each: tuple(prepared for prepared in watches.values() if match.hears(prepared.watch, each))
                for each in Event
            }
        return known[event]


def _interest(watch: Watch) -> Interest:
    return watch.tenant, watch.object_type, watch.object_id
