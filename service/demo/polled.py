"""The same story, but of a directory without webhooks: another of our services plays it, and ours polls it."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

from service.changes.types import ResourceType
from service.demo.caller import Call, Caller, Unexpected
from service.demo.receiver import PATIENCE
from service.demo.screen import Screen
from service.demo.script import Script
from service.demo.stage import Stage
from service.demo.story import RESIDENTS, Story
from service.demo.teller import LOOK
from service.model import Document

INTERVAL, FULL_INTERVAL = 0.5, 1.0  # seconds between two sweeps, and between two that read everything
USER = "demo"  # of HTTP Basic


class Polled(Story):
    """Everything is written at the directory, and noticed by a sweep."""

    truth = "the directory has"

    def __init__(self, stage: Stage, script: Script, screen: Screen) -> None:
        super().__init__(stage, script, screen)
        self.source = ""  # its path, once it is made
        self.sweeps: list[tuple[str, Document]] = []  # those that the story tells of, each under a name

    async def _scenes(self) -> None:
        self._open()
        await self._fill()
        await self._register()
        await self._poll()
        await self._create()
        await self._note("one is made")
        await self._change()
        await self._note("it changes")
        await self._change_nothing()
        await self._delete()
        await self._note("it is deleted")
        await self._read_the_source()
        await self._read_the_log()
        await self._suffer_an_outage()

    def _open(self) -> None:
        stage, rtype, screen = self.stage, self.script.rtype, self.screen
        screen.title(
            "Webhook Watch",
            f"A directory has no webhooks. It is polled, and when a {self.script.noun} comes, changes or goes there, "
            "everyone who watches is told. All of it is real: a service that plays the directory in the vendor's own "
            "dialect, the service that polls it, a receiver, and HTTP between them.",
        )
        screen.scene("The stage")
        screen.facts(
            {
                "directory": f"{stage.directory.url}{rtype.collection}",
                "service": stage.caller.url,
                "receiver": stage.receiver,
                "type": f"{rtype.name}, in the dialect {rtype.dialect}",
            }
        )

    async def _fill(self) -> None:
        script, screen = self.script, self.screen
        first, *others = script.cast.samples[1 : 1 + RESIDENTS]
        screen.scene(f"The directory has {RESIDENTS} {script.noun}s already")
        self.residents.append(await self._write_shown(script.create(first)))
        for sample in others:
            self.residents.append(await self._write(script.create(sample)))
            screen.say(f"  and {self._line(self.residents[-1])}")

    async def _poll(self) -> None:
        stage, rtype, screen = self.stage, self.script.rtype, self.screen
        screen.scene(f"The directory is polled every {INTERVAL:g} seconds")
        wishes: Document = {
            "type": rtype.name,
            "url": stage.directory.url + rtype.collection,
            "auth": _auth(rtype, stage.directory.key),
            "interval": INTERVAL,
            "fullInterval": FULL_INTERVAL,
        }
        made = await self._call(Call("POST", "/api/v1/sources", wishes))
        self.source = f"/api/v1/sources/{made['id']}"
        screen.expect(stage.directory.key not in str(made), "no answer shows a credential again")
        sweep = await self._note("the baseline")
        screen.expect(sweep["seen"] == RESIDENTS, f"the first sweep saw the {RESIDENTS} that were there")
        await self._expect_the_same()
        told = (await stage.caller.get("/api/v1/deliveries"))["items"]
        screen.expect(not told, "it is a silent baseline: nobody is told of what was there before")

    async def _let_it_be_noticed(self) -> None:
        """A sweep that reads everything, and began after whatever was written."""
        screen = self.screen
        screen.say("\nAnd everything is read now, so that it would be noticed:")
        now = time.time()
        await self._call(Call("POST", f"{self.source}/sweep"))
        sweep = await self._swept(after=now)
        self.sweeps.append(("nothing new", sweep))
        counted = [sweep[name] for name in ("seen", "created", "updated", "deleted")]
        screen.expect(counted == [RESIDENTS + 1, 0, 0, 0], f"the sweep saw all {counted[0]}, and nothing new")

    async def _delete(self) -> None:
        await super()._delete()
        hidden = "delete" not in self.script.rtype.operations
        self.screen.say(
            ("\nThe vendor's API has no deletion: it was taken away behind its back." if hidden else "")
            + "\nThat a resource is gone, only a sweep can tell that read everything. One that misses too many at once "
            "deletes none of them, until an operator confirms it."
        )

    async def _read_the_source(self) -> None:
        screen = self.screen
        screen.scene("The source")
        sweep = await self._swept(after=time.time())
        screen.sweeps([*self.sweeps, ("the last one", sweep)])
        faults = [sweep[name] for name in ("lastError", "lastFault") if sweep[name] is not None]
        screen.expect(not faults and not sweep["heldDeletions"], "nothing failed, nothing is held")
        await self._expect_the_same()

    async def _note(self, what: str) -> Document:
        """The sweep that has just noticed this."""
        sweep = await self._swept()
        self.sweeps.append((what, sweep))
        return sweep

    async def _swept(self, after: float | None = None) -> Document:
        """The last sweep, completed; with ``after``, one of everything that began then (seconds since the epoch)."""
        sweep: Any = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    sweep = (await self.stage.caller.get(self.source))["sweep"]
                    if sweep["state"] == "completed" and (after is None or (sweep["full"] and _began(sweep) >= after)):
                        return dict(sweep)
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            why = sweep.get("lastError") or "nothing went wrong"
            raise Unexpected(f"no sweep was completed within {PATIENCE} s; {sweep.get('state')}: {why}") from None

    async def _expect_the_same(self) -> None:
        here, there = await self._resources(self.stage.caller), await self._resources(self.stage.directory)
        self.screen.expect(
            here == there, f"the service has all {len(there)} {self.script.noun}s as the directory has them"
        )

    async def _resources(self, whom: Caller) -> dict[str, Document]:
        page = await whom.get(f"/api/v1/resources/{self.script.rtype.name}?limit=500")
        return {item["id"]: item["resource"] for item in page["items"]}


def _began(sweep: Any) -> float:
    return datetime.fromisoformat(sweep["started"]).timestamp()


def _auth(rtype: ResourceType, key: str) -> Document:
    """The key as the vendor's clients send it."""
    if rtype.auth_headers:
        return {"headers": {rtype.auth_headers[0]: key}}
    return {"basic": {"username": USER, "password": key}} if rtype.auth_basic else {"bearer": key}
