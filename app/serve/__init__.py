"""What the server does before a script of a page runs."""
