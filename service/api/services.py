"""What the handlers work with: the parts of one running service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.access import Access
from service.api.idempotency import Idempotency
from service.api.metrics import Metrics
from service.changes.intake import Intake
from service.changes.poll.keeper import Sources
from service.changes.types import ResourceType
from service.config import Settings
from service.delivery.keyring import KeyRing
from service.delivery.outbox import Handoff
from service.store.store import Store
from service.watches.authorization import Authorizations
from service.watches.registrar import Registrar
from service.watches.registry import Registry
from service.watches.replay import Replayer
from service.watches.verifier import Verifier


class Part(StrEnum):
    """What a process does: the roles of ``serve``."""

    ALL = "all"
    API = "api"  # answers calls; deliveries, sweeps and retention are others' work
    WORKER = "worker"  # all of those; of calls it answers how it is, and in figures

    @property
    def works(self) -> bool:
        """Whether it does more than to answer."""
        return self is not Part.API


@dataclass(frozen=True, slots=True)
class Services:
    """One running service."""

    settings: Settings
    store: Store
    types: Mapping[str, ResourceType]
    access: Access
    registry: Registry
    registrar: Registrar
    verifier: Verifier
    authorizations: Authorizations
    keyring: KeyRing
    intake: Intake
    sources: Sources
    handoff: Handoff
    replayer: Replayer
    idempotency: Idempotency
    metrics: Metrics
    streams: set[asyncio.Task[Any]] = field(default_factory=set)  # those that are being read
