"""How a change comes to be: types and their dialects, pure operations, detection, intake."""
