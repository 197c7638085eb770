"""SQLite as the store uses it: schema, connections, numbers as blobs."""
