"""Dialects by name: the ways in which collections speak.

Nothing outside of a dialect's modules knows a vendor's envelope. One more vendor with a known dialect is a type
file; one more dialect is a module here and a line in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.changes.dialects import data, items, jsonapi, scim, statuscode
from service.changes.dialects.codec import Dialect

DIALECTS: Mapping[str, Dialect] = {
    "data": data.Data(),
    "items": items.Items(),
    "jsonapi": jsonapi.JsonApi(),
    "scim": scim.Scim(),
    "statusCode": statuscode.StatusCode(),
}
