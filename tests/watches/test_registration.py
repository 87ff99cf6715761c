from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors, jsontext, model
from service.delivery import egress, masking
from service.watches import registration, spec

ADDRESS = "https://example.com/hook"
TOKEN_URL = "https://id.example.com/token"
ACCOUNT = "agendize.account"
ACCOUNT_SCHEMA = {
    "properties": {
        "id": {"type": "string"},
        "firstName": {"type": "string"},
        "preferences": {"type": "object", "properties": {"displayName": {}, "language": {}}},
        "tags": {"type": "array", "items": {"properties": {"name": {}}}},
        "extra": {"type": "object"},
        "labels": {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
    }
}


def key(key_id, algorithm=model.Algorithm.HMAC_SHA256, **members):
    return model.CryptoKey(key_id, "default", None, algorithm, b"s" * 32, **members)


WORLD = registration.World(
    now=2_000,
    types={ACCOUNT: SimpleNamespace(schema=ACCOUNT_SCHEMA), "outreach.user": SimpleNamespace(schema={})},
    keys={
        "key_known": key("key_known"),
        "key_other": key("key_other"),
        "key_rotated": key("key_rotated", successor="key_middle", expires=1),
        "key_middle": key("key_middle", successor="key_known", expires=1),
        "key_dead": key("key_dead", expires=1),
        "key_p256": key("key_p256", algorithm=model.Algorithm.ECDSA_P256_SHA256),
    },
    blocked=egress.Guard().check,
    origin="watch.example.com",
)
BAD = json.loads((Path(__file__).parents[1] / "corpus" / "bad_watches.json").read_text(encoding="utf-8"))

BASIC = {"username": "u", "password": "p4ssw0rd"}
OAUTH = {"clientId": "c", "accessTokenUrl": TOKEN_URL, "clientSecret": "s3cret", "refreshToken": "r3fresh"}


def parse(*body, object_type=ACCOUNT, **members):
    form = body[0] if body else {"address": ADDRESS, **members}
    return registration.parse(form, WORLD, tenant="default", watch_id="wch_1", object_type=object_type)


def watch(**members):
    return dataclasses.replace(parse(**members).watch, created=1_000, updated=1_000)


def put(current, **members):
    return registration.replace(current, {"address": ADDRESS, **members}, WORLD)


def patch(current, **members):
    return registration.merge(current, members, WORLD)


def refusal(call, *args, **kwargs):
    with pytest.raises(errors.Invalid) as caught:
        call(*args, **kwargs)
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def warned(registered):
    return {warning.pointer: warning.detail for warning in registered.warnings}


# A new watch


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_what_cannot_work_is_refused_with_a_pointer(case):
    found = refusal(parse, case["body"], object_type=case.get("objectType", ACCOUNT))
    assert [*found] == [case["pointer"]]
    assert found[case["pointer"]]
    assert case["detail"] in found[case["pointer"]]


def test_an_address_is_all_that_is_needed():
    registered = parse({"address": ADDRESS})
    assert registered.watch == model.Watch(
        id="wch_1", tenant="default", object_type=ACCOUNT, address=ADDRESS, created=2_000, updated=2_000
    )
    assert registered.warnings == ()
    assert not registered.make_key


def test_null_is_the_same_as_nothing():
    names = ("name", "objectId", "objectType", "schema", "events", "status", "basicAuth", "signature", "retry")
    nothing = dict.fromkeys(names)
    assert parse(**nothing, oauth2Auth=None, httpRequestHeader=None).watch == parse().watch
    assert parse(signature={"enabled": None}, retry={"schedule": None}).watch == parse().watch


def test_every_member_is_taken():
    made = parse(
        name="Zoë's watch",
        objectType=ACCOUNT,
        objectId="acc_1",
        events=["updated", "created"],
        method="PUT",
        status="disabled",
        oauth2Auth={**OAUTH, "authUrl": "https://id.example.com/login", "scope": "a b", "clientAuth": "post"},
        httpRequestHeader={"X-Api-Key": "k3y", "X-Empty": ""},
        schema={"id": "${$.id}"},
        addPreviousData=True,
        signature={"enabled": True, "cryptoKeyIds": ["key_known", "key_other"], "scheme": "standard-webhooks"},
        retry={"schedule": [0, 1.5, 604_800], "timeout": 0.1},
        rateLimit=0.5,
        ordering="none",
    ).watch
    assert made == model.Watch(
        id="wch_1",
        tenant="default",
        object_type=ACCOUNT,
        address=ADDRESS,
        created=2_000,
        updated=2_000,
        name="Zoë's watch",
        object_id="acc_1",
        events=(model.Event.UPDATED, model.Event.CREATED),
        method="PUT",
        status=model.WatchStatus.DISABLED,
        oauth2=model.OAuth2(
            grant_type="refresh_token",
            client_id="c",
            access_token_url=TOKEN_URL,
            client_auth="post",
            client_secret="s3cret",
            refresh_token="r3fresh",
            auth_url="https://id.example.com/login",
            scope="a b",
        ),
        headers={"X-Api-Key": "k3y", "X-Empty": ""},
        schema={"id": "${$.id}"},
        add_previous_data=True,
        signature=model.Signature(enabled=True, crypto_key_ids=("key_known", "key_other")),
        retry=model.Retry((0, 1.5, 604_800), 0.1),
        rate_limit=0.5,
        ordering=model.Ordering.NONE,
    )


def test_the_vendors_own_example_is_taken():
    made = parse(
        {
            "address": ADDRESS,
            "events": ["updated", "created"],
            "addPreviousData": "false",
            "signature": {"enabled": "true", "cryptoKeyIds": ["key_known"]},
            "schema": {"id": "${$.id}", "staff": "${$.firstName} ${$.preferences.displayName}"},
        }
    ).watch
    assert made.add_previous_data is False
    assert made.signature.enabled is True


def test_the_type_is_named_in_the_body_where_the_path_does_not_name_it():
    assert (
        parse({"address": ADDRESS, "objectType": "outreach.user"}, object_type=None).watch.object_type
        == "outreach.user"
    )


def test_all_faults_are_told_at_once():
    found = refusal(
        parse,
        {
            "adress": "x",
            "events": [],
            "basicAuth": {"username": "a:b"},
            "httpRequestHeader": {"Host": "x"},
            "signature": {"cryptoKeyIds": ["nope"]},
            "schema": {"a": "${$.[}", "b": "${$.]}"},
            "retry": {"timeout": 31},
        },
        object_type=None,
    )
    assert found.keys() == {
        "/adress",
        "/address",
        "/objectType",
        "/events",
        "/basicAuth/username",
        "/basicAuth/password",
        "/httpRequestHeader/Host",
        "/signature/cryptoKeyIds/0",
        "/schema/a",
        "/schema/b",
        "/retry/timeout",
    }


def test_a_refusal_never_repeats_a_secret():
    body = {"address": ADDRESS, "basicAuth": {"username": "u", "password": "hunter2\n"}}
    headers = {"X-A": "hunter2é", "X-B": ["hunter2"]}
    with pytest.raises(errors.Invalid) as caught:
        parse({**body, "httpRequestHeader": headers, "oauth2Auth": "hunter2"})
    assert "hunter2" not in f"{caught.value} {caught.value.errors}"


def test_the_answer_to_nonsense_of_any_size_is_short():
    body = {"address": ADDRESS, **{f"member{n}": n for n in range(5_000)}, "events": ["x"] * 100_000}
    assert len(refusal(parse, body)) <= 25


def test_many_elements_are_judged_in_linear_time():
    many = [*range(1), *map(str, range(100_000))]
    assert refusal(parse, signature={"cryptoKeyIds": many}).keys() >= {"/signature/cryptoKeyIds"}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)  # no others come out of a body
        | st.floats(allow_nan=False)
        | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    st.sampled_from([*spec.show(watch(basicAuth=BASIC)), "oauth2Auth", "httpRequestHeader", "schema"]),
)
def test_any_value_anywhere_is_taken_or_refused_but_never_breaks(value, name):
    current = watch(basicAuth=BASIC)
    for call in (
        lambda: parse({"address": ADDRESS, name: value}),
        lambda: put(current, **{name: value}),
        lambda: patch(current, **{name: value}),
    ):
        with contextlib.suppress(errors.Invalid):
            spec.show(call().watch)


# Authentication, headers and keys


def test_empty_credentials_are_credentials():
    assert parse(basicAuth={"username": "", "password": ""}).watch.basic_auth == model.BasicAuth("", "")


def test_without_a_refresh_token_deliveries_wait_for_authorization():
    waiting = parse(oauth2Auth={"clientId": "c", "accessTokenUrl": TOKEN_URL}).watch
    assert (waiting.status, waiting.status_reason) == (model.WatchStatus.ENABLED, model.StatusReason.AUTHORIZATION)
    assert patch(waiting, oauth2Auth={"refreshToken": "r"}).watch.status_reason is None
    assert patch(waiting, oauth2Auth={"grantType": "client_credentials"}).watch.status_reason is None
    assert patch(waiting, oauth2Auth=None).watch.status_reason is None


def test_a_watch_that_its_owner_disabled_waits_for_nobody():
    stopped = parse(status="disabled", oauth2Auth={"clientId": "c", "accessTokenUrl": TOKEN_URL}).watch
    assert stopped.status_reason is None
    assert patch(stopped, status="enabled").watch.status_reason is model.StatusReason.AUTHORIZATION


def test_client_credentials_need_no_refresh_token():
    made = parse(oauth2Auth={**OAUTH, "grantType": "client_credentials", "refreshToken": None}).watch
    assert made.status_reason is None


def test_an_authorization_header_may_stand_alone():
    assert parse(httpRequestHeader={"Authorization": "Token x"}).watch.headers == {"Authorization": "Token x"}


def test_a_signature_without_keys_asks_for_one():
    assert parse(signature={"enabled": True}).make_key
    assert parse(signature={"enabled": "true", "cryptoKeyIds": []}).make_key
    assert not parse(signature={"enabled": True, "cryptoKeyIds": ["key_known"]}).make_key
    assert not parse(signature={"enabled": False}).make_key


# Warnings


@pytest.mark.parametrize(
    ("template", "pointer", "detail"),
    [
        (
            {"a": {"b": "${$.fistName}"}},
            "/schema/a/b",
            "agendize.account declares no fistName; did you mean firstName?",
        ),
        (
            {"a": "${$.preferences.displayname}"},
            "/schema/a",
            "preferences declares no displayname; did you mean displayName?",
        ),
        ({"a": "${$.previousData.fistName}"}, "/schema/a", "did you mean firstName?"),
        ({"a": "${$.event.kind}"}, "/schema/a", "event declares no kind"),
        ({"a": "${$.zzz}"}, "/schema/a", "$.zzz: agendize.account declares no zzz"),
        ('{"a": ${$.fistName}}', "/schema", "did you mean firstName?"),
        ({"type": "object", "properties": {"id": {}}}, "/schema", "no $schema"),
    ],
)
def test_what_looks_wrong_but_may_work_is_taken_with_a_warning(template, pointer, detail):
    warnings = warned(parse(schema=template))
    assert warnings.keys() == {pointer}
    assert detail in warnings[pointer]


@pytest.mark.parametrize(
    "path",
    [
        "$",
        "$.id",
        "$.id.anything",
        "$.preferences.language",
        "$.previousData",
        "$.previousData.id",
        "$.changes[0].path",
        "$.event.time",
        "$.tags[*].name",
        "$.tags[0].anything",
        "$.extra.anything",
        "$.labels.anything",
        "$..anything",
    ],
)
def test_what_the_schema_declares_or_leaves_open_is_no_cause_for_warning(path):
    assert parse(schema={"a": f"${{{path}}}"}).warnings == ()


def test_a_path_in_the_address_is_looked_at_too():
    assert "firstName" in warned(parse({"address": f"{ADDRESS}/${{$.fistName}}"}))["/address"]


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "[::1]", "[64:ff9b::a00:8]"])
def test_an_address_that_the_egress_guard_blocks_is_taken_with_a_warning(host):
    assert "egress.allow" in warned(parse({"address": f"http://{host}:8080/hook"}))["/address"]
    token = {**OAUTH, "accessTokenUrl": f"http://{host}/token"}
    assert "egress.allow" in warned(parse(oauth2Auth=token))["/oauth2Auth/accessTokenUrl"]


def test_an_address_that_the_guard_lets_pass_is_no_cause_for_warning():
    world = dataclasses.replace(WORLD, blocked=egress.Guard(["127.0.0.0/8"]).check)
    body = {"address": "http://127.0.0.1:8080/hook"}
    assert registration.parse(body, world, tenant="t", watch_id="w", object_type=ACCOUNT).warnings == ()
    assert parse({"address": "http://93.184.216.34/hook"}).warnings == ()


def test_keys_of_a_signature_that_is_not_enabled_are_cause_for_warning():
    assert "enabled" in warned(parse(signature={"cryptoKeyIds": ["key_known"]}))["/signature"]
    assert not warned(parse(signature={"enabled": False, "cryptoKeyIds": ["key_known"]}))


def test_client_credentials_without_a_secret_are_cause_for_warning():
    client = {"grantType": "client_credentials", "clientId": "c", "accessTokenUrl": TOKEN_URL}
    assert "clientSecret" in warned(parse(oauth2Auth=client))["/oauth2Auth"]


def test_oauth2_without_a_refresh_token_and_a_way_to_one_is_cause_for_warning():
    client = {"clientId": "c", "clientSecret": "s3cret", "accessTokenUrl": TOKEN_URL}
    assert "deliveries wait" in warned(parse(oauth2Auth=client))["/oauth2Auth"]
    assert not warned(parse(oauth2Auth={**client, "refreshToken": "r3fresh"}))
    assert not warned(parse(oauth2Auth={**client, "authUrl": "https://login.example.com/authorize"}))


# What answers show


def test_an_answer_shows_no_secret_but_which_ones_are_set():
    made = watch(oauth2Auth=OAUTH, httpRequestHeader={"X-Api-Key": "k3y", "X~Odd": "0dd"}, signature={"enabled": True})
    answer = spec.show(made)
    assert answer == {
        "id": "wch_1",
        "objectType": ACCOUNT,
        "objectId": None,
        "name": None,
        "address": ADDRESS,
        "events": ["created", "updated", "deleted"],
        "method": "POST",
        "status": "enabled",
        "verification": "none",
        "verificationState": None,
        "statusReason": None,
        "health": {"state": "healthy", "failures": 0, "since": None, "lastSuccess": None},
        "oauth2Auth": {
            "grantType": "refresh_token",
            "clientId": "c",
            "accessTokenUrl": TOKEN_URL,
            "clientAuth": "basic",
        },
        "addPreviousData": False,
        "signature": {"enabled": True, "cryptoKeyIds": [], "scheme": "standard-webhooks"},
        "retry": {"schedule": [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], "timeout": 15.0},
        "ordering": "resource",
        "created": "1970-01-01T00:00:01.000Z",
        "updated": "1970-01-01T00:00:01.000Z",
        "selfLink": "/api/v1/watches/wch_1",
        "secretsSet": [
            "/oauth2Auth/clientSecret",
            "/oauth2Auth/refreshToken",
            "/httpRequestHeader/X-Api-Key",
            "/httpRequestHeader/X~0Odd",
        ],
    }


def test_the_answer_to_a_registration_has_its_warnings_and_the_new_key():
    made = watch(basicAuth=BASIC, schema="${$.id}")
    answer = spec.show(made, warnings=[errors.FieldError("/schema", "hm")], signing_secret="whsec_x")
    assert answer["warnings"] == [{"pointer": "/schema", "detail": "hm"}]
    assert answer["signature"]["secret"] == "whsec_x"
    assert answer["basicAuth"] == {"username": "u"}
    assert answer["secretsSet"] == ["/basicAuth/password"]


def test_every_secret_is_known_to_the_mask():
    made = watch(oauth2Auth=OAUTH, httpRequestHeader={"X-Api-Key": "k3y", "X-Empty": ""})
    assert {"s3cret", "r3fresh", "k3y"} <= set(masking.secrets_of(made))
    assert "p4ssw0rd" in masking.secrets_of(watch(basicAuth=BASIC))
    assert "" not in masking.secrets_of(made)


# PUT


FULL = {
    "name": "n",
    "objectId": "acc_1",
    "events": ["deleted"],
    "method": "PATCH",
    "httpRequestHeader": {"X-Api-Key": "k3y"},
    "schema": {"a": [None, "${$.id}"]},
    "addPreviousData": True,
    "signature": {"enabled": True, "cryptoKeyIds": ["key_known"]},
    "retry": {"schedule": [1], "timeout": 2},
    "ordering": "none",
}


@pytest.mark.parametrize("authentication", [{"basicAuth": BASIC}, {"oauth2Auth": OAUTH}, {}])
def test_an_answer_can_be_put_as_it_came(authentication):
    current = watch(**FULL, **authentication)
    answer = spec.show(current, warnings=[], signing_secret="whsec_x")
    assert registration.replace(current, answer, WORLD).watch == dataclasses.replace(current, updated=2_000)
    assert registration.merge(current, answer, WORLD).watch == dataclasses.replace(current, updated=2_000)


def test_a_put_resets_what_it_leaves_out():
    current = watch(**FULL)
    assert put(current, httpRequestHeader={}).watch == dataclasses.replace(watch(), updated=2_000)


def test_a_put_without_a_secret_keeps_it():
    current = watch(oauth2Auth=OAUTH, httpRequestHeader={"X-Api-Key": "k3y"})
    changed = put(current, oauth2Auth={"clientId": "other", "accessTokenUrl": f"{TOKEN_URL}/v2"}).watch
    assert changed.oauth2 == dataclasses.replace(current.oauth2, client_id="other", access_token_url=f"{TOKEN_URL}/v2")
    assert changed.headers == {"X-Api-Key": "k3y"}
    assert put(watch(basicAuth=BASIC), basicAuth={"username": "new"}).watch.basic_auth.password == "p4ssw0rd"


def test_a_put_replaces_the_secrets_that_it_has_and_null_removes_one():
    current = watch(oauth2Auth=OAUTH, httpRequestHeader={"X-Api-Key": "k3y"})
    given = {**OAUTH, "clientSecret": None, "refreshToken": "new"}
    changed = put(current, oauth2Auth=given, httpRequestHeader={"X-Other": "0ther"}).watch
    assert (changed.oauth2.client_secret, changed.oauth2.refresh_token) == (None, "new")
    assert changed.headers == {"X-Other": "0ther"}


def test_a_put_without_authentication_removes_it():
    assert put(watch(basicAuth=BASIC)).watch.basic_auth is None
    assert put(watch(oauth2Auth=OAUTH)).watch.oauth2 is None


def test_a_put_cannot_make_up_a_password():
    assert refusal(put, watch(), basicAuth={"username": "u"}).keys() == {"/basicAuth/password"}


def test_a_put_that_stays_signed_keeps_its_keys_and_an_empty_list_asks_for_another():
    current = watch(signature={"enabled": True, "cryptoKeyIds": ["key_known"]})
    kept = put(current, signature={"enabled": "true"})
    assert kept.watch.signature == current.signature
    assert not kept.make_key
    assert put(current, signature={"enabled": True, "cryptoKeyIds": []}).make_key
    assert put(current).watch.signature == model.Signature()


def test_id_tenant_and_creation_never_change():
    current = dataclasses.replace(watch(), tenant="acme")
    changed = put(current, id="wch_2", created="2020-01-01T00:00:00Z", selfLink="/x", secretsSet=["/x"]).watch
    assert (changed.id, changed.tenant, changed.created, changed.updated) == ("wch_1", "acme", 1_000, 2_000)


@pytest.mark.parametrize("call", [put, patch])
def test_the_type_cannot_change(call):
    assert "cannot change" in refusal(call, watch(), objectType="outreach.user")["/objectType"]
    assert call(watch(), objectType=ACCOUNT).watch.object_type == ACCOUNT
    assert call(watch(), objectType=None).watch.object_type == ACCOUNT


# PATCH


def test_a_patch_changes_what_it_names():
    current = watch(**FULL, basicAuth=BASIC)
    assert patch(current, name="new").watch == dataclasses.replace(current, name="new", updated=2_000)
    assert patch(current).watch == dataclasses.replace(current, updated=2_000)


def test_a_patch_merges_objects_replaces_lists_and_removes_by_null():
    changed = patch(
        watch(**FULL, basicAuth=BASIC),
        name=None,
        basicAuth=None,
        retry={"schedule": [7, 8]},
        schema={"b": "x"},
        signature={"enabled": "false"},
    ).watch
    assert (changed.name, changed.basic_auth) == (None, None)
    assert changed.retry == model.Retry((7, 8), 2)
    assert changed.schema == {"a": [None, "${$.id}"], "b": "x"}
    assert changed.signature == model.Signature(enabled=False, crypto_key_ids=("key_known",))


def test_a_patch_merges_headers_one_by_one_in_any_case():
    current = watch(httpRequestHeader={"X-A": "1", "X-B": "2", "X-C": "3"})
    assert patch(current, httpRequestHeader={"x-a": "new", "x-b": None}).watch.headers == {"X-C": "3", "x-a": "new"}
    assert patch(current, httpRequestHeader=None).watch.headers == {}
    assert patch(current, httpRequestHeader={}).watch.headers == current.headers


def test_a_patch_cannot_remove_what_is_required():
    current = watch(basicAuth=BASIC)
    assert refusal(patch, current, address=None).keys() == {"/address"}
    assert refusal(patch, current, basicAuth={"password": None}).keys() == {"/basicAuth/password"}


def test_changing_the_kind_of_authentication_takes_removing_the_other():
    current = watch(basicAuth=BASIC)
    assert refusal(patch, current, oauth2Auth=OAUTH).keys() == {"/oauth2Auth"}
    assert patch(current, oauth2Auth=OAUTH, basicAuth=None).watch.oauth2 is not None


@pytest.mark.parametrize("call", [put, patch])
@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_body_that_is_no_object_is_refused(call, body):
    change = {put: registration.replace, patch: registration.merge}[call]
    assert refusal(change, watch(), body, WORLD) == {"": "must be a JSON object"}


@pytest.mark.parametrize("call", [put, patch])
def test_the_next_form_is_judged_like_a_new_one(call):
    found = refusal(call, watch(basicAuth=BASIC), basicAuth={"username": "a:b"}, adress=1, schema="${$.[}")
    assert found.keys() == {"/basicAuth/username", "/adress", "/schema"}


# Disabled by the service


def test_a_watch_whose_receiver_is_gone_stays_so_until_it_is_enabled():
    gone = dataclasses.replace(watch(), status=model.WatchStatus.DISABLED, status_reason=model.StatusReason.GONE)
    assert patch(gone, name="n").watch.status_reason is model.StatusReason.GONE
    assert registration.replace(gone, spec.show(gone), WORLD).watch.status_reason is model.StatusReason.GONE
    enabled = patch(gone, status="enabled").watch
    assert (enabled.status, enabled.status_reason) == (model.WatchStatus.ENABLED, None)
    assert patch(enabled, status="disabled").watch.status_reason is None


# Nobody redirects a stored credential

ELSEWHERE = [
    "https://evil.example/hook",
    "http://example.com/hook",
    "https://example.com:8443/hook",
    "https://example.com.evil.example/",
]


@pytest.mark.parametrize("call", [put, patch])
@pytest.mark.parametrize("address", ELSEWHERE)
def test_a_new_origin_takes_every_secret_again(call, address):
    basic = watch(basicAuth=BASIC, httpRequestHeader={"X-Api-Key": "k3y"})
    assert refusal(call, basic, address=address, basicAuth={"username": "u"}).keys() == {
        "/basicAuth/password",
        "/httpRequestHeader/X-Api-Key",
    }
    oauth2 = watch(oauth2Auth=OAUTH)
    assert refusal(call, oauth2, address=address, oauth2Auth={"clientId": "c", "accessTokenUrl": TOKEN_URL}).keys() == {
        "/oauth2Auth/clientSecret",
        "/oauth2Auth/refreshToken",
    }


@pytest.mark.parametrize("call", [put, patch])
def test_a_new_origin_with_its_secrets_is_taken(call):
    current = watch(basicAuth=BASIC, httpRequestHeader={"X-Api-Key": "k3y"})
    changed = call(current, address=ELSEWHERE[0], basicAuth=BASIC, httpRequestHeader={"x-api-key": "new"}).watch
    assert (changed.address, changed.headers) == (ELSEWHERE[0], {"x-api-key": "new"})
    assert call(current, address=ELSEWHERE[0], basicAuth=None, httpRequestHeader=None).watch.address == ELSEWHERE[0]


@pytest.mark.parametrize("call", [put, patch])
def test_a_new_address_that_cannot_work_is_told_as_that(call):
    assert refusal(call, watch(basicAuth=BASIC), address="ftp://example.com/", basicAuth={"username": "u"}).keys() == {
        "/address"
    }


@pytest.mark.parametrize("call", [put, patch])
def test_some_secrets_are_not_enough(call):
    current = watch(basicAuth=BASIC, httpRequestHeader={"X-A": "1", "X-B": "2"})
    given = {"basicAuth": BASIC, "httpRequestHeader": {"X-A": "1"}}
    if call is put:  # the map replaces the other one, so nothing is kept
        assert call(current, address=ELSEWHERE[0], **given).watch.headers == {"X-A": "1"}
    else:
        assert refusal(call, current, address=ELSEWHERE[0], **given).keys() == {"/httpRequestHeader/X-B"}


@pytest.mark.parametrize("call", [put, patch])
def test_a_new_token_server_takes_the_oauth2_secrets_again_and_only_those(call):
    current = watch(oauth2Auth=OAUTH, httpRequestHeader={"X-Api-Key": "k3y"})
    moved = {"clientId": "c", "accessTokenUrl": "https://evil.example/token"}
    assert refusal(call, current, oauth2Auth=moved).keys() == {"/oauth2Auth/clientSecret", "/oauth2Auth/refreshToken"}
    assert refusal(call, current, oauth2Auth={**moved, "clientSecret": "new"}).keys() == {"/oauth2Auth/refreshToken"}
    assert call(current, oauth2Auth={**OAUTH, **moved}).watch.oauth2.access_token_url == moved["accessTokenUrl"]


@pytest.mark.parametrize("call", [put, patch])
@pytest.mark.parametrize(
    "address", ["https://example.com/other?x=1", "https://EXAMPLE.com:443/hook", f"{ADDRESS}/${{$.id}}"]
)
def test_the_same_origin_keeps_them(call, address):
    current = watch(basicAuth=BASIC, httpRequestHeader={"X-Api-Key": "k3y"})
    changed = call(current, address=address, basicAuth={"username": "u"}).watch
    assert (changed.basic_auth, changed.headers) == (current.basic_auth, current.headers)


# What is stored

lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True)
times = st.integers(min_value=0, max_value=4 * 10**12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | lines,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(lines, inner, max_size=3),
    max_leaves=5,
)
watches = st.builds(
    model.Watch,
    id=lines,
    tenant=lines,
    object_type=lines,
    address=lines,
    created=times,
    updated=times,
    name=st.none() | lines,
    object_id=st.none() | lines,
    events=st.lists(st.sampled_from(model.Event), unique=True, min_size=1).map(tuple),
    method=st.sampled_from(["POST", "GET"]),
    status=st.sampled_from(model.WatchStatus),
    status_reason=st.none() | st.sampled_from(model.StatusReason),
    basic_auth=st.none() | st.builds(model.BasicAuth, lines, lines),
    oauth2=st.none()
    | st.builds(
        model.OAuth2,
        grant_type=st.sampled_from(["refresh_token", "client_credentials"]),
        client_id=lines,
        access_token_url=lines,
        client_auth=st.sampled_from(["basic", "post"]),
        client_secret=st.none() | lines,
        refresh_token=st.none() | lines,
        auth_url=st.none() | lines,
        scope=st.none() | lines,
    ),
    headers=st.dictionaries(names, lines, max_size=4),
    schema=json_values,
    add_previous_data=st.booleans(),
    signature=st.builds(model.Signature, enabled=st.booleans(), crypto_key_ids=st.lists(lines, max_size=3).map(tuple)),
    retry=st.builds(
        model.Retry,
        st.lists(st.integers(0, 604_800) | st.floats(0, 604_800), max_size=5).map(tuple),
        st.floats(0.1, 30),
    ),
    rate_limit=st.none() | st.floats(0.001, 10_000),
    ordering=st.sampled_from(model.Ordering),
)


@given(watches)
def test_a_stored_watch_comes_back_as_it_was(stored):
    public, private = spec.to_record(stored)
    public, private = jsontext.loads(jsontext.dumps(public)), jsontext.loads(jsontext.dumps(private))
    assert spec.from_record(stored.id, stored.tenant, public, private) == stored


@given(watches)
def test_what_is_stored_in_the_open_and_what_is_shown_hold_no_secret(stored):
    marked = dataclasses.replace(
        stored,
        basic_auth=stored.basic_auth and model.BasicAuth(stored.basic_auth.username, "SECRET-1"),
        oauth2=stored.oauth2 and dataclasses.replace(stored.oauth2, client_secret="SECRET-2", refresh_token="SECRET-3"),
        headers=dict.fromkeys(stored.headers, "SECRET-4"),
    )
    public, private = spec.to_record(marked)
    assert b"SECRET" not in jsontext.dumps(public)
    assert b"SECRET" not in jsontext.dumps(spec.show(marked))
    assert spec.show(marked)["secretsSet"] == list(private)
    assert "SECRET" not in repr(marked)


def test_a_key_that_was_rotated_stands_for_its_successor() -> None:
    asked = parse(signature={"enabled": True, "cryptoKeyIds": ["key_other", "key_rotated", "key_known"]})
    assert asked.watch.signature.crypto_key_ids == ("key_other", "key_known")
    (warning,) = asked.warnings
    assert warning.pointer == "/signature/cryptoKeyIds/1"
    assert warning.detail == "key_rotated was rotated: its successor key_known is named instead"
