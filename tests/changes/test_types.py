from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from service import ids
from service.changes import operations, types
from service.changes.gate import Gate
from service.errors import ConfigError
from service.model import Role

RESOURCES = Path(__file__).parents[2] / "config" / "resources"
SMALLEST = {
    "name": "acme.user",
    "collection": "/acme/users",
    "dialect": "items",
    "schema": {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}}},
    "identity": ["id"],
}


def refusal(**changes):
    """What the file's refusal says; a member given as ... is left out."""
    value = {name: member for name, member in (SMALLEST | changes).items() if member is not ...}
    with pytest.raises(ConfigError) as caught:
        types.parse(value, "acme.user.json")
    assert caught.value.detail.startswith("acme.user.json: ")
    return caught.value.detail.removeprefix("acme.user.json: ")


def test_five_members_are_enough_for_everything_but_a_patch():
    rtype = types.parse(SMALLEST, "acme.user.json")
    assert {name: operation.methods for name, operation in rtype.operations.items()} == {
        "list": ("GET",),
        "insert": ("POST",),
        "get": ("GET",),
        "update": ("PUT", "POST", "PATCH"),
        "delete": ("DELETE",),
    }
    assert [operation.status for operation in rtype.operations.values()] == [200, 201, 200, 200, 204]
    assert list(rtype.collection_methods) == ["GET", "POST"]
    assert list(rtype.item_methods) == ["GET", "PUT", "POST", "PATCH", "DELETE"]
    made = operations.insert(rtype, {"name": "Ada"}, now=0, new_id=ids.new, new_number=int, host="h")
    assert made["name"] == "Ada"
    assert made["id"].startswith("user_")


@pytest.mark.parametrize("operation", ["insert", "update", "patch", "delete", "push"])
def test_by_default_admin_and_agent_write(operation):
    assert types.parse(SMALLEST, "f").permissions[operation] == {Role.ADMIN, Role.AGENT}


@pytest.mark.parametrize("operation", ["list", "get"])
def test_by_default_everyone_reads(operation):
    assert types.parse(SMALLEST, "f").permissions[operation] == set(Role)


def test_by_default_only_an_admin_watches():
    assert types.parse(SMALLEST, "f").permissions["watch"] == {Role.ADMIN}


def test_what_permissions_do_not_name_keeps_its_default():
    rtype = types.parse(SMALLEST | {"permissions": {"delete": ["admin"], "list": []}}, "f")
    assert rtype.permissions["delete"] == {Role.ADMIN}
    assert rtype.permissions["list"] == set()
    assert rtype.permissions["get"] == set(Role)


def test_an_operation_that_is_not_named_is_not_there():
    rtype = types.parse(SMALLEST | {"operations": {"list": {}, "get": {}}}, "f")
    assert list(rtype.collection_methods) == ["GET"]
    assert list(rtype.item_methods) == ["GET"]


def test_a_patch_takes_its_method_from_update():
    rtype = types.parse(SMALLEST | {"operations": {"update": {}, "patch": {"append": ["tags"]}}}, "f")
    assert {method: operation.name for method, operation in rtype.item_methods.items()} == {
        "PUT": "update",
        "POST": "update",
        "PATCH": "patch",
    }


def test_marks_of_the_schema_are_found_through_objects_arrays_maps_and_references():
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "deep": {"properties": {"a": {"properties": {"b": {"readOnly": True}}}}},
            "list": {"type": "array", "items": {"$ref": "#/$defs/a~1b%20c"}},
            "map": {"additionalProperties": {"properties": {"at": {"readOnly": True}}}},
            "any": {"anyOf": [{"properties": {"x": {"readOnly": True}}}, {"type": "null"}]},
            "secret": {"writeOnly": True},
            "tree": {"$ref": "#/$defs/tree"},
        },
        "$defs": {
            "a/b c": {"properties": {"stamp": {"readOnly": True}}},
            "tree": {"properties": {"size": {"readOnly": True}, "child": {"$ref": "#/$defs/tree"}}},
        },
    }
    rtype = types.parse(SMALLEST | {"schema": schema}, "f")
    assert rtype.read_only == (
        ("id",),
        ("deep", "a", "b"),
        ("list", "*", "stamp"),
        ("map", "*", "at"),
        ("any", "x"),
        ("tree", "size"),
    )
    assert rtype.write_only == (("secret",),)


def test_secret_and_write_only_members_are_withheld():
    account = types.load(RESOURCES)["agendize.account"]
    assert set(account.withheld) == {("ssoToken",), ("password",), ("sendSignupEmail",)}


def test_the_id_is_immutable_without_being_declared_so():
    assert types.parse(SMALLEST, "f").immutable == (("id",),)


def test_a_path_given_twice_counts_once():
    assert types.parse(SMALLEST | {"immutable": ["id", "name"]}, "f").immutable == (("id",), ("name",))


def test_ignore_and_set_are_the_rules_of_detection():
    rtype = types.parse(SMALLEST | {"ignore": ["seen.*"], "set": ["roles"]}, "f")
    assert (rtype.ignore, rtype.unordered) == ((("seen", "*"),), (("roles",),))
    assert (rtype.rules.ignore, rtype.rules.unordered) == (rtype.ignore, rtype.unordered)


def test_the_shipped_types_are_loaded_by_name():
    loaded = types.load(RESOURCES)
    assert loaded["agendize.account"].collection == "/agendize/api/2.0/resellers/accounts"
    assert loaded["agendize.account"].auth_headers == ("apiKey", "token")


def test_envelopes_take_their_names_from_the_type_unless_it_has_others():
    rtype = types.parse(SMALLEST | {"name": "acme.crm.person"}, "f")
    assert (rtype.singular, rtype.plural) == ("person", "users")
    rtype = types.parse(SMALLEST | {"singular": "people", "plural": "persons"}, "f")
    assert (rtype.singular, rtype.plural) == ("people", "persons")


def test_a_member_is_of_the_kind_that_its_schema_says():
    properties = {
        "id": {"type": "string"},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "on": {"type": ["null", "boolean"]},
        "age": {"type": "integer"},
        "deep": {"properties": {"size": {"type": "number"}}},
        "any": {},
    }
    rtype = types.parse(SMALLEST | {"schema": {"type": "object", "properties": properties}}, "f")
    paths = [("at",), ("on",), ("age",), ("deep", "size"), ("id",), ("any",), ("nowhere", "to", "be")]
    assert [rtype.kind(path) for path in paths] == ["date-time", "boolean", "number", "number", "text", "text", "text"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example/v1", "https://api.example/v1/users"),
        ("https://api.example/v1/", "https://api.example/v1/users"),
        ("https://api.example", "https://api.example/users"),
        ("https://api.example/v1/users", "https://api.example/v1/users"),
        ("https://api.example/v1/users/", "https://api.example/v1/users"),
        ("https://api.example/v1?role=x", "https://api.example/v1/users?role=x"),
        ("https://api.example/v1/users?role=/users", "https://api.example/v1/users?role=/users"),
        ("https://api.example/superusers", "https://api.example/superusers/users"),
    ],
)
def test_a_collection_is_found_below_the_base_url_of_an_api(url, expected):
    assert types.collection_url(types.parse(SMALLEST, "f"), url) == expected


def test_a_collection_may_be_deeper_at_the_vendors():
    account = types.load(RESOURCES)["agendize.account"]
    url = "https://api.agendize.com/api/2.0/resellers/accounts"
    assert types.collection_url(account, "https://api.agendize.com/api/2.0") == url
    assert types.collection_url(account, url) == url


def test_every_system_of_the_seeds_is_a_file():
    loaded = types.load(RESOURCES)
    assert {name: (rtype.collection, rtype.dialect) for name, rtype in loaded.items()} == {
        "agendize.account": ("/agendize/api/2.0/resellers/accounts", "items"),
        "genesys.user": ("/genesys/api/v2/users", "statusCode"),
        "outreach.user": ("/outreach/api/v2/users", "jsonapi"),
        "rinkel.user": ("/rinkel/v1/users", "data"),
    }
    assert loaded["rinkel.user"].auth_headers == ("x-rinkel-api-key",)
    assert [name for name, rtype in loaded.items() if rtype.auth_basic] == ["genesys.user"]


def test_no_module_but_a_dialect_knows_a_vendor():
    service = Path(types.__file__).parents[1]
    modules = [module for part in ("changes", "api", "store") for module in (service / part).glob("*.py")]
    assert len(modules) > 30
    for module in modules:
        if module.parent.name != "dialects":
            words = " ".join(spoken(ast.parse(module.read_text(encoding="utf-8")))).lower()
            assert not re.search("agendize|outreach|rinkel|genesys", words), module


def spoken(tree):
    """What a module says to the machine: its names and texts, not its comments and docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    words = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in words:
            yield str(node.value)
        elif isinstance(node, ast.Name):
            yield node.id


def test_a_directory_is_read_file_by_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(SMALLEST))
    (tmp_path / "b.json").write_text(json.dumps(SMALLEST | {"name": "acme.team", "collection": "/acme/teams"}))
    (tmp_path / "notes.txt").write_text("no type")
    assert list(types.load(tmp_path)) == ["acme.user", "acme.team"]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"collection": "/elsewhere"}, "b.json: /name: 'acme.user' is the type of a.json already"),
        ({"name": "b"}, "b.json: /collection: '/acme/users' collides with the one of a.json"),
        (
            {"name": "b", "collection": "/acme/users/x"},
            "b.json: /collection: '/acme/users/x' collides with the one of a",
        ),
        ({"name": "b", "collection": "/acme"}, "b.json: /collection: '/acme' collides with the one of a.json"),
    ],
)
def test_two_types_do_not_share_a_name_or_a_path(tmp_path, other, says):
    (tmp_path / "a.json").write_text(json.dumps(SMALLEST))
    (tmp_path / "b.json").write_text(json.dumps(SMALLEST | other))
    with pytest.raises(ConfigError) as caught:
        types.load(tmp_path)
    assert caught.value.detail.startswith(says)


def test_a_directory_without_types_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no resource type"):
        types.load(tmp_path)


def test_a_file_that_is_no_json_is_refused_by_name(tmp_path):
    (tmp_path / "a.json").write_text('{"name": "x", "name": "y"}')
    with pytest.raises(ConfigError, match=r"^a\.json: /name: the member is given twice"):
        types.load(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ConfigError, match=r"^a\.json: cannot be read: "):
        types.load(tmp_path)


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_a_file_that_is_no_object_is_refused(value):
    with pytest.raises(ConfigError, match=r"^f: the file: must be an object$"):
        types.parse(value, "f")


@pytest.mark.parametrize("member", list(SMALLEST))
def test_a_missing_member_is_named(member):
    assert refusal(**{member: ...}) == f"/{member}: is required"


def test_every_fault_is_named_at_once():
    assert set(refusal(name=5, identity=[], colour="red").split("; acme.user.json: ")) == {
        "/colour: is not declared: leave it out",
        "/name: must be a string",
        "/identity: must have at least 1 element",
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Bad Name"}, "/name: must match"),
        ({"collection": "users"}, "/collection: must match"),
        ({"collection": "/users/"}, "/collection: must match"),
        ({"collection": "/a/../b"}, "/collection: must match"),
        ({"collection": "/a/{id}"}, "/collection: must match"),
        ({"collection": "/api/v1/users"}, "/collection: '/api/v1/users' is a path of the service itself"),
        ({"collection": "/healthz"}, "/collection: '/healthz' is a path of the service itself"),
        ({"dialect": "soap"}, "/dialect: 'soap' is unknown: there is data, items, jsonapi, "),
        ({"identity": ["a.*"]}, "/identity/0: must match"),
        ({"identity": ["id", "id"]}, "/identity: must not hold the same element twice"),
        ({"immutable": "email"}, "/immutable: must be an array"),
        ({"secret": ["a..b"]}, "/secret/0: must match"),
        ({"permissions": {"fly": ["admin"]}}, "/permissions/fly: is not declared"),
        ({"permissions": {"list": ["root"]}}, "/permissions/list/0: must be one of"),
        ({"operations": {"merge": {}}}, "/operations/merge: is not declared"),
        ({"operations": {"patch": {}}}, "/operations/patch/append: is required"),
        ({"operations": {"list": {"required": ["a"]}}}, "/operations/list/required: is not declared"),
        ({"operations": {"get": {"methods": ["FETCH"]}}}, "/operations/get/methods/0: must be one of"),
        ({"operations": {"insert": {"status": 404}}}, "/operations/insert/status: must be 299 or less"),
        (
            {"operations": {"get": {}, "update": {"methods": ["GET"]}}},
            "/operations/update/methods: GET would mean get and update",
        ),
        ({"derive": {"a": {}}}, "/derive/a: must have at least 1 member"),
        ({"derive": {"a": {"copyOf": "b", "host": True}}}, "/derive/a: must have at most 1 members"),
        ({"derive": {"a": {"magic": "b"}}}, "/derive/a/magic: is not declared"),
        ({"derive": {"a.*.b": {"copyOf": "c"}}}, "/derive/a.*.b: a * is for ids"),
        ({"derive": {"*.b": {"generate": "x"}}}, "/derive/*.b: a * is for ids"),
        ({"derive": {"a.*.b.*": {"generate": "x"}}}, "/derive/a.*.b.*: a * is for ids"),
        ({"derive": {"a": {"touch": "zoned"}}}, "/derive/a/touch: must be"),
        ({"upstream": "users"}, "/upstream: must match"),
        ({"sort": {"name": "a.*"}}, "/sort/name: must match"),
        ({"subresources": "skills"}, "/subresources: must be an array"),
        ({"auth": {"basic": "yes"}}, "/auth/basic: must be a boolean"),
        ({"filters": {"q": {"match": "like", "paths": ["a"]}}}, "/filters/q/match: must be one of"),
        ({"filters": {"q": {"match": "equals"}}}, "/filters/q/paths: is required"),
        ({"auth": {"headers": ["a b"]}}, "/auth/headers/0: must match"),
        ({"schema": True}, "/schema: must be an object"),
        ({"schema": {"type": "strin"}}, "/schema/type: "),
        ({"schema": {"properties": {"a": {"maxLength": -1}}}}, "/schema/properties/a/maxLength: "),
        ({"schema": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "/schema/$schema: must be 'https://json"),
        ({"schema": {"$ref": "http://127.0.0.1:9/x"}}, "/schema: Resource 'http://127.0.0.1:9/x' is not present"),
        ({"schema": {"$ref": "#/nope"}}, "/schema: Pointer '/nope' does not exist"),
        ({"schema": {"properties": {"a": {"pattern": r"(a)\1"}}}}, "/schema/properties/a/pattern: "),
    ],
)
def test_a_fault_is_named_with_its_member_and_reason(changes, says):
    assert refusal(**changes).startswith(says)


def test_the_form_of_type_files_is_itself_a_valid_schema():
    Gate(json.loads(types.FORM.read_bytes()))
