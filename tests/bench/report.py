"""What is printed: a table for people, JSON for programs, and the facts of the machine that figures depend on."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

Samples = Mapping[str, Sequence[float]]

PACKAGES = ("aiohttp", "aiosqlite", "orjson", "uvloop")


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    name: str  # in the JSON, and in what scenarios give
    label: str
    unit: str
    digits: int = 0


FIGURES = (
    Figure("ceiling", "ceiling C: bare client, nothing stored", "posts/s"),
    Figure("accepted", "changes accepted, no watch", "changes/s"),
    Figure("accepted_to_ceiling", "", "of C", 2),
    Figure("whole", "whole path, one watch: written, called back, logged", "deliveries/s"),
    Figure("whole_to_ceiling", "", "of C", 2),
    Figure("whole_written", "  written meanwhile", "changes/s"),
    Figure("whole_settled_after_ms", "  last callback to last line of the log", "ms", 1),
    Figure("whole_commits", "  commits per 1,000 deliveries", "", 1),
    Figure("drain", "drain: changes with ten watches each, after a restart", "deliveries/s"),
    Figure("drain_to_ceiling", "", "of C", 2),
    Figure("drain_queued", "  queued before", "deliveries/s"),
    Figure("drain_commits", "  commits per 1,000 deliveries", "", 1),
    Figure("latency_rate", "change to callback, open loop at half of the whole path", "changes/s"),
    Figure("latency_p50", "  p50", "ms", 2),
    Figure("latency_p99", "  p99", "ms", 2),
    Figure("latency_most", "  longest", "ms", 2),
    Figure("latency_commits", "  commits per 1,000 deliveries", "", 1),
    Figure("fan_out", "one change for as many watches as there are changes above", "deliveries/s"),
    Figure("fan_out_answered_ms", "  the call that caused it was answered after", "ms", 1),
    Figure("fan_out_neighbour_calm", "  another tenant's change to callback before: p50", "ms", 2),
    Figure("fan_out_neighbour_p50", "  meanwhile: p50", "ms", 2),
    Figure("fan_out_neighbour_most", "  longest", "ms", 2),
    Figure("fan_out_grew", "  growth of the service's peak memory", "MB", 1),
    Figure("fair_alone", "to 50 healthy receivers, closed loop", "deliveries/s"),
    Figure("fair_beside", "  beside one silent, one trickling, one resetting", "deliveries/s"),
    Figure("fair_rate", "  that is", "of the rate alone", 2),
    Figure("fair_p99_alone", "  change to callback at half of the rate alone: p99", "ms", 1),
    Figure("fair_p99_beside", "  beside the three: p99", "ms", 1),
    Figure("fair_p99", "  that is", "of the p99 alone", 2),
    Figure("whole_rss", "resident memory of the service after the whole path", "MB", 1),
    Figure("whole_peak", "  peak", "MB", 1),
    Figure("drain_rss", "resident memory of the service after the drain", "MB", 1),
    Figure("drain_peak", "  peak", "MB", 1),
    Figure("ceiling_client_us", "CPU of a post (ceiling): client", "us", 1),
    Figure("ceiling_receiver_us", "  receiver", "us", 1),
    Figure("accepted_service_us", "CPU of a change accepted: service", "us", 1),
    Figure("accepted_loop_us", "  of that, its event loop", "us", 1),
    Figure("accepted_writer_us", "  writer", "us", 1),
    Figure("whole_service_us", "CPU of a change delivered (whole path): service", "us", 1),
    Figure("whole_loop_us", "  of that, its event loop", "us", 1),
    Figure("whole_receiver_us", "  receiver", "us", 1),
    Figure("whole_writer_us", "  writer", "us", 1),
    Figure("drain_service_us", "CPU of a delivery (drain): service", "us", 1),
    Figure("drain_loop_us", "  of that, its event loop", "us", 1),
    Figure("drain_receiver_us", "  receiver", "us", 1),
    Figure("latency_service_us", "CPU of a change delivered (at half load): service", "us", 1),
    Figure("strangers", "share of the machine taken by other processes", "%", 1),
    Figure("sync_p50", "making 4 KiB durable: p50", "ms", 2),
    Figure("sync_p99", "  p99", "ms", 2),
)


def machine() -> dict[str, object]:
    """What the figures depend on besides the code."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in PACKAGES},
    }


def show(samples: Samples, facts: Mapping[str, object], console: Console) -> None:
    """The table: each figure's median, and the range that it was in."""
    title = ", ".join(f"{name} {value}" for name, value in facts.items())
    table = Table("", *("min", "median", "max", ""), title=title, title_justify="left", box=None)
    for column in table.columns[1:4]:
        column.justify = "right"
    for figure in FIGURES:
        if values := samples.get(figure.name):
            least, middle, most = (f"{value:,.{figure.digits}f}" for value in _range(values))
            table.add_row(figure.label, least, f"[bold]{middle}[/]", most, figure.unit)
    console.print(table)


def data(samples: Samples, facts: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    """The same as JSON."""
    figures = {}
    for figure in FIGURES:
        if values := samples.get(figure.name):
            least, middle, most = _range(values)
            figures[figure.name] = {
                "unit": figure.unit,
                "min": least,
                "median": middle,
                "max": most,
                "samples": [*values],
            }
    return {"machine": dict(facts), "settings": dict(settings), "figures": figures}


def console() -> Console:
    """Where the table goes: standard output, or standard error beside JSON."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120)


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)
