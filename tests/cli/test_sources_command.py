from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(shell, unused_tcp_port):
    """A service with one source, at whose address nobody answers."""
    shutil.copytree(ROOT / "config", shell.directory / "config")
    (shell.directory / "config" / "sources" / "crm.toml").write_text(
        f'type = "agendize.account"\nurl = "http://127.0.0.1:{unused_tcp_port}"\ninterval = 3600\n'
        '[auth.headers]\napiKey = "env:CRM_KEY"\n'
    )
    with shell.serving(CRM_KEY="the-key", WATCH_EGRESS_ALLOW="127.0.0.0/8") as served:
        yield served


def test_sources_lists_their_sweeps_and_last_errors(shell, served):
    table = listed = ""
    for _ in range(200):
        table = shell.call("sources", WATCH_URL=served.url).stdout
        if "refused" in table:
            break
        time.sleep(0.02)
    assert "src_file_crm" in table
    assert "agendize.account" in table
    assert "connection refused by 127.0.0.1" in table
    assert "\x1b" not in table
    listed = shell.call("sources", "--json", "--url", served.url).stdout
    assert (
        shell.call("sources", "list", "--json", "--url", served.url).stdout.split('"nextSweep"')[0]
        == (listed.split('"nextSweep"')[0])
    )
    (source,) = map(json.loads, listed.splitlines())
    assert (source["id"], source["file"]) == ("src_file_crm", "crm.toml")
    assert source["secretsSet"] == ["/auth/headers/apiKey"]
    assert "the-key" not in listed


def test_a_source_is_paused_resumed_and_swept(shell, served):
    assert shell.call("sources", "pause", "src_file_crm", "--url", served.url).stdout == "paused src_file_crm\n"
    assert " paused " in shell.call("sources", "--url", served.url).stdout
    refused = shell.call("sources", "sweep", "src_file_crm", "--url", served.url)
    assert refused.returncode == 1
    assert "409" in refused.stderr
    assert "resume it first" in refused.stderr
    assert shell.call("sources", "resume", "src_file_crm", "--url", served.url).stdout == "resumed src_file_crm\n"
    assert shell.call("sources", "sweep", "src_file_crm", "--url", served.url).returncode == 0
    nothing = shell.call("sources", "confirm", "src_file_crm", "--url", served.url)
    assert nothing.returncode == 1
    assert "nothing to confirm" in nothing.stderr
    unknown = shell.call("sources", "pause", "src_no", "--url", served.url)
    assert "there is no source src_no" in unknown.stderr


def test_help_is_help(shell):
    shown = shell.call("sources", "--help")
    assert shown.returncode == 0
    for command in ("list", "pause", "resume", "sweep", "confirm"):
        assert command in shown.stdout
