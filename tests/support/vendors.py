"""The vendor faces of the types, called as a client of each vendor calls them; and reading them as a poller does."""

from __future__ import annotations

import json
from typing import Any

from service.changes.dialects import DIALECTS
from service.changes.types import ResourceType
from tests.support.running import Answer, Client

OUTREACH = "/outreach/api/v2/users"
RINKEL = "/rinkel/v1/users"
GENESYS = "/genesys/api/v2/users"
JSON_API = "application/vnd.api+json"


class JsonApi:
    """A JSON:API client of one collection."""

    def __init__(self, client: Client, path: str = OUTREACH, type_: str = "user") -> None:
        self.client, self.path, self.type = client, path, type_

    async def call(self, method: str, path: str = "", body: Any = None, **options: Any) -> Answer:
        """One request; what it answers is JSON:API."""
        headers = {"Accept": JSON_API, **({"Content-Type": JSON_API} if body is not None else {})}
        headers |= options.pop("headers", {})
        data = None if body is None else json.dumps(body)
        answer = await self.client.call(method, self.path + path, headers=headers, data=data, **options)
        assert answer.headers.get("Content-Type") == JSON_API, answer.text
        return answer

    async def create(self, attributes: Any, relationships: Any = None) -> Any:
        """A new resource."""
        data = {"type": self.type, "attributes": attributes}
        data |= {} if relationships is None else {"relationships": relationships}
        made = await self.call("POST", "", {"data": data})
        assert made.status == 201, made.text
        return made.body["data"]

    async def update(self, id_: int, status: int = 200, **members: Any) -> Any:
        """Change a resource."""
        data = {"type": self.type, "id": id_, **members}
        changed = await self.call("PATCH", f"/{id_}", {"data": data})
        assert changed.status == status, changed.text
        return changed.body["data"] if status == 200 else changed.body["errors"]

    async def page(self, **query: str) -> Any:
        """One page of the list."""
        answer = await self.call("GET", params=query)
        assert answer.status == 200, answer.text
        return answer.body

    async def pages(self, **query: str) -> list[Any]:
        """Every page, by the links to the next one."""
        found = [await self.page(**query)]
        while "next" in found[-1]["links"]:
            link = found[-1]["links"]["next"].removeprefix(self.client.url + self.path)
            answer = await self.call("GET", link)
            assert answer.status == 200, answer.text
            found.append(answer.body)
        return found

    async def errors(self, status: int, *arguments: Any, **options: Any) -> Any:
        """The errors of a call that is refused."""
        answer = await self.call(*arguments, **options)
        assert answer.status == status, answer.text
        assert set(answer.body) == {"errors"}
        for error in answer.body["errors"]:
            assert {"id", "title", "detail"} <= set(error)
            assert error["status"] == str(status)
            assert len(error["detail"]) > 5
        return answer.body["errors"]


async def polled(rtype: ResourceType, client: Client, since: str | None = None) -> list[Any]:
    """The resources of a hosted collection, read through its dialect to the end of paging, as an upstream's are."""
    dialect = DIALECTS[rtype.dialect]
    url: str | None = dialect.first_page(client.url + rtype.collection, since)
    found: list[Any] = []
    while url is not None:
        answer = await client.get(url.removeprefix(client.url))
        assert answer.status == 200, answer.text
        page = dialect.read_page(url, answer.body)
        found += map(dialect.read_element, page.elements)
        url = page.next
    return found


async def push(client: Client, type_: str, id_: object, document: Any) -> Any:
    """Push a document on our own face; the resource."""
    pushed = await client.put(f"/api/v1/resources/{type_}/{id_}", document)
    assert pushed.status in {200, 201}, pushed.text
    return pushed.body["resource"]
