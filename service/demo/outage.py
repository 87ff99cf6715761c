"""A receiver is down for a while: how it is spared, how others are told of it, and how it gets what it missed."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from service.demo.caller import Call, Unexpected
from service.demo.screen import Screen, last
from service.demo.script import Script
from service.demo.stage import Stage
from service.demo.teller import LOOK, Teller
from service.model import Document, Json
from service.receiver.callback import Callback
from service.receiver.look import Layout
from service.receiver.manners import FAILING, TAKEN

BREAKS_AFTER = 20  # failures in a row: contract, section 7
WAIT, TRIES = 0.1, 7  # seconds between two attempts of a delivery, and attempts until it is given up
PROBES = 3  # attempts that fail while it is probed
RATE = 5  # requests a second at which it is to catch up
DOWN, LATER = 2, 1  # which of its changes each resource goes through while the receiver is down, and afterwards
JWKS = "/.well-known/jwks.json"
TEMPLATE: Document = {
    "news": "${$.name}: ${$.event.type}",
    "health": "${$.health.state}, ${$.health.failures} failures in a row",
    "delivery": "${$.delivery.id}",
}


class Outage(Teller):
    """The scenes, in order; ``residents`` are the resources that change meanwhile."""

    def __init__(self, stage: Stage, script: Script, screen: Screen, residents: list[Document]) -> None:
        super().__init__(stage, script, screen)
        self.residents = residents
        self.nouns = f"{script.noun}s"
        self.path = ""  # of the watch whose receiver is down
        self.given_up: dict[str, Callback] = {}  # what it refused for good, by webhook-id

    async def tell(self) -> None:
        """Everything, from the first failure to the last delivery."""
        self.stage.forget()
        await self._watch_the_watches()
        await self._fail()
        await self._read_the_notices()
        await self._recover()
        await self._make_up()

    async def _watch_the_watches(self) -> None:
        stage, screen = self.stage, self.screen
        screen.scene("Who watches the watches")
        screen.say("Operations wants to know how the receivers do, and to verify that with a public key, Ed25519:")
        key = await self._call(Call("POST", "/api/v1/cryptoKeys", {"name": "Notices", "algorithm": "ed25519"}))
        hook = stage.notices
        wishes: Document = {
            "objectType": "watch",
            "name": "Ops",
            "address": stage.receiver + hook.path,
            "schema": TEMPLATE,
            "signature": {"enabled": True, "cryptoKeyIds": [key["id"]]},
        }
        watch = await self._call(Call("POST", "/api/v1/watches", wishes))
        screen.expect("secret" not in watch["signature"], f"{watch['id']}, signed with a key that nobody is shown")
        screen.say("\nThe public half is there for anyone, without an API key:")
        published = await self._call(Call("GET", JWKS), stage.caller.stranger())
        jwk = next((jwk for jwk in published["keys"] if jwk["kid"] == key["id"]), None)
        if jwk is None:
            raise Unexpected(f"{JWKS} does not have {key['id']}")
        screen.part("jwk", jwk)
        hook.key = _public(jwk)
        screen.expect("d" not in jwk and hook.key == key["publicKey"], f"Ops verifies with it: {hook.key}")

    async def _fail(self) -> None:
        stage, screen, hook = self.stage, self.screen, self.stage.billing
        screen.scene("A receiver is down")
        screen.say(f"Billing wants updates. What fails is tried {TRIES} times, {WAIT:g} seconds apart, then given up:")
        schedule: list[Json] = [WAIT] * (TRIES - 1)
        watch = await self._watch(hook, {"name": "Billing", "events": ["updated"], "retry": {"schedule": schedule}})
        self.path = f"/api/v1/watches/{watch['id']}"
        screen.say(f"\nBut it answers {FAILING}. All {self.nouns} change, and the CRM hears of it as ever:")
        await self._change(DOWN)
        for _ in self.residents:
            callback = await stage.everything.next()
            screen.brief("CRM", callback, self._line(callback.json()))
        tried = TRIES * len(self.residents)
        screen.expect(hook.arrived.qsize() < tried, "it did not wait for Billing, which is still being tried")
        refused = [await hook.next() for _ in range(tried)]
        self.given_up = {callback.headers["webhook-id"]: callback for callback in refused}
        await self._settled()
        details = [await stage.caller.get(f"/api/v1/deliveries/{id_}") for id_ in sorted(self.given_up)]
        screen.say("\nBilling, as the log has it:")
        screen.attempts(details)
        screen.expect(
            [(row["status"], len(row["attempts"])) for row in details] == [("failed", TRIES)] * len(self.residents),
            f"each was tried {TRIES} times, then given up",
        )
        screen.expect(
            all(each.fault is None and each.body == self._original(each) for each in refused),
            f"all {len(refused)} attempts were signed, and each repeat had the webhook-id and the body of its first",
        )

    async def _read_the_notices(self) -> None:
        screen, hook = self.screen, self.stage.notices
        screen.scene("The breaker, and the notices")
        health = await self._health()
        screen.expect(
            health["state"] == "failing" and health["failures"] == TRIES * len(self.residents),
            f"{BREAKS_AFTER} failures in a row, and the breaker opened: one request at a time is sent from now on",
        )
        screen.say("\nOps has heard of it:")
        notices = [await hook.next() for _ in range(1 + len(self.given_up))]
        failing = [notice for notice in notices if _event(notice) == "watch.failing"]
        exhausted = [notice for notice in notices if _event(notice) == "watch.exhausted"]
        for notice in failing:
            screen.callback("Ops", notice, Layout(notice.json()))
        for notice in exhausted:
            screen.brief("Ops", notice, f"{notice.json()['news']} {notice.json()['delivery']}")
        screen.expect(
            [notice.json()["health"].partition(",")[0] for notice in failing] == ["failing"],
            "one notice that it is failing now",
        )
        screen.expect(
            sorted(notice.json()["delivery"] for notice in exhausted) == sorted(self.given_up),
            "one for each delivery that was given up",
        )

    async def _recover(self) -> None:
        screen, hook = self.screen, self.stage.billing
        screen.scene("It is probed, and recovers")
        screen.say(f"All {self.nouns} change again. Billing refuses {PROBES} more requests, then it is up again:")
        hook.refuses, hook.crowd = PROBES, 0
        await self._change(LATER)
        left = len(self.residents)
        while left:
            callback = await hook.next()
            screen.brief("Billing", callback, f"{last(callback.headers['ce-subject'])}  answered {callback.answered}")
            left -= callback.answered == TAKEN
        screen.expect(hook.crowd == 1, "one request at a time, until one was taken")
        notice = await self.stage.notices.next()
        screen.callback("Ops", notice, Layout(notice.json()))
        screen.expect(_event(notice) == "watch.recovered", "Ops hears that it has recovered")
        await self._settled()
        health = await self._health()
        screen.expect((health["state"], health["failures"]) == ("healthy", 0), "the breaker is closed")

    async def _make_up(self) -> None:
        screen, hook, missed = self.screen, self.stage.billing, len(self.given_up)
        screen.scene("What was given up is sent again")
        screen.say(f"Gently: {RATE} requests a second at most, for Billing has just come back.")
        await self._call(Call("PATCH", self.path, {"rateLimit": RATE}))
        job = await self._call(Call("POST", f"{self.path}/redeliver", {"status": "failed"}))
        job = await self._followed(f"/api/v1/jobs/{job['id']}")
        counted = [job[name] for name in ("state", "done", "total", "succeeded", "failed")]
        screen.expect(
            counted == ["succeeded", missed, missed, missed, 0], "the job has ended, and everything was taken"
        )
        again = [await hook.next() for _ in range(missed)]
        for callback in again:
            screen.brief("Billing", callback, f"{callback.headers['webhook-id']}  answered {callback.answered}")
        same = {callback.headers["webhook-id"]: callback.body for callback in again}
        screen.expect(
            same == {id_: callback.body for id_, callback in self.given_up.items()},
            "the webhook-ids and the bodies of then: a receiver knows what it has seen",
        )
        rows = await self._settled()
        screen.expect(
            all(row["status"] == "succeeded" for row in rows),
            f"all {len(rows)} deliveries of this story have succeeded: nothing was lost",
        )

    async def _followed(self, path: str) -> Any:
        """The job, once it has ended."""
        shown = None
        while True:
            job = await self.stage.caller.get(path)
            if job["total"] is not None and job["done"] != shown:
                shown = job["done"]
                self.screen.progress(job)
            if job["state"] != "running":
                return job
            await asyncio.sleep(LOOK)

    async def _change(self, turn: int) -> None:
        self.residents = [await self._write(self.script.change(resource, turn)) for resource in self.residents]

    async def _health(self) -> Any:
        health = (await self._call(Call("GET", self.path)))["health"]
        self.screen.part("health", health)
        return health

    def _original(self, callback: Callback) -> bytes:
        return self.given_up[callback.headers["webhook-id"]].body


def _event(notice: Callback) -> str:
    return notice.headers["ce-type"]


def _public(jwk: Document) -> str:
    """The key of a JWK (RFC 8037, section 2) as receivers of Standard Webhooks write it."""
    encoded = str(jwk["x"])
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    return f"whpk_{base64.b64encode(raw).decode()}"
