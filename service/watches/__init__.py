"""Who is told, in which shape: registration, matching, templates."""
