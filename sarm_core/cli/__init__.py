"""Options of the subcommands; what they do is imported when one runs, so that --help needs no torch."""
