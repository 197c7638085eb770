"""The parts of the Names by a model page."""
