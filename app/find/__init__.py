"""The parts of the Find features page."""
