"""The parts of the Watch page: runs below the folders that are allowed, a watch for all sessions, charts and texts."""
