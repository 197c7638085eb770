"""Features in lists, on a map, and one by one."""
