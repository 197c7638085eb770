"""Data sets that people bring once: their rows, what is listed of them, slices, scores."""
