"""The public face: routes as a table, handlers, middleware."""
