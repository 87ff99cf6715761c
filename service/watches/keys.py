"""The crypto keys that a signature names: which can be named, and what naming one that was rotated means."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from service.delivery import sign, standard
from service.errors import FieldError
from service.model import CryptoKey, Signature

Keys = Mapping[str, CryptoKey]  # of the tenant, by their ids


def faults(form: Mapping[str, Any], keys: Keys) -> Iterator[FieldError]:
    """What is wrong with the keys that a ``signature`` names."""
    scheme = form.get("scheme", standard.NAME)
    for index, key_id in enumerate(form.get("cryptoKeyIds", ())):
        pointer, key = f"/signature/cryptoKeyIds/{index}", keys.get(key_id)
        if key is None:
            yield FieldError(pointer, "is the id of no crypto key: see /api/v1/cryptoKeys")
        elif _head(key, keys).expires is not None:
            yield FieldError(pointer, "is a key that was rotated, and its successor is deleted: name another")
        elif key.algorithm not in sign.ALGORITHMS[scheme]:
            yield FieldError(pointer, f"is a key for {key.algorithm}, with which scheme {scheme} cannot sign")


def successors(signature: Signature, keys: Keys) -> tuple[Signature, list[FieldError]]:
    """The same signature with the successor of each key that was rotated, and a warning for each of those."""
    heads = {key_id: _head(keys[key_id], keys).id for key_id in signature.crypto_key_ids}
    warnings = [
        FieldError(f"/signature/cryptoKeyIds/{index}", f"{key_id} was rotated: its successor {head} is named instead")
        for index, (key_id, head) in enumerate(heads.items())
        if key_id != head
    ]
    return dataclasses.replace(signature, crypto_key_ids=tuple(dict.fromkeys(heads.values()))), warnings


def _head(key: CryptoKey, keys: Keys) -> CryptoKey:
    while key.successor is not None and key.successor in keys:
        key = keys[key.successor]
    return key
