from __future__ import annotations

import copy
import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import jsontext
from service.changes import detect, operations, types
from service.errors import Invalid

ROOT = Path(__file__).parents[2]
ACCOUNT = types.load(ROOT / "config" / "resources")["agendize.account"]
CORPUS = [jsontext.loads(line) for line in (ROOT / "tests/corpus/accounts.ndjson").read_bytes().splitlines()]
NOON = 1_769_860_800_000  # 2026-01-31T12:00:00Z
SMALLEST = {"email": "ada@example.com", "profile": {"id": "1"}}


def numbers():
    """A maker of ids that can be foretold."""
    count = itertools.count(1)
    return lambda prefix: f"{prefix}_{next(count)}"


def insert(body, rtype=ACCOUNT, host="api.example.com"):
    return operations.insert(rtype, body, now=NOON, new_id=numbers(), new_number=itertools.count(1).__next__, host=host)


def update(current, body, rtype=ACCOUNT):
    return operations.update(rtype, current, body, now=NOON + 1000, new_id=lambda prefix: f"new-{prefix}")


def patch(current, body, rtype=ACCOUNT):
    return operations.patch(rtype, current, body, new_id=lambda prefix: f"new-{prefix}")


def faults(operation, *arguments, **named):
    with pytest.raises(Invalid) as caught:
        operation(*arguments, **named)
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def made_type(schema=None, **members):
    """Another type, to show that no vendor is known to the code."""
    schema = {"type": "object", "properties": {"id": {"type": "string"}}} if schema is None else schema
    value = {"name": "acme.user", "collection": "/u", "dialect": "items", "schema": schema, "identity": ["id"]}
    return types.parse(value | members, "acme.user.json")


class TestInsert:
    def test_the_directory_adds_what_is_its_own(self):
        assert insert(SMALLEST) == {
            "id": "acc_1",
            "userName": "ada@example.com",
            "email": "ada@example.com",
            "profile": {"id": "1"},
            "preferences": {"displayName": "ada@example.com"},
            "domain": "api.example.com",
            "created": {"dateTime": "2026-01-31T12:00:00", "timeZone": "UTC"},
        }

    def test_defaults_give_way_to_what_is_given(self):
        made = insert(SMALLEST | {"preferences": {"displayName": "Ada", "language": "en"}, "domain": "x.example"})
        assert made["preferences"] == {"displayName": "Ada", "language": "en"}
        assert made["domain"] == "x.example"

    def test_what_is_read_only_is_ignored_whatever_it_is(self):
        body = SMALLEST | {"id": 7, "userName": ["x"], "credit": "much", "ssoToken": 1, "created": "now"}
        assert insert(body) == insert(SMALLEST)

    def test_what_is_write_only_is_checked_and_not_kept(self):
        assert insert(SMALLEST | {"password": "p" * 63, "sendSignupEmail": "true"}) == insert(SMALLEST)
        assert faults(insert, SMALLEST | {"password": "p" * 64, "sendSignupEmail": "yes"}) == {
            "/password": "must have at most 63 characters",
            "/sendSignupEmail": 'must be one of true, false, "true", "false"',
        }

    def test_what_the_schema_does_not_declare_is_kept(self):
        assert insert(SMALLEST | {"staff": {"rooms": [1, None]}})["staff"] == {"rooms": [1, None]}

    def test_each_tag_gets_an_id_of_its_own(self):
        made = insert(SMALLEST | {"tags": [{"id": "mine", "tag": "a"}, {"tag": "a"}]})
        assert made["tags"] == [{"id": "tag_1", "tag": "a"}, {"id": "tag_2", "tag": "a"}]

    @pytest.mark.parametrize(
        "body", [{}, {"email": None, "profile": {"id": None}}, {"email": "", "profile": {"id": ""}}]
    )
    def test_required_members_are_there_and_not_empty(self, body):
        assert faults(insert, body) == {"/email": "is required", "/profile/id": "is required"}

    def test_all_faults_are_told_at_once_each_place_once(self):
        body = {"email": 5, "profile": "x", "tags": [{"color": "red"}], "status": None}
        assert faults(insert, body) == {
            "/email": "must be a string",
            "/profile/id": "is required",
            "/profile": "must be an object",
            "/tags/0/color": "must match the pattern ^#[0-9a-fA-F]{6}$",
            "/status": "must be a string",
        }

    def test_a_fault_of_a_copied_member_is_told_where_it_was_sent(self):
        assert faults(insert, SMALLEST | {"email": "x" * 256}) == {"/email": "must have at most 255 characters"}
        assert faults(insert, SMALLEST | {"email": "a\u0007@example.com"}) == {
            "/email": "must not hold control characters"
        }

    def test_a_default_that_the_schema_refuses_is_not_set(self):
        made = insert(SMALLEST | {"email": "x" * 64}, host="h" * 64)
        assert made["userName"] == "x" * 64
        assert "preferences" not in made
        assert "domain" not in made

    def test_a_default_does_not_replace_what_is_in_its_way(self):
        assert faults(insert, SMALLEST | {"preferences": "none"}) == {"/preferences": "must be an object"}

    def test_without_a_host_no_host_is_set(self):
        assert "domain" not in insert(SMALLEST, host="")

    @pytest.mark.parametrize("body", [None, [], "x", 1, True])
    def test_a_body_that_is_no_object_is_refused(self, body):
        assert faults(insert, body) == {"": "must be an object: send the resource itself"}
        assert faults(update, {}, body) == {"": "must be an object: send the resource itself"}
        assert faults(patch, {}, body) == {"": "must be an object: send the resource itself"}
        assert faults(operations.push, ACCOUNT, "1", body) == {"": "must be an object: send the resource itself"}

    def test_a_member_required_by_the_schema_may_be_one_that_the_directory_makes(self):
        schema = {"required": ["id", "at"], "properties": {"id": {"type": "string", "readOnly": True}}}
        rtype = made_type(schema, derive={"at": {"time": "rfc3339"}})
        assert insert({}, rtype) == {"id": "user_1", "at": "2026-01-31T12:00:00.000Z"}

    def test_an_id_that_is_not_read_only_may_be_given(self):
        assert insert({"id": "mine"}, made_type())["id"] == "mine"
        assert insert({}, made_type())["id"] == "user_1"

    @pytest.mark.parametrize("bad", ["", ".", "..", "x" * 256, "a\nb", "\u0085", True, 1.5, {}])
    def test_an_id_that_could_not_stand_in_a_path_is_refused(self, bad):
        assert list(faults(insert, {"id": bad}, made_type({}))) == ["/id"]

    def test_rules_see_what_the_rules_before_them_made(self):
        rtype = made_type(derive={"login": {"copyOf": "mail"}, "shown": {"defaultTo": "login"}})
        assert insert({"mail": "m"}, rtype) == {"mail": "m", "id": "user_1", "login": "m", "shown": "m"}


class TestUpdate:
    current = insert(
        SMALLEST
        | {
            "firstName": "Ada",
            "whiteLabel": {"logoURL": "l", "emailAddress": "e"},
            "tags": [{"tag": "a"}, {"tag": "b"}],
        }
    )

    def test_objects_are_merged_deeply_and_arrays_replaced(self):
        after = update(self.current, {"whiteLabel": {"logoURL": "m"}, "tools": ["call"], "x": {"y": {"z": 1}}})
        assert after == self.current | {
            "whiteLabel": {"logoURL": "m", "emailAddress": "e"},
            "tools": ["call"],
            "x": {"y": {"z": 1}},
        }
        assert update(after, {"tools": ["save"], "x": {"y": {"w": 2}}})["tools"] == ["save"]
        assert update(after, {"x": {"y": {"w": 2}}})["x"] == {"y": {"z": 1, "w": 2}}

    @pytest.mark.parametrize(
        "body",
        [{}, {"password": "new"}, {"sendSignupEmail": True}, {"id": "x", "created": {}, "userName": "y", "credit": 5}],
    )
    def test_what_is_not_kept_changes_nothing(self, body):
        assert update(self.current, body) == self.current

    def test_a_document_that_was_read_can_be_sent_back(self):
        assert update(self.current, copy.deepcopy(self.current)) == self.current

    def test_the_email_stays(self):
        assert update(self.current, {"email": "ada@example.com"}) == self.current
        assert faults(update, self.current, {"email": "eve@example.com", "status": "x"}) == {
            "/email": "is set once and cannot be changed: leave it out",
            "/status": 'must be one of "enabled", "disabled"',
        }

    def test_a_missing_email_is_set_once_and_the_user_name_follows(self):
        pushed = operations.push(ACCOUNT, "1", {})
        assert update(pushed, {"email": "a@b"}) == {"id": "1", "email": "a@b", "userName": "a@b"}

    def test_an_id_that_is_not_read_only_cannot_change_either(self):
        assert list(faults(update, {"id": "1"}, {"id": "2"}, made_type())) == ["/id"]

    def test_an_immutable_member_is_not_lost_with_its_parent(self):
        rtype = made_type(immutable=["a.b"])
        assert list(faults(update, {"id": "1", "a": {"b": 1}}, {"a": 5}, rtype)) == ["/a/b"]
        assert update({"id": "1", "a": {"b": 1}}, {"a": {"b": 1.0}}, rtype) == {"id": "1", "a": {"b": 1}}

    def test_null_is_a_value_like_others(self):
        assert faults(update, self.current, {"firstName": None}) == {"/firstName": "must be a string"}
        assert update(self.current, {"undeclared": None})["undeclared"] is None

    def test_a_tag_sent_with_its_id_keeps_it(self):
        one, two = self.current["tags"]
        after = update(self.current, {"tags": [{"id": two["id"], "tag": "changed"}, {"id": one["id"], "tag": "a"}]})
        assert after["tags"] == [{"id": two["id"], "tag": "changed"}, one]

    def test_a_tag_sent_without_its_id_is_known_by_what_it_holds(self):
        one, two = self.current["tags"]
        after = update(self.current, {"tags": [{"tag": "b"}, {"tag": "a"}, {"tag": "a"}]})
        assert after["tags"] == [two, one, {"id": "new-tag", "tag": "a"}]

    def test_an_unknown_tag_id_is_ignored_like_all_that_is_read_only(self):
        one, _ = self.current["tags"]
        after = update(self.current, {"tags": [{"id": "forged", "tag": "c"}, {"id": "forged", "tag": "a"}]})
        assert after["tags"] == [{"id": "new-tag", "tag": "c"}, one]

    def test_an_id_sent_twice_is_given_once(self):
        one, _ = self.current["tags"]
        after = update(self.current, {"tags": [{"id": one["id"], "tag": "x"}, {"id": one["id"], "tag": "y"}]})
        assert after["tags"] == [{"id": one["id"], "tag": "x"}, {"id": "new-tag", "tag": "y"}]

    def test_an_element_keeps_all_that_is_read_only_in_it(self):
        items = {"properties": {"id": {"readOnly": True}, "since": {"readOnly": True}, "n": {"type": "integer"}}}
        rtype = made_type({"properties": {"list": {"items": items}}}, derive={"list.*.id": {"generate": "el"}})
        current = {"id": "1", "list": [{"id": "a", "since": 2020, "n": 1}, {"id": "b", "since": 2021, "n": 2}]}
        after = update(current, {"list": [{"n": 2}, {"id": "a", "n": 3, "since": 1999}]}, rtype)
        assert after["list"] == [{"id": "b", "since": 2021, "n": 2}, {"id": "a", "since": 2020, "n": 3}]

    def test_a_number_and_a_boolean_are_not_the_same_element(self):
        current = self.current | {"tags": [{"id": "1", "n": 1}, {"id": "2", "n": True}, {"id": "3", "n": [2]}]}
        after = update(current, {"tags": [{"n": True}, {"n": 1.0}, {"n": [2.0]}]})
        assert [tag["id"] for tag in after["tags"]] == ["2", "1", "3"]

    @pytest.mark.parametrize("tags", [None, "x", {"0": {}}, [1], [None], [[{}]]])
    def test_tags_that_are_no_list_of_objects_are_refused(self, tags):
        assert set(faults(update, self.current, {"tags": tags})) <= {"/tags", "/tags/0"}

    def test_a_write_answers_for_its_own_faults_only(self):
        polled = self.current | {"status": "frozen", "tags": [{"id": "1", "color": "red"}]}
        assert update(polled, {"lastName": "L"}) == polled | {"lastName": "L"}
        assert update(polled, copy.deepcopy(polled)) == polled
        assert list(faults(update, polled, {"lastName": 1})) == ["/lastName"]
        assert list(faults(update, polled, {"tags": [{"color": "red"}, {"color": "red"}]})) == ["/tags/1/color"]

    def test_an_identity_is_checked_when_it_is_set(self):
        assert faults(update, self.current, {"resellerId": "a\tb"}) == {
            "/resellerId": "must not hold control characters"
        }
        assert update(self.current, {"resellerId": ""})["resellerId"] == ""
        polled = self.current | {"resellerId": "a\tb"}
        assert update(polled, {"firstName": "A"}) == polled | {"firstName": "A"}


class TestPatch:
    current = insert(SMALLEST | {"tags": [{"tag": "a", "color": "#000000"}, {"tag": "b"}]})

    def test_an_element_without_an_id_is_added(self):
        after = patch(self.current, {"tags": [{"tag": "c"}, {"id": None, "tag": "b"}]})
        assert after["tags"][:2] == self.current["tags"]
        assert after["tags"][2:] == [{"id": "new-tag", "tag": "c"}, {"id": "new-tag", "tag": "b"}]

    def test_an_element_with_a_known_id_is_changed_where_it_stands(self):
        one, two = self.current["tags"]
        assert patch(self.current, {"tags": [{"id": one["id"], "color": "#ffffff"}]})["tags"] == [
            one | {"color": "#ffffff"},
            two,
        ]
        assert patch(self.current, {"tags": [{"id": two["id"]}]}) == self.current

    @pytest.mark.parametrize("unknown", ["nope", 1, True, {}, []])
    def test_an_unknown_id_is_refused_where_it_stands(self, unknown):
        body = {"tags": [{"tag": "fine"}, {"id": unknown, "tag": "x"}]}
        assert faults(patch, self.current, body) == {
            "/tags/1/id": "is the id of no element that is there: leave it out to add one"
        }

    def test_any_other_member_is_refused(self):
        assert faults(patch, self.current, {"id": "acc_1", "firstName": "A", "tags": {}}) == {
            "/id": "cannot be patched, only tags can: use an update",
            "/firstName": "cannot be patched, only tags can: use an update",
            "/tags": "must be an array",
        }

    def test_faults_point_into_the_body_not_into_the_document(self):
        one, two = self.current["tags"]
        body = {"tags": [{"id": two["id"], "color": "red"}, {"tag": "x" * 256}, 5, {"id": one["id"], "tag": 1}]}
        assert set(faults(patch, self.current, body)) == {"/tags/0/color", "/tags/1/tag", "/tags/2", "/tags/3/tag"}

    def test_a_first_tag_can_be_added(self):
        without = {name: member for name, member in self.current.items() if name != "tags"}
        assert patch(without, {"tags": [{"tag": "c"}]})["tags"] == [{"id": "new-tag", "tag": "c"}]

    def test_nothing_to_add_changes_nothing(self):
        assert patch(self.current, {}) == self.current
        assert patch(self.current, {"tags": []}) == self.current

    def test_an_array_without_ids_is_just_appended_to(self):
        rtype = made_type(operations={"patch": {"append": ["roles"]}})
        assert patch({"id": "1", "roles": ["a"]}, {"roles": ["b", {"id": 1}]}, rtype)["roles"] == ["a", "b", {"id": 1}]


class TestPush:
    def test_a_pushed_document_is_taken_whole_without_what_is_withheld(self):
        body = {
            "id": "7",
            "userName": "u",
            "ssoToken": "s",
            "password": "p",
            "sendSignupEmail": True,
            "credit": 1.5,
            "x": None,
        }
        assert operations.push(ACCOUNT, "7", body) == {"id": "7", "userName": "u", "credit": 1.5, "x": None}

    def test_nothing_is_derived_but_a_missing_id(self):
        assert operations.push(ACCOUNT, "7", {"email": "e"}) == {"email": "e", "id": "7"}
        assert operations.push(ACCOUNT, "7", {"id": None}) == {"id": "7"}

    @pytest.mark.parametrize("other", ["8", "07", "", 7.0, True, [], {}])
    def test_another_id_inside_is_refused(self, other):
        assert list(faults(operations.push, ACCOUNT, "7", {"id": other})) == ["/id"]

    def test_types_are_checked_read_only_and_write_only_ones_too(self):
        assert set(
            faults(operations.push, ACCOUNT, "7", {"credit": "1", "password": 5, "created": {"dateTime": "noon"}})
        ) == {
            "/credit",
            "/password",
            "/created/dateTime",
        }

    def test_a_fault_of_a_pushed_user_name_is_its_own(self):
        assert list(faults(operations.push, ACCOUNT, "7", {"email": "e", "userName": 5})) == ["/userName"]

    @pytest.mark.parametrize("bad", ["", ".", "..", "x" * 256, "a\u0000", "\u007f"])
    def test_an_id_that_cannot_find_anything_is_refused(self, bad):
        assert list(faults(operations.push, ACCOUNT, bad, {})) == [""]

    @pytest.mark.parametrize("good", ["7", "a/b", "ü ?#%", "...", "x" * 255, "👩‍👩‍👧"])
    def test_any_other_id_is_taken(self, good):
        assert operations.push(ACCOUNT, good, {})["id"] == good

    def test_integer_ids_are_kept_as_integers(self):
        rtype = made_type({"properties": {"id": {"type": "integer"}}})
        assert operations.push(rtype, "12", {}) == {"id": 12}
        assert operations.push(rtype, "12", {"id": 12}) == {"id": 12}
        assert operations.identity(rtype, {"id": 12}) == "12"
        for bad in ("012", "x", "1.0", "9" * 30, "٣"):
            assert list(faults(operations.push, rtype, bad, {})) == ["/id"]

    def test_a_whole_list_of_the_vendor_can_be_pushed(self):
        for document in CORPUS:
            pushed = operations.push(ACCOUNT, document["id"], document)
            assert pushed == {name: member for name, member in document.items() if name != "ssoToken"}


class TestPolled:
    def test_a_document_is_taken_as_it_is_without_what_is_withheld(self):
        document = {"id": "7", "userName": "u", "ssoToken": "s", "password": "p", "x": {"y": [None]}, "created": None}
        object_id, kept, faults = operations.polled(ACCOUNT, document)
        assert (object_id, kept) == ("7", {"id": "7", "userName": "u", "x": {"y": [None]}, "created": None})
        assert [fault.pointer for fault in faults] == ["/created"]

    def test_what_breaks_the_schema_is_kept_and_told_once_for_each_place(self):
        document = {"id": "7", "firstName": 5, "status": 5, "tags": [{"color": "red"}, 5]}
        _, kept, faults = operations.polled(ACCOUNT, document)
        assert kept == document
        assert [fault.pointer for fault in faults] == ["/firstName", "/status", "/tags/0/color", "/tags/1"]

    def test_a_member_that_a_closed_type_does_not_declare_is_kept_and_told(self):
        closed = {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False}
        rtype = made_type(closed)
        assert list(faults(operations.push, rtype, "1", {"x": 1})) == ["/x"]
        _, kept, told = operations.polled(rtype, {"id": "1", "x": 1})
        assert (kept, [fault.pointer for fault in told]) == ({"id": "1", "x": 1}, ["/x"])

    @pytest.mark.parametrize(
        "document", [{}, {"id": None}, {"id": ""}, {"id": 1.5}, {"id": {}}, {"id": ".."}, {"id": "\0"}]
    )
    def test_a_document_without_a_usable_id_cannot_be_kept(self, document):
        assert list(faults(operations.polled, ACCOUNT, document)) == ["/id"]

    @pytest.mark.parametrize("number", [2**64, -(2**63) - 1, float("inf"), float("nan")])
    def test_a_number_that_would_be_changed_cannot_be_kept(self, number):
        assert list(faults(operations.polled, ACCOUNT, {"id": "7", "a": [number]})) == ["/a/0"]
        assert operations.polled(ACCOUNT, {"id": "7", "ssoToken": number}) == ("7", {"id": "7"}, [])

    def test_an_integer_is_an_id_too(self):
        assert operations.polled(ACCOUNT, {"id": 7})[0] == "7"


class TestIdsThatAreIntegers:
    rtype = made_type({"type": "object", "properties": {"id": {"type": "integer", "readOnly": True}}})

    def test_are_made_as_numbers(self):
        assert insert({"a": 1, "id": 9}, self.rtype) == {"a": 1, "id": 1}

    def test_are_taken_from_the_path(self):
        assert operations.push(self.rtype, "17", {}) == {"id": 17}
        assert operations.identity(self.rtype, {"id": 17}) == "17"


class TestWhatADirectoryMakes:
    rtype = made_type(
        derive={
            "on": {"default": True},
            "n": {"default": 0},
            "at": {"time": "rfc3339"},
            "seen.last": {"touch": "rfc3339"},
        },
        ignore=["seen.last"],
    )
    made = insert({}, rtype)

    def test_defaults_and_times_are_set_at_creation(self):
        noon = "2026-01-31T12:00:00.000Z"
        assert self.made == {"id": "user_1", "on": True, "n": 0, "at": noon, "seen": {"last": noon}}

    def test_what_is_given_goes_before(self):
        assert insert({"on": None, "n": 5, "at": "then"}, self.rtype) == self.made | {"on": None, "n": 5, "at": "then"}

    def test_a_change_is_stamped(self):
        changed = update(self.made, {"name": "Ada"}, self.rtype)
        assert changed == self.made | {"name": "Ada", "seen": {"last": "2026-01-31T12:00:01.000Z"}}

    def test_what_changes_nothing_is_not(self):
        assert update(self.made, {"on": True, "seen": {}}, self.rtype) == self.made


class TestIdentities:
    def test_every_usable_identity_but_the_id_is_found(self):
        document = {"id": "1", "resellerId": "r", "userName": "u@example.com"}
        assert operations.identity(ACCOUNT, document) == "1"
        assert operations.identities(ACCOUNT, document) == {"resellerId": "r", "userName": "u@example.com"}

    @pytest.mark.parametrize("unusable", [None, "", True, 1.5, [], {}, "x" * 256, "a\nb", ".."])
    def test_what_cannot_find_anything_is_left_out(self, unusable):
        assert operations.identity(ACCOUNT, {"id": unusable}) is None
        assert operations.identities(ACCOUNT, {"resellerId": unusable}) == {}

    def test_integers_find_as_text_and_paths_may_be_deep(self):
        rtype = made_type(identity=["id", "login.number"])
        assert operations.identities(rtype, {"id": "1", "login": {"number": 5}}) == {"login.number": "5"}


accounts = st.sampled_from(CORPUS).map(lambda document: operations.push(ACCOUNT, document["id"], document))


@given(accounts, st.sampled_from(CORPUS))
def test_an_update_changes_neither_argument_and_repeating_it_changes_nothing(current, body):
    body = {name: member for name, member in body.items() if name != "email"}
    before, sent = copy.deepcopy(current), copy.deepcopy(body)
    after = update(current, body)
    assert (current, body) == (before, sent)
    assert update(after, body) == after
    assert ACCOUNT.gate.accepts(after)
    assert "ssoToken" not in after
    assert after["id"] == current["id"]
    for name in body.keys() - {"id", "userName", "created", "ssoToken", "credit", "tags"}:
        if not isinstance(body[name], dict):
            assert detect.equal(after[name], body[name])


@given(accounts)
def test_a_patch_changes_no_argument(current):
    before, body = copy.deepcopy(current), {"tags": [{"tag": "new"}, *current.get("tags", ())]}
    after = patch(current, body)
    assert current == before
    assert after["tags"] == [*current.get("tags", ()), {"id": "new-tag", "tag": "new"}]


def test_very_many_elements_are_matched_in_time_that_grows_with_their_number():
    tags = [{"id": str(index), "tag": f"t{index}"} for index in range(20_000)]
    current = {"id": "1", "tags": tags}
    started = time.perf_counter()
    assert update(current, {"tags": [{"tag": tag["tag"]} for tag in reversed(tags)]})["tags"] == tags[::-1]
    assert len(faults(patch, current, {"tags": [{"id": tag["id"], "color": "x"} for tag in tags]})) == 20
    assert time.perf_counter() - started < 5
