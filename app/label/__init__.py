"""The parts of the Label and Disagreements pages."""
