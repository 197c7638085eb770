"""The commands of `python -m feature_db`, one file each: `add` gives it to the parser, `run` does it."""
