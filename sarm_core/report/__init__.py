"""The parts of the HTML report: reading its inputs, words, charts, sections."""
