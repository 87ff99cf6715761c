from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from service import errors, vault

OLD = "the-old-key-with-more-than-32-characters"
NEW = "the-new-key-with-more-than-32-characters"


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_again(data):
    box = vault.Vault([OLD])
    assert box.open(box.seal(data)) == data


def test_the_sealed_text_does_not_show_the_secret_and_differs_each_time():
    box = vault.Vault([OLD])
    one, two = box.seal(b"hunter2"), box.seal(b"hunter2")
    assert "hunter2" not in one
    assert one != two
    assert one.isascii()


def test_the_same_text_opens_after_a_restart():
    assert vault.Vault([OLD]).open(vault.Vault([OLD]).seal(b"x")) == b"x"


def test_a_rotation_seals_with_the_first_key_and_opens_with_all():
    before = vault.Vault([OLD]).seal(b"before")
    rotated = vault.Vault([NEW, OLD])
    assert rotated.open(before) == b"before"
    after = rotated.seal(b"after")
    assert vault.Vault([NEW]).open(after) == b"after"
    with pytest.raises(vault.VaultError):
        vault.Vault([OLD]).open(after)


def test_another_key_is_refused_with_advice_and_without_the_key():
    token = vault.Vault([OLD]).seal(b"x")
    with pytest.raises(vault.VaultError, match="WATCH_SECRET_KEY") as caught:
        vault.Vault([NEW]).open(token)
    assert NEW not in str(caught.value)


@pytest.mark.parametrize("token", ["", "nonsense", "é", Fernet(Fernet.generate_key()).encrypt(b"x").decode()])
def test_a_damaged_token_is_refused(token):
    with pytest.raises(vault.VaultError):
        vault.Vault([OLD]).open(token)


@pytest.mark.parametrize("texts", [[], [""], ["x" * 31], [OLD, "short"]])
def test_a_short_text_is_refused_without_showing_it(texts):
    with pytest.raises(errors.ConfigError) as caught:
        vault.Vault(texts)
    assert not any(text and text in str(caught.value) for text in texts)


def test_a_text_of_32_characters_is_enough_whatever_its_script():
    assert vault.Vault(["ü" * 32]).seal(b"x")


def test_without_a_text_a_key_file_is_made_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "watch.db.key"
    first = vault.Vault.load((), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().strip()) >= 32
    assert vault.Vault.load((), path).open(first.seal(b"x")) == b"x"
    assert [entry.name for entry in tmp_path.iterdir()] == ["watch.db.key"]


def test_a_text_of_the_settings_goes_before_the_file_and_makes_none(tmp_path):
    path = tmp_path / "watch.db.key"
    token = vault.Vault.load([OLD], path).seal(b"x")
    assert vault.Vault([OLD]).open(token) == b"x"
    assert not path.exists()


def test_the_key_of_a_database_in_memory_dies_with_the_process():
    token = vault.Vault.load((), None).seal(b"x")
    with pytest.raises(vault.VaultError):
        vault.Vault.load((), None).open(token)


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX thing")
def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "watch.db.key"
    path.write_text(OLD)
    path.chmod(0o640)
    with pytest.raises(errors.ConfigError, match=r"0640.*chmod 600") as caught:
        vault.Vault.load((), path)
    assert OLD not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_a_key_file_without_a_usable_key_is_refused_by_name(tmp_path, content):
    path = tmp_path / "watch.db.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(errors.ConfigError, match=r"watch\.db\.key"):
        vault.Vault.load((), path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(errors.ConfigError, match="WATCH_SECRET_KEY"):
        vault.Vault.load((), tmp_path / "missing" / "watch.db.key")


def _seal_one(path: Path, gate, results) -> None:
    gate.wait()
    results.put(vault.Vault.load((), path).seal(b"x"))


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    path = tmp_path / "watch.db.key"
    fresh = multiprocessing.get_context("spawn")
    gate, results = fresh.Event(), fresh.Queue()
    workers = [fresh.Process(target=_seal_one, args=(path, gate, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    gate.set()
    tokens = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    box = vault.Vault.load((), path)
    assert [box.open(token) for token in tokens] == [b"x"] * 4
