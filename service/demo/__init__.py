"""The demo: the whole story in one process, told to a stranger.

    script      who plays, and what they write: accounts, or samples of any type
    stage       the real service on a temporary database, with a receiver beside it
    receiver    the other side: takes callbacks and verifies them, as a customer's own code would
    caller      the public HTTP API, which is all that the story uses
    story       what happens, scene by scene, and what has to come of it
    screen      how it looks

Nothing here reaches into the service: what the demo can do, every client can.
"""
