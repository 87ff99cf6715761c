"""What happens, scene by scene, and what has to come of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from urllib.parse import urlencode

from service.demo import screen as look
from service.demo.caller import Unexpected
from service.demo.outage import Outage
from service.demo.receiver import Hook
from service.demo.screen import Screen
from service.demo.script import Script
from service.demo.stage import BASIC, Stage
from service.demo.teller import Teller
from service.model import Document
from service.receiver.callback import Callback
from service.receiver.look import Layout, changes

RESIDENTS = 3  # resources besides the one that the story is about, which stay
TIME_LIMIT = 60  # seconds for the whole story
PACE, TURNS = 2.0, 4  # afterwards: seconds between two changes, and updates of one resource


class Story(Teller):
    """The scenes, in order; each goes on where the one before has ended."""

    truth = "the API answers"  # what a resource is compared with, in words

    def __init__(self, stage: Stage, script: Script, screen: Screen) -> None:
        super().__init__(stage, script, screen)
        self.current: Document = {}  # the resource that the story is about
        self.residents: list[Document] = []

    async def tell(self) -> None:
        """The whole story; what did not come as it had to is in ``screen.failures``."""
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await self._scenes()
        except TimeoutError:
            self.screen.failed(f"the story was not told within {TIME_LIMIT} s")
        except Unexpected as error:
            self.screen.failed(str(error))

    async def go_on(self) -> None:
        """A change every couple of seconds, for ever: resources come, change and go."""
        script, samples = self.script, self.script.cast.samples
        for sample in itertools.cycle((samples[0], *samples[1 + RESIDENTS :])):
            current = await self._write(script.create(sample))
            for turn in range(TURNS):
                await asyncio.sleep(PACE)
                current = await self._write(script.change(current, turn))
            await asyncio.sleep(PACE)
            await self.stage.directory.make(script.delete(current))
            await asyncio.sleep(PACE)
            self.stage.forget()

    async def _scenes(self) -> None:
        self._open()
        await self._register()
        await self._create()
        await self._create_more()
        await self._change()
        await self._change_nothing()
        await self._delete()
        await self._read_the_log()
        await self._suffer_an_outage()

    def _open(self) -> None:
        stage, script = self.stage, self.script
        self.screen.title(
            "Webhook Watch",
            f"One {script.noun} comes, changes and goes; everyone who watches is told, also a receiver that was "
            "down for a while. All of it is real: the service on a database of its own, a receiver, and HTTP between them.",
        )
        self.screen.scene("The stage")
        self.screen.facts({"service": stage.caller.url, "receiver": stage.receiver, "type": script.rtype.name})

    async def _register(self) -> None:
        stage, script, screen = self.stage, self.script, self.screen
        screen.scene("Three systems want to know")
        screen.say(f"The CRM wants every {script.noun} whole, with the version before and the diff:")
        await self._watch(stage.everything, {"name": "CRM", "addPreviousData": True})
        screen.say(f"\nAnd {script.cast.purpose}:")
        shaped: Document = {
            "name": script.cast.reader,
            "events": ["created", "deleted"],
            "schema": script.cast.template,
        }
        await self._watch(stage.shaped, shaped)
        screen.say("\nThe audit hears of deletions, with HTTP Basic; what fails is tried again after 0.2 seconds:")
        username, password = BASIC
        audit: Document = {
            "name": "Audit",
            "events": ["deleted"],
            "basicAuth": {"username": username, "password": password},
            "retry": {"schedule": [0.2]},
        }
        watch = await self._watch(stage.audit, audit)
        screen.expect(password not in str(watch), "no answer shows a password again")

    async def _create(self) -> None:
        stage, script, screen = self.stage, self.script, self.screen
        screen.scene(f"One {script.noun} is made")
        self.current = await self._write_shown(script.create(script.cast.samples[0]))
        callback, body = await self._told(stage.everything, "CRM")
        screen.expect(body == self.current, f"the body is the {script.noun} as {self.truth} it")
        self._expect_event(callback, "created", 1)
        shaped = await stage.shaped.next()
        screen.callback(script.cast.reader, shaped, Layout(shaped.json()))
        screen.expect(shaped.json().keys() == script.cast.template.keys(), "the body is what the template says")

    async def _create_more(self) -> None:
        stage, script, screen = self.stage, self.script, self.screen
        screen.say("\nMore of them, in a line each:")
        for sample in script.cast.samples[1 : 1 + RESIDENTS]:
            made = await self._write(script.create(sample))
            self.residents.append(made)
            for hook, who in ((stage.everything, "CRM"), (stage.shaped, script.cast.reader)):
                screen.brief(who, await hook.next(), self._line(made))

    async def _change(self) -> None:
        script, screen = self.script, self.screen
        screen.scene("It changes")
        before = self.current
        self.current = await self._write_shown(script.change(before, 0))
        callback, body = await self._told(self.stage.everything, "CRM")
        given = callback.json()
        screen.expect(body == self.current, "the body is the new version")
        screen.expect(given["previousData"] == before, "previousData is the version before, whole")
        screen.expect(bool(given["changes"]), "changes is a JSON Patch (RFC 6902) that also says what was there")
        self._expect_event(callback, "updated", 2)

    async def _change_nothing(self) -> None:
        script, screen = self.script, self.screen
        screen.scene("A write that changes nothing")
        screen.say(f"It says {script.cast.twist}:")
        before = await self._deliveries()
        after = await self._write_shown(script.repeat(self.current))
        await self._let_it_be_noticed()
        screen.expect(len(await self._deliveries()) == len(before), "no version, no delivery, no callback")
        self.current = after

    async def _delete(self) -> None:
        stage, script, screen = self.stage, self.script, self.screen
        screen.scene("It is deleted, and a receiver stumbles")
        await self._call(script.delete(self.current), stage.directory)
        callback, body = await self._told(stage.everything, "CRM")
        screen.expect(body == self.current, "the body is the last version")
        self._expect_event(callback, "deleted", 3)
        shaped = await stage.shaped.next()
        screen.brief(script.cast.reader, shaped, "what the template says")
        first, second = await stage.audit.next(), await stage.audit.next()
        screen.say("")
        screen.brief("Audit", first, f"attempt 1, answered {first.answered}")
        screen.brief("Audit", second, f"attempt 2, answered {second.answered}")
        same = first.headers["webhook-id"] == second.headers["webhook-id"]
        screen.expect(same and first.body == second.body, f"the same webhook-id again: {second.headers['webhook-id']}")
        screen.expect(
            (first.answered, second.answered) == (503, 204),
            "one failure was not the end of it; the password was right both times",
        )

    async def _read_the_log(self) -> None:
        screen = self.screen
        screen.scene("The log")
        rows = await self._settled()
        details = [await self.stage.caller.get(f"/api/v1/deliveries/{row['id']}") for row in rows]
        screen.log(details)
        screen.expect(all(row["status"] == "succeeded" for row in rows), f"all {len(rows)} deliveries succeeded")
        sent = next(row["request"]["headers"] for row in details if row["watch"]["name"] == "Audit")
        screen.expect(sent["authorization"] == "***", "the log shows what was sent, but no credential")

    async def _suffer_an_outage(self) -> None:
        await Outage(self.stage, self.script, self.screen, self.residents).tell()

    async def _let_it_be_noticed(self) -> None:
        """A change is committed together with its deliveries, before its write is answered: nothing is on its way."""

    async def _told(self, hook: Hook, who: str) -> tuple[Callback, Document]:
        """The next callback of the hook, and the resource in its body."""
        callback = await hook.next()
        body: Document = callback.json()
        resource = {name: value for name, value in body.items() if name not in ("previousData", "changes")}
        operations: Any = body["changes"]
        parts = look.versions(resource, body["previousData"]), changes(operations)
        self.screen.callback(who, callback, *parts)
        return callback, resource

    def _expect_event(self, callback: Callback, event: str, version: int) -> None:
        name, sequence = f"{self.script.rtype.name}.{event}", str(version)
        right = callback.headers["ce-type"] == name and callback.headers["ce-sequence"] == sequence
        self.screen.expect(right, f"the event is {name}, version {version}")

    async def _deliveries(self) -> list[Any]:
        query = urlencode({"limit": 500, "objectId": self.script.id(self.current)})
        page = await self.stage.caller.get(f"/api/v1/deliveries?{query}")
        return list(page["items"])
