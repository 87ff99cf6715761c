"""The demo: the whole story in one process, told to a stranger.

    stage       the real service on a temporary database, a receiver beside it, and perhaps a vendor that is polled
    cast        who plays: casts/<type>.json, or specimens made from a schema
    faces       how they are written: through the vendor's own paths, or by a push
    script      what is written, and when
    receiver    the other side: takes callbacks and verifies them, as ``service.receiver`` does
    caller      the public HTTP API, which is all that the story uses
    story       what happens, scene by scene, and what has to come of it
    polled      the same of a directory that is polled
    outage      a receiver that fails for a while: how it is spared, told of, and made up to
    teller      what the scenes of all of these need
    screen      how it looks

Nothing here reaches into the service: what the demo can do, every client can.
"""
