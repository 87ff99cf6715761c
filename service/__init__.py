"""Webhook Watch: telling other systems when an account or a user changes.

A change walks through the package one way:

    changes    a write becomes a change, or nothing: types, dialects, detection, intake
    watches    who is told, in which shape: registration, matching, templates
    delivery   how it gets there: signing, authentication, egress guard, retries, the dispatcher
    journal    what happened: the delivery log, its event stream, its retention

``store`` lies below all of them (one store, thin drivers, SQL beside its typed methods); ``api`` and
``cli`` stand above; ``app`` puts one running service together. ``receiver`` is the other side, which the demo and
``listen`` play. ``model``, ``errors``, ``config``, ``ids``, ``clock`` and ``jsontext`` are the words that everything
shares. No import runs back up.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("webhook-watch")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
