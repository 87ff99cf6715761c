"""One running service, put together: everything with a lifetime, in the order in which each needs the others.

Background work runs in one task group: should a part of it die, the process ends, loudly, and whoever
supervises it starts it again, which loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from service import clock, errors, vault
from service.access import Access
from service.api import deliveries, protocol, routes
from service.api.idempotency import Idempotency
from service.api.metrics import Metrics
from service.api.services import Part, Services
from service.changes import detect, types
from service.changes.importer import Importer
from service.changes.intake import Intake
from service.changes.poll import declared
from service.changes.poll.keeper import Sources
from service.changes.poll.poller import Poller
from service.changes.poll.upstream import Upstream
from service.changes.snapshot import Snapshots
from service.config import Settings
from service.delivery import outbox, send
from service.delivery.authenticate import Tokens
from service.delivery.dispatcher import Dispatcher
from service.delivery.egress import Guard
from service.delivery.elsewhere import Elsewhere, Shared
from service.delivery.fanout import FanOut
from service.delivery.keyring import KeyRing
from service.delivery.sender import Sender
from service.delivery.sharing import Sharing
from service.journal import retention
from service.model import OAuth2
from service.replicas import Memory, Others, Replica, Work
from service.store import replicas, sealed, store
from service.store.driver import Transaction
from service.store.store import SharedStore, Store
from service.watches.authorization import Authorizations
from service.watches.registrar import Registrar
from service.watches.registry import Registry
from service.watches.replay import Replayer
from service.watches.verifier import Verifier

log = logging.getLogger(__name__)

CANARY = b"webhook-watch"
LOOKUPS = 256  # of names at once; a thread is made when it is needed
LAST_ANSWERS = 2.0  # seconds that calls under way have when the server stops


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers."""

    services: Services
    url: str  # where
    new_admin_key: str | None  # made at this start, to be shown once


@asynccontextmanager
async def running(
    settings: Settings, part: Part = Part.ALL, *, now: Callable[[], int] = clock.now_ms
) -> AsyncIterator[Running]:
    """Start a service, or a part of one, and stop it at the end of the block, gracefully. ``now``: its clock (ms).

    Raises:
        ConfigError: it cannot start with these settings; nothing was left half done.
    """
    try:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            yield await _start(settings, part, group, stack, now)
            log.info("stopping")
    except* errors.ConfigError as group_error:
        raise group_error.exceptions[0] from None


async def _start(
    settings: Settings, part: Part, group: asyncio.TaskGroup, stack: AsyncExitStack, now: Callable[[], int]
) -> Running:
    _prepare(settings, part)
    known = types.load(settings.resources)
    opened = await stack.enter_async_context(store.opened(settings.database.url, group))
    replica = await _join(opened, stack)
    box = await _vault(opened, settings)

    access = Access(opened)
    new_key = await access.bootstrap(settings.admin.key)
    keyring = KeyRing(opened, box, now=now)
    _, revision = await replicas.revisions(opened)
    guard = Guard(settings.egress.allow)
    registry = Registry(
        lambda name, document: detect.in_order(document, known[name].rules) if name in known else document
    )
    registrar = Registrar(opened, registry, box, keyring, known, guard.check, settings.server.name)
    await registrar.load()
    if replica is not None:
        replica.remember(Memory(registrar, access), revision)

    metrics = Metrics()
    client = await stack.enter_async_context(send.session(guard))
    tokens = await stack.enter_async_context(
        Tokens(
            client,
            clock.now_ms,
            registrar.keep_refresh_token,
            registrar.lose_authorization,
            _sharing(opened, box, registrar.credentials),
        )
    )
    dispatcher = Dispatcher(
        opened,
        registrar,
        Sender(client, keyring, tokens, now=now, observe=metrics.attempted),
        concurrency=settings.delivery.concurrency_per_watch,
        buffer=settings.delivery.buffer_per_watch,
        now=now,
    )
    verifier = Verifier(opened, registrar, client, tokens, settings.server.name, now=now)
    handoff = _handoff(opened, dispatcher, part)
    fan_out = FanOut(opened, registrar, handoff, now=now)
    registrar.listen(fan_out, *((dispatcher, verifier) if part.works else ()))
    await fan_out.load()
    intake = Intake(opened, registry, fan_out, now=now, observe=metrics.changed)
    importer = Importer(opened, intake)
    if replica is None:
        await importer.recover()
    _add_gauges(metrics, opened, registry, dispatcher, fan_out)
    sources = Sources(opened, box, known, guard.check)
    await sources.declare(declared.load(settings.directory / "sources", os.environ, sources.world()))
    sharing = _sharing(opened, box, sources.credentials)
    source_tokens = await stack.enter_async_context(
        Tokens(client, clock.now_ms, sources.keep_refresh_token, sharing=sharing)
    )
    poller = Poller(opened, sources, Snapshots(opened, intake), Upstream(client, source_tokens, clock.now_ms), known)
    sources.listen(*((poller,) if part.works else ()))
    if replica is not None:
        sources.listen(Others(opened))
        replica.tend(Work(importer, fan_out, *((dispatcher, poller) if part.works else ())))
        _keep_running(replica.run(), "replica", group, stack)
    services = Services(
        settings=settings,
        store=opened,
        types=known,
        access=access,
        registry=registry,
        registrar=registrar,
        verifier=verifier,
        authorizations=Authorizations(opened, registrar, box, client, settings.server.public_url, now=now),
        keyring=keyring,
        intake=intake,
        sources=sources,
        handoff=handoff,
        replayer=Replayer(opened, registry, handoff, now=now),
        idempotency=Idempotency(opened, box, now=now),
        metrics=metrics,
    )

    await stack.enter_async_context(keyring.noting(group))
    if part.works:
        dispatching = group.create_task(dispatcher.run(), name="dispatcher")
        stack.push_async_callback(_stop_dispatcher, dispatcher, dispatching, settings.delivery.shutdown_grace)
        workers = {
            "fan-out": fan_out.run(),
            "replays": services.replayer.run(),
            "verifier": verifier.run(),
            "poller": poller.run(),
            "retention": retention.run(opened, settings.log.retention_days, settings.log.retention_interval),
        }
        for name, work in workers.items():
            _keep_running(work, name, group, stack)

    url = await _listen(services, part, stack)
    log.info("listening on %s with %d resource types and %d watches", url, len(known), len(registry))
    return Running(services, url, new_key)


def _prepare(settings: Settings, part: Part) -> None:
    check_sharing(settings, part)
    _raise_file_limit()
    # Names are looked up in threads: those that hang must not keep the others waiting.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))
    for doubt in settings.doubts:
        log.warning("%s", doubt)


async def _join(opened: Store, stack: AsyncExitStack) -> Replica | None:
    """Be one of several processes, where the database is one that several share."""
    if not isinstance(opened, SharedStore):
        return None
    replica = Replica(opened)
    await replica.join()
    stack.push_async_callback(replica.leave)
    return replica


def _sharing(opened: Store, box: vault.Vault, current: Callable[[str], Awaitable[OAuth2 | None]]) -> Sharing | None:
    return Sharing(opened, box, current) if opened.is_shared else None


def _handoff(opened: Store, dispatcher: Dispatcher, part: Part) -> outbox.Handoff:
    if not opened.is_shared:
        return dispatcher
    return Shared(opened, dispatcher) if part.works else Elsewhere(opened)


async def _listen(services: Services, part: Part, stack: AsyncExitStack) -> str:
    """Answer calls; where."""
    settings = services.settings
    server = protocol.Server(routes.Face(services, part), most=settings.server.max_body_bytes)
    runner = protocol.Runner(server, closing=lambda: deliveries.close_streams(services), shutdown_timeout=LAST_ANSWERS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.server.host, settings.server.port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise errors.ConfigError(
            f"cannot listen on {settings.server.host}:{settings.server.port}: {error.strerror}"
        ) from error
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_sharing(settings: Settings, part: Part) -> None:
    """What several processes over one database need."""
    if not store.is_postgresql(settings.database.url):
        if part is not Part.ALL:
            raise errors.ConfigError(
                f"role {part}: one process serves an SQLite file and does everything; database.url must be "
                "postgresql://... to divide the work"
            )
    elif not settings.secret.key:
        raise errors.ConfigError(
            "secret.key: with PostgreSQL there is no file to keep the encryption key beside: set WATCH_SECRET_KEY, to "
            "the same text for every process"
        )


async def _vault(opened: Store, settings: Settings) -> vault.Vault:
    """Refuse to start with an encryption key that cannot open what is stored; with several, seal it by the first."""
    box = vault.Vault.load(settings.secret.key, settings.database.key_file)

    async def canary(transaction: Transaction) -> str:
        stored = await sealed.canary(transaction)
        if stored is None:
            stored = box.seal(CANARY)
            await sealed.set_canary(transaction, stored)
        return stored

    stored = await opened.write(canary)
    try:
        box.open(stored)
        if len(settings.secret.key) > 1:  # once this is durable, the former keys may be dropped
            await opened.write(lambda transaction: sealed.seal_anew(transaction, lambda text: box.seal(box.open(text))))
    except vault.VaultError as error:
        raise errors.ConfigError(f"secret.key: {error.detail}") from error
    return box


def _add_gauges(metrics: Metrics, opened: Store, registry: Registry, dispatcher: Dispatcher, fan_out: FanOut) -> None:
    metrics.gauge("webhook_watch_watches", "Watches registered", lambda: len(registry))
    metrics.gauge(
        "webhook_watch_fields_compared_total", "Watches whose fields were compared", lambda: registry.examined
    )
    metrics.gauge("webhook_watch_in_flight", "Delivery attempts under way", lambda: dispatcher.in_flight)
    metrics.gauge("webhook_watch_fan_outs", "Changes whose deliveries are being made", lambda: fan_out.open)
    metrics.gauge("webhook_watch_commits_total", "Transactions committed", opened.commits)


async def _stop_dispatcher(dispatcher: Dispatcher, task: asyncio.Task[None], grace: float) -> None:
    await dispatcher.stop(grace)
    await asyncio.wait((task,))


def _keep_running(work: Coroutine[Any, Any, None], name: str, group: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
    stack.push_async_callback(_cancel, group.create_task(work, name=name))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _raise_file_limit() -> None:
    """Each callback under way is an open socket: take as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
