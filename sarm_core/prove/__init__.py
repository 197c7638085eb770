"""What a steering changes in a benchmark, and what else it changes."""
