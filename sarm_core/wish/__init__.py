"""Say which answers should win, and get the smallest steering that does it, with its price."""
