"""One running service, put together: everything with a lifetime, in the order in which each needs the others.

Background work runs in one task group: should a part of it die, the process ends, loudly, and whoever
supervises it starts it again, which loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from service import clock, errors, vault
from service.access import Access
from service.api import protocol, routes
from service.api.metrics import Metrics
from service.api.services import Services
from service.changes import detect, types
from service.changes.importer import Importer
from service.changes.intake import Intake
from service.changes.poll import declared
from service.changes.poll.keeper import Sources
from service.changes.poll.poller import Poller
from service.changes.poll.upstream import Upstream
from service.changes.snapshot import Snapshots
from service.config import Settings
from service.delivery import send
from service.delivery.authenticate import Tokens
from service.delivery.dispatcher import Dispatcher
from service.delivery.egress import Guard
from service.delivery.fanout import FanOut
from service.delivery.keyring import KeyRing
from service.delivery.sender import Sender
from service.journal import retention
from service.store import sealed, store
from service.store.store import Store
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
async def running(settings: Settings, *, now: Callable[[], int] = clock.now_ms) -> AsyncIterator[Running]:
    """Start a service and stop it at the end of the block, gracefully. ``now``: its clock (ms).

    Raises:
        ConfigError: it cannot start with these settings; nothing was left half done.
    """
    try:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            yield await _start(settings, group, stack, now)
            log.info("stopping")
    except* errors.ConfigError as group_error:
        raise group_error.exceptions[0] from None


async def _start(
    settings: Settings, group: asyncio.TaskGroup, stack: AsyncExitStack, now: Callable[[], int]
) -> Running:
    _raise_file_limit()
    # Names are looked up in threads: those that hang must not keep the others waiting.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))
    for doubt in settings.doubts:
        log.warning("%s", doubt)
    known = types.load(settings.resources)
    opened = await stack.enter_async_context(store.opened(settings.database.url, group))
    box = vault.Vault.load(settings.secret.key, settings.database.key_file)
    await _check_vault(opened, box, rotating=len(settings.secret.key) > 1)

    access = Access(opened)
    new_key = await access.bootstrap(settings.admin.key)
    keyring = KeyRing(opened, box)
    await keyring.refresh()
    guard = Guard(settings.egress.allow)
    registry = Registry(
        lambda name, document: detect.in_order(document, known[name].rules) if name in known else document
    )
    registrar = Registrar(opened, registry, box, keyring, known, guard.check, settings.server.name)
    await registrar.load()

    metrics = Metrics()
    client = await stack.enter_async_context(send.session(guard))
    tokens = await stack.enter_async_context(
        Tokens(client, clock.now_ms, registrar.keep_refresh_token, registrar.lose_authorization)
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
    registrar.listen(dispatcher, verifier)
    fan_out = FanOut(opened, registrar, dispatcher, now=now)
    await fan_out.load()
    intake = Intake(opened, registry, fan_out, now=now, observe=metrics.changed)
    await Importer(opened, intake).recover()
    _add_gauges(metrics, opened, registry, dispatcher, fan_out)
    sources = Sources(opened, box, known, guard.check)
    await sources.declare(declared.load(settings.directory / "sources", os.environ, sources.world()))
    source_tokens = await stack.enter_async_context(Tokens(client, clock.now_ms, sources.keep_refresh_token))
    poller = Poller(opened, sources, Snapshots(opened, intake), Upstream(client, source_tokens, clock.now_ms), known)
    sources.listen(poller)
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
        dispatcher=dispatcher,
        replayer=Replayer(opened, registry, dispatcher, now=now),
        metrics=metrics,
    )

    await stack.enter_async_context(keyring.noting(group))
    dispatching = group.create_task(dispatcher.run(), name="dispatcher")
    stack.push_async_callback(_stop_dispatcher, dispatcher, dispatching, settings.delivery.shutdown_grace)
    workers = {
        "fan-out": fan_out.run(),
        "replays": services.replayer.run(),
        "verifier": verifier.run(),
        "poller": poller.run(),
    }
    for name, work in workers.items():
        stack.push_async_callback(_cancel, group.create_task(work, name=name))
    sweeping = group.create_task(
        retention.run(opened, settings.log.retention_days, settings.log.retention_interval), name="retention"
    )
    stack.callback(sweeping.cancel)

    url = await _listen(settings, services, stack)
    log.info("listening on %s with %d resource types and %d watches", url, len(known), len(registry))
    return Running(services, url, new_key)


async def _listen(settings: Settings, services: Services, stack: AsyncExitStack) -> str:
    """Answer calls; where."""
    runner = protocol.Runner(routes.application(services), shutdown_timeout=LAST_ANSWERS)
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


async def _check_vault(opened: Store, box: vault.Vault, *, rotating: bool) -> None:
    """Refuse to start with an encryption key that cannot open what is stored; with several, seal it by the first."""
    stored = await sealed.canary(opened)
    if stored is None:
        await opened.write(lambda transaction: sealed.set_canary(transaction, box.seal(CANARY)))
        return
    try:
        box.open(stored)
        if rotating:  # once this is durable, the former keys may be dropped
            await opened.write(lambda transaction: sealed.seal_anew(transaction, lambda text: box.seal(box.open(text))))
    except vault.VaultError as error:
        raise errors.ConfigError(f"secret.key: {error.detail}") from error


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


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _raise_file_limit() -> None:
    """Each callback under way is an open socket: take as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
