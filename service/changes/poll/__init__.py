"""Polling: an upstream API that has no webhooks is read again and again, and what is different is a change.

    source     what is polled: type, URL, credentials, how often
    spec       the same as a document: how clients see it, how it is stored
    form       from a client's document to a source, or every reason why not
    declared   sources from config/sources/*.toml
    keeper     keeping the sources: made, changed, paused, asked to sweep
    upstream   one page over HTTP: authorization, limits, what went wrong
    lenient    a page's JSON, when one value of it is none that can be kept
    records    the elements of a page as documents
    sweep      how far a sweep is, and what follows from what: pure
    turn       one process at work at one source, until there is nothing to do, or a reason to wait
    poller     whose turn it is, for as long as the service runs

A *sweep* is one reading of a source: a full one reads everything and may delete what it did not see, an
incremental one reads what was updated since. It goes from page to page, and where it is stands in the database
after each of them. Waiting (for a rate limit, for an upstream that is down, for the next interval) is a time in
the database, too: nothing is held meanwhile, and a process that is killed has nothing to lose.
"""
