"""The parts of the Label, Disagreements and People and data pages."""
