"""What every scene needs: calls that are shown, resources that are written, watches, and the log when it rests."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from service.demo import screen as look
from service.demo.caller import Call, Caller, Unexpected
from service.demo.receiver import PATIENCE, Hook
from service.demo.screen import Screen
from service.demo.script import Script
from service.demo.stage import Stage
from service.model import Document, Json

LOOK = 0.02  # seconds between two looks at what is not ready yet


class Teller:
    """Who tells a part of the story."""

    def __init__(self, stage: Stage, script: Script, screen: Screen) -> None:
        self.stage, self.script, self.screen = stage, script, screen

    async def _call(self, call: Call, whom: Caller | None = None) -> Any:
        whom = whom or self.stage.caller
        answer = await whom.make(call)
        self.screen.call(call, answer, whom.name)
        return answer.body

    async def _watch(self, hook: Hook, wishes: Document) -> Document:
        """Register a watch of the type for this hook, signed with a key of its own."""
        address = self.stage.receiver + hook.path
        body: Document = {"address": address, **wishes, "signature": {"enabled": True}}
        watch = await self._call(Call("POST", f"{self.script.rtype.collection}/watch", body))
        hook.key = watch["signature"]["secret"]
        self.screen.expect(hook.key.startswith("whsec_"), f"{watch['id']}, signed with {hook.key[:11]}… (shown once)")
        return dict(watch)

    async def _write_shown(self, call: Call) -> Document:
        return await self._whole(await self._call(call, self.stage.directory))

    async def _write(self, call: Call) -> Document:
        return await self._whole((await self.stage.directory.make(call)).body)

    async def _whole(self, answer: Json) -> Document:
        """The resource that a write answered with, and what a vendor's answer leaves out of it unless it is asked for."""
        object_id = quote(self.script.id(self.script.resource(answer)), safe="")
        item = await self.stage.directory.get(f"/api/v1/resources/{self.script.rtype.name}/{object_id}")
        resource: Document = item["resource"]
        return resource

    async def _settled(self) -> list[Any]:
        """The log, oldest first, once the service has written down how its last callback went."""
        rows: list[Any] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    rows = (await self.stage.caller.get("/api/v1/deliveries?limit=500"))["items"]
                    if not any(row["status"] == "pending" for row in rows):
                        return rows[::-1]
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            late = ", ".join(row["id"] for row in rows if row["status"] == "pending")
            raise Unexpected(f"not delivered within {PATIENCE} s: {late or 'the log was not answered'}") from None

    def _line(self, resource: Document) -> str:
        return f"{look.last(self.script.id(resource))}  {self.script.called(resource)}".rstrip()
