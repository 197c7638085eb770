"""The parts of the Dictionary page."""
