"""How it gets there: rendering is done, so sign, authenticate, guard, send, settle, try again."""
