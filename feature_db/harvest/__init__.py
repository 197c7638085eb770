"""Taking in what a harvest found, whole or not at all."""
