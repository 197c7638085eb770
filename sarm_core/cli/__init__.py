"""The command line: one command a file, listed in `parser.COMMANDS`; what it needs is imported when it runs."""
