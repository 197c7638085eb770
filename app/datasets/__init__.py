"""The parts of the Data sets page, and what other pages take from it."""
