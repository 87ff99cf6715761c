"""All watches in memory, compiled: a change finds those that want it without asking the database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.delivery import masking
from service.delivery.recipient import RenderError
from service.model import Change, Watch
from service.watches import address, match, template


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

    A watch of one resource is found by that resource, so that ten thousand of them cost a change nothing.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Prepared] = {}
        self._by_interest: defaultdict[tuple[str, str, str | None], dict[str, Prepared]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, watch_id: str) -> Prepared | None:
        """One watch, or None."""
        return self._by_id.get(watch_id)

    def adopt(self, prepared: Prepared) -> None:
        """Add a watch, or put it in its predecessor's place."""
        self.remove(prepared.watch.id)
        self._by_id[prepared.watch.id] = prepared
        self._by_interest[_interest(prepared.watch)][prepared.watch.id] = prepared

    def remove(self, watch_id: str) -> None:
        """Forget a watch."""
        prepared = self._by_id.pop(watch_id, None)
        if prepared is not None:
            interest = _interest(prepared.watch)
            del self._by_interest[interest][watch_id]
            if not self._by_interest[interest]:
                del self._by_interest[interest]

    def match(self, change: Change) -> list[Prepared]:
        """Those that hear of this change."""
        candidates = [
            *self._by_interest.get((change.tenant, change.type, None), {}).values(),
            *self._by_interest.get((change.tenant, change.type, change.object_id), {}).values(),
        ]
        return [prepared for prepared in candidates if match.hears(prepared.watch, change)]


def _interest(watch: Watch) -> tuple[str, str, str | None]:
    return watch.tenant, watch.object_type, watch.object_id
