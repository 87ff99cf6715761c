from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from service import errors, jsontext
from service.changes import types
from service.changes.dialects import DIALECTS
from service.changes.dialects.codec import Face, UpstreamError
from service.changes.listing import Found
from service.changes.order import Order
from service.changes.parameters import BadParameter
from service.errors import Conflict, FieldError, Forbidden, Invalid

ROOT = Path(__file__).parents[2]
TYPES = types.load(ROOT / "config" / "resources")
ANSWERS = json.loads((ROOT / "tests/corpus/upstream_answers.json").read_text(encoding="utf-8"))
URL = "http://up.example/v1/users"
OUTREACH, GENESYS = TYPES["outreach.user"], TYPES["genesys.user"]
JSONAPI, STATUS_CODE = DIALECTS["jsonapi"], DIALECTS["statusCode"]
ADA = {"type": "user", "id": 1, "attributes": {"firstName": "Ada"}, "relationships": {"role": {"data": None}}}
AFTER = Order().cursor(("1",))
HOSTED = {"id": "1", "userName": "ada", "skills": [{"id": "s"}], "devices": []}


def face(rtype, *, may_update=True):
    return Face(rtype, f"https://watch.example{rtype.collection}", may_update)


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}


def cases(kind):
    return [
        pytest.param(name, case, id=f"{name}: {case['is']}")
        for name, answers in ANSWERS.items()
        for case in answers
        if kind in case
    ]


class TestReading:
    def test_every_dialect_has_answers(self):
        assert set(ANSWERS) == set(DIALECTS)

    @pytest.mark.parametrize(("name", "case"), cases("elements"))
    def test_a_page_is_read(self, name, case):
        page = DIALECTS[name].read_page(case.get("url", URL), case["body"])
        assert (page.elements, page.next) == (case["elements"], case.get("next"))

    @pytest.mark.parametrize(("name", "case"), cases("error"))
    def test_an_answer_that_is_no_page_is_an_error(self, name, case):
        with pytest.raises(UpstreamError) as caught:
            DIALECTS[name].read_page(case.get("url", URL), case["body"])
        assert (caught.value.detail, caught.value.code) == (case["error"], case.get("code"))

    @pytest.mark.parametrize("name", DIALECTS)
    @pytest.mark.parametrize(
        "error",
        [
            errors.NotFound("there is none"),
            errors.Unauthorized("no key"),
            BadParameter("page", "no number"),
            Invalid.at("/a", "is required"),
        ],
    )
    def test_our_own_errors_are_read_as_errors(self, name, error):
        with pytest.raises(UpstreamError):
            DIALECTS[name].read_page(URL, DIALECTS[name].error(error))
        with pytest.raises(UpstreamError):
            DIALECTS[name].read_item(DIALECTS[name].error(error))

    @pytest.mark.parametrize("rtype", TYPES.values(), ids=list(TYPES))
    def test_an_item_that_we_serve_is_read_back(self, rtype):
        dialect = DIALECTS[rtype.dialect]
        document = ADA if rtype is OUTREACH else HOSTED
        everything = query_of(dialect.first_page(URL, None)) if rtype is GENESYS else {}
        assert dialect.read_item(dialect.item(face(rtype), everything)("1", document)) == document

    @pytest.mark.parametrize("rtype", TYPES.values(), ids=list(TYPES))
    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_a_list_that_we_serve_is_read_back_element_by_element(self, rtype, count):
        dialect = DIALECTS[rtype.dialect]
        documents = [{**(ADA if rtype is OUTREACH else HOSTED), "id": number + 1} for number in range(count)]
        listing = dialect.listing(face(rtype), query_of(dialect.first_page(URL, None)))
        elements = b",".join(jsontext.dumps(listing.element(str(one["id"]), one)) for one in documents)
        body = jsontext.loads(listing.prefix + elements + listing.suffix(Found(count)))
        page = dialect.read_page(f"https://watch.example{rtype.collection}", body)
        assert [dialect.read_element(element) for element in page.elements] == documents
        assert page.next is None

    @pytest.mark.parametrize("name", DIALECTS)
    @pytest.mark.parametrize("element", [None, "x", 5, [ADA]])
    def test_an_element_that_is_no_object_is_an_error(self, name, element):
        with pytest.raises(UpstreamError):
            DIALECTS[name].read_element(element)

    def test_what_names_a_host_is_left_out(self):
        resource = {
            **ADA,
            "links": {"self": "https://api.example/users/1"},
            "relationships": {
                "role": {"data": None, "links": {"related": "https://api.example/roles"}},
                "x": {"links": {}},
            },
            "meta": {"canWrite": True},
        }
        assert JSONAPI.read_element(resource) == {
            **ADA,
            "relationships": {"role": {"data": None}, "x": {}},
            "meta": {"canWrite": True},
        }
        user = {
            **HOSTED,
            "uri": "http://host/api/v2/users/1",
            "path": "/users/1",
            "skills": [{"id": "s", "uri": "http://host/api/v2/skills/s", "path": "/skills/s"}],
        }
        assert STATUS_CODE.read_element(user) == HOSTED

    def test_an_item_of_a_status_code_answer_is_its_one_object(self):
        assert STATUS_CODE.read_item({"statusCode": 0, "id": "1", "user": HOSTED}) == HOSTED
        with pytest.raises(UpstreamError, match="does not hold one item"):
            STATUS_CODE.read_item({"statusCode": 0, "users": []})

    def test_only_json_api_says_when_an_element_was_updated(self):
        element = {"attributes": {"updatedAt": "2026-08-01T00:00:00.123Z"}, "updatedAt": "2026-08-01T00:00:00Z"}
        marks = {name: dialect.watermark(element) for name, dialect in DIALECTS.items()}
        assert {name: mark for name, mark in marks.items() if mark} == {"jsonapi": "2026-08-01T00:00:00.123Z"}
        assert {name for name, dialect in DIALECTS.items() if dialect.incremental} == {"jsonapi"}

    @pytest.mark.parametrize("updated", [None, 5, "yesterday", "", {}])
    def test_a_watermark_that_is_no_time_is_none(self, updated):
        assert JSONAPI.watermark({"attributes": {"updatedAt": updated}}) is None
        assert JSONAPI.watermark({"attributes": None}) is None
        assert JSONAPI.watermark("x") is None


class TestFirstPage:
    @pytest.mark.parametrize("name", ["items", "data"])
    def test_is_the_collection_itself_where_nothing_is_known_of_a_size(self, name):
        assert DIALECTS[name].first_page(f"{URL}?role=x", None) == f"{URL}?role=x"

    def test_asks_for_everything_of_everyone(self):
        assert STATUS_CODE.first_page(URL, None) == f"{URL}?fields=*&subresources=*"

    def test_asks_for_large_pages_unless_the_source_has_a_size(self):
        assert query_of(JSONAPI.first_page(URL, None)) == {"page[size]": "250"}
        assert query_of(JSONAPI.first_page(f"{URL}?page[size]=10&filter[role][id]=3", None)) == {
            "page[size]": "10",
            "filter[role][id]": "3",
        }

    def test_reaches_back_a_little_behind_a_watermark(self):
        assert query_of(JSONAPI.first_page(URL, "2026-08-01T00:10:00Z")) == {
            "page[size]": "250",
            "filter[updatedAt]": "2026-08-01T00:05:00.000Z..inf",
            "sort": "updatedAt",
        }

    def test_reaches_back_to_the_epoch_at_most(self):
        url = JSONAPI.first_page(URL, "0001-01-01T00:00:00Z")
        assert query_of(url)["filter[updatedAt]"] == "1970-01-01T00:00:00.000Z..inf"

    def test_takes_a_watermark_that_it_cannot_read_as_it_is(self):
        assert query_of(JSONAPI.first_page(URL, "r17"))["filter[updatedAt]"] == "r17..inf"

    def test_is_one_that_we_serve(self):
        for since in (None, "2026-08-01T00:10:00Z"):
            window = JSONAPI.listing(face(OUTREACH), query_of(JSONAPI.first_page(URL, since))).window
            assert window.size == 250


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                Invalid("no", (FieldError("/a", "is required"),)),
                {
                    "code": 422,
                    "reason": "invalid",
                    "message": "no",
                    "errors": [{"pointer": "/a", "detail": "is required"}],
                },
            ),
            (errors.NotFound("gone"), {"code": 404, "reason": "notFound", "message": "gone", "errors": []}),
            (errors.Conflict("taken"), {"code": 409, "reason": "conflict", "message": "taken", "errors": []}),
            (
                errors.MethodNotAllowed("no PUT", ("GET",)),
                {"code": 405, "reason": "methodNotAllowed", "message": "no PUT", "errors": []},
            ),
        ],
    )
    def test_of_items_have_the_vendors_shape(self, error, expected):
        assert DIALECTS["items"].error(error) == {"error": expected}

    @pytest.mark.parametrize(
        ("error", "id_", "title"),
        [
            (errors.NotFound("x"), "resourceNotFound", "Resource Not Found"),
            (errors.Forbidden("x"), "unauthorizedRequest", "Unauthorized Request"),
            (errors.UnsupportedMediaType("x"), "unsupportedMediaType", "Unsupported Media Type"),
            (errors.Invalid("x"), "validationError", "Validation Error"),
            (errors.TooManyRequests("x"), "rateLimitExceeded", "Rate Limit Exceeded"),
            (errors.Conflict("x"), "conflict", "Conflict"),
            (errors.NotAcceptable("x"), "notAcceptable", "Not acceptable"),
        ],
    )
    def test_of_json_api_have_the_vendors_words(self, error, id_, title):
        assert JSONAPI.error(error) == {
            "errors": [{"id": id_, "title": title, "status": str(error.status), "detail": "x"}]
        }

    def test_of_json_api_are_one_for_each_fault_and_say_where_it_is(self):
        faults = (FieldError("/data/attributes/a", "is odd"), FieldError("", "is wrong"))
        assert [(e["detail"], e["source"]) for e in JSONAPI.error(Invalid("no", faults))["errors"]] == [
            ("is odd", {"pointer": "/data/attributes/a"}),
            ("is wrong", {"pointer": ""}),
        ]
        (error,) = JSONAPI.error(BadParameter("sort", "no"))["errors"]
        assert error["source"] == {"parameter": "sort"}

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Invalid.at("/userName", "is required"), 1),
            (Invalid.at("/roles/0", "must be a string"), 2),
            (errors.BadRequest("no JSON"), 2),
            (errors.MethodNotAllowed("no", ("GET",)), 3),
            (errors.WatchError("oops"), 4),
            (errors.Unavailable("later"), 4),
            (errors.Forbidden("no"), 5),
            (errors.NotFound("none"), 6),
            (errors.Conflict("taken"), 18),
            (errors.Unauthorized("who"), 20),
        ],
    )
    def test_of_status_code_have_the_vendors_codes(self, error, code):
        body = STATUS_CODE.error(error)
        assert set(body) == {"statusCode", "statusMessage"}
        assert body["statusCode"] == code
        assert error.detail in body["statusMessage"]

    def test_of_status_code_name_every_fault(self):
        error = Invalid.of([FieldError("/a", "is odd"), FieldError("", "is wrong")])
        assert STATUS_CODE.error(error)["statusMessage"] == "/a: is odd; the body: is wrong"


class TestBody:
    @pytest.mark.parametrize("name", ["items", "data", "statusCode"])
    @pytest.mark.parametrize("value", [None, [], [ADA], "x", 5])
    def test_that_is_no_item_is_invalid(self, name, value):
        with pytest.raises(Invalid) as caught:
            DIALECTS[name].body(TYPES["agendize.account"], value, None)
        assert caught.value.errors[0].pointer == ""

    @pytest.mark.parametrize("name", ["items", "data", "statusCode"])
    def test_is_the_item_itself(self, name):
        assert DIALECTS[name].body(GENESYS, HOSTED, None) == HOSTED

    def test_of_json_api_is_a_resource_object(self):
        data = {"type": "user", "attributes": {"a": 1}, "relationships": {}, "links": {}, "lid": "x", "meta": {}}
        resource = {"type": "user", "attributes": {"a": 1}, "relationships": {}}
        assert JSONAPI.body(OUTREACH, {"data": data, "meta": {}}, None) == resource
        assert JSONAPI.body(OUTREACH, {"data": {"type": "user"}}, ADA) == {"type": "user"}

    @pytest.mark.parametrize("id_", [1, "1"])
    def test_of_json_api_may_name_the_item_that_it_is_for(self, id_):
        assert JSONAPI.body(OUTREACH, {"data": {"type": "user", "id": id_}}, ADA) == {"type": "user"}

    @pytest.mark.parametrize(
        ("value", "current", "error", "pointer"),
        [
            (None, None, Invalid, "/data"),
            ({}, None, Invalid, "/data"),
            ({"data": None}, None, Invalid, "/data"),
            ({"data": [ADA]}, None, Invalid, "/data"),
            ({"data": {}}, None, Invalid, "/data/type"),
            ({"data": {"type": 5}}, None, Invalid, "/data/type"),
            ({"data": {"type": "users"}}, None, Conflict, "/data/type"),
            ({"data": {"type": "user", "id": 1}}, None, Forbidden, "/data/id"),
            ({"data": {"type": "user", "id": 2}}, ADA, Conflict, "/data/id"),
            ({"data": {"type": "user", "id": None}}, ADA, Conflict, "/data/id"),
        ],
    )
    def test_of_json_api_is_refused_as_the_specification_says(self, value, current, error, pointer):
        with pytest.raises(error) as caught:
            JSONAPI.body(OUTREACH, value, current)
        assert [fault.pointer for fault in caught.value.errors] == [pointer]


class TestResourceObjects:
    def shown(self, query, document=ADA, **caller):
        return JSONAPI.item(face(OUTREACH, **caller), query)("1", document)["data"]

    def test_have_a_link_to_themselves(self):
        assert self.shown({}) == {**ADA, "links": {"self": "https://watch.example/outreach/api/v2/users/1"}}

    def test_have_a_type_and_an_id_in_any_case(self):
        assert list(self.shown({}, {"attributes": {}})) == ["type", "id", "attributes", "links"]

    def test_have_links_that_are_encoded(self):
        item = JSONAPI.item(face(OUTREACH), {})("a/b ü", {"id": "a/b ü"})
        assert item["data"]["links"]["self"].endswith("/users/a%2Fb%20%C3%BC")

    def test_are_as_sparse_as_asked_for(self):
        assert self.shown({"fields[user]": "firstName"})["relationships"] == {}
        assert self.shown({"fields[user]": "role, x"})["attributes"] == {}
        assert self.shown({"fields[user]": ""})["attributes"] == {}
        assert self.shown({"fields[team]": "name"})["attributes"] == {"firstName": "Ada"}

    def test_have_no_relationship_that_says_nothing(self):
        assert self.shown({}, {**ADA, "relationships": {"teams": {}}})["relationships"] == {}

    @pytest.mark.parametrize("may", [True, False])
    def test_say_on_request_whether_the_caller_may_write(self, may):
        assert self.shown({"provideAuthorizationMeta": "true"}, may_update=may)["meta"] == {"canWrite": may}

    def test_have_their_data_connections_on_request(self):
        stored = {**ADA, "meta": {"dataConnections": [{"source": "crm"}], "canWrite": True, "own": 1}}
        assert self.shown({}, stored)["meta"] == {"own": 1}
        assert self.shown({"provideDataConnections": "true"}, stored)["meta"] == {
            "own": 1,
            "dataConnections": [{"source": "crm"}],
        }
        assert self.shown({"provideDataConnections": "true"})["meta"] == {"dataConnections": []}


class TestStatusCodeItems:
    def shown(self, query):
        return STATUS_CODE.item(face(GENESYS), query)("1", HOSTED)["user"]

    def test_have_their_address_and_no_subresources(self):
        assert self.shown({}) == {
            "id": "1",
            "userName": "ada",
            "uri": "https://watch.example/genesys/api/v2/users/1",
            "path": "/users/1",
        }

    def test_have_their_subresources_on_request(self):
        assert self.shown({"subresources": "*"})["skills"] == [{"id": "s"}]
        assert set(self.shown({"subresources": "skills"})) == {"id", "userName", "uri", "path", "skills"}

    def test_have_the_fields_that_are_asked_for(self):
        assert self.shown({"fields": "id, userName,nope,skills"}) == {"id": "1", "userName": "ada"}
        assert self.shown({"fields": "id", "subresources": "*"}) == {"id": "1", "skills": [{"id": "s"}], "devices": []}
        assert self.shown({"fields": "*"}) == self.shown({})

    def test_do_not_have_subresources_that_there_are_not(self):
        with pytest.raises(BadParameter, match="there is no phones, only skills, devices"):
            self.shown({"subresources": "skills,phones"})


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ({"include": "role"}, "include"),
            ({"foo": "1"}, "foo"),
            ({"page[number]": "1"}, "page[number]"),
            ({"page[size]": "0"}, "page[size]"),
            ({"page[size]": "1001"}, "page[size]"),
            ({"page[size]": "٣"}, "page[size]"),
            ({"page[size]": ""}, "page[size]"),
            ({"page[after]": "x"}, "page[after]"),
            ({"page[after]": "é"}, "page[after]"),
            ({"page[after]": AFTER, "page[before]": AFTER}, "page[before]"),
            ({"sort": "title"}, "sort"),
            ({"sort": ""}, "sort"),
            ({"sort": "lastName,,firstName"}, "sort"),
            ({"sort": "--lastName"}, "sort"),
            ({"count": "no"}, "count"),
            ({"provideAuthorizationMeta": ""}, "provideAuthorizationMeta"),
            ({"filter[title]": "x"}, "filter[title]"),
            ({"filter[mailbox][id]": "1"}, "filter[mailbox][id]"),
            ({"filter[profile][name]": "x"}, "filter[profile][name]"),
            ({"filter": "x"}, "filter"),
            ({"filter[createdAt]": "yesterday"}, "filter[createdAt]"),
            ({"filter[locked]": "maybe"}, "filter[locked]"),
        ],
    )
    def test_of_json_api_are_refused_by_name(self, query, parameter):
        with pytest.raises(BadParameter) as caught:
            JSONAPI.listing(face(OUTREACH), query)
        assert caught.value.parameter == parameter
        assert caught.value.status == 400

    def test_of_an_item_are_not_those_of_a_list(self):
        with pytest.raises(BadParameter):
            JSONAPI.item(face(OUTREACH), {"sort": "lastName"})

    @pytest.mark.parametrize("name", ["contentCategories", "creator", "mailbox", "mailboxes", "recipients", "updater"])
    def test_of_json_api_cannot_filter_by_these_relationships(self, name):
        with pytest.raises(BadParameter):
            JSONAPI.listing(face(OUTREACH), {f"filter[{name}][id]": "1"})

    @pytest.mark.parametrize(
        "query", [{"page": "0"}, {"page": "x"}, {"perPage": "0"}, {"perPage": "1001"}, {"page": ""}]
    )
    def test_of_pages_are_numbers(self, query):
        with pytest.raises(BadParameter):
            DIALECTS["data"].listing(face(TYPES["rinkel.user"]), query)

    def test_of_users_are_filters_that_there_are(self):
        with pytest.raises(BadParameter, match="nope: cannot be filtered by: there is id, userName"):
            STATUS_CODE.listing(face(GENESYS), {"fields": "*", "nope": "1"})
