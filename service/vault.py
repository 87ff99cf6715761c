"""Secrets at rest: what the database holds of a credential is ciphertext.

The encryption key is derived from the operator's text by HKDF-SHA256 (RFC 5869), the cipher is Fernet
(AES-128-CBC and HMAC-SHA256, authenticated). Several texts rotate: the first one seals, all of them open.
Without a text, one is made and kept in a file beside the database, for its owner's eyes only.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service import config, errors

_PURPOSE = b"webhook-watch: secrets at rest, version 1"


class VaultError(errors.WatchError):
    """A sealed secret does not open: it was sealed with another key, or it is damaged."""

    code, status, title = "vaultError", 500, "A stored secret cannot be opened"
    ADVICE: ClassVar[str] = (
        "a stored secret does not open with any of the keys in WATCH_SECRET_KEY (or the key file beside the "
        "database): after a rotation, keep the former key behind the new one, separated by a comma"
    )


class Vault:
    """Seals secrets before they are stored and opens them afterwards."""

    def __init__(self, texts: Sequence[str]) -> None:
        if not texts:
            raise errors.ConfigError("secret.key: at least one text is needed to derive the encryption key from")
        if any(len(text) < config.MIN_SECRET_KEY for text in texts):
            raise errors.ConfigError(f"secret.key: each text must have at least {config.MIN_SECRET_KEY} characters")
        self._fernet = MultiFernet([Fernet(_derive(text)) for text in texts])

    @classmethod
    def load(cls, texts: Sequence[str], key_file: Path | None) -> Vault:
        """The vault of the settings' texts; without any, of the key file, which is made if it is missing.

        Without a file either (a database in memory), the key lives as long as the process.

        Raises:
            errors.ConfigError: a text is too short, or the key file cannot be made, cannot be read, or can be
                read by others.
        """
        if texts:
            return cls(texts)
        if key_file is None:
            return cls([_new_text()])
        try:
            if not key_file.exists():
                _create(key_file)
            text = _read(key_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            advice = "set WATCH_SECRET_KEY, or let the service write beside the database"
            raise errors.ConfigError(f"{key_file}: the key file cannot be used ({reason}): {advice}") from error
        if len(text) < config.MIN_SECRET_KEY:
            raise errors.ConfigError(f"{key_file}: the key in it must have at least {config.MIN_SECRET_KEY} characters")
        return cls([text])

    def seal(self, data: bytes) -> str:
        """Encrypted with the first key, as ASCII text; twice the same data gives two different texts."""
        return self._fernet.encrypt(data).decode("ascii")

    def open(self, token: str) -> bytes:
        """What ``seal`` was given, under whichever key it was sealed.

        Raises:
            VaultError: no key fits, or the text was altered.
        """
        try:
            return self._fernet.decrypt(token.encode("ascii", "replace"))
        except InvalidToken:
            raise VaultError(VaultError.ADVICE) from None


def _derive(text: str) -> bytes:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(text.encode())
    return base64.urlsafe_b64encode(key)


def _create(path: Path) -> None:
    """Write a new key file: complete and on disk before it has its name, and never over another one.

    A hard link takes the name only if it is free, so of two processes that start at once one wins and both
    read the winner's key; a crash in between leaves no half-written key behind.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_new_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise errors.ConfigError(
                f"{path}: the key file can be read by others (mode {mode:04o}): run chmod 600 on it, "
                "and replace the key if anyone may have seen it"
            )
        return file.read().strip()


def _new_text() -> str:
    return secrets.token_urlsafe(48)
