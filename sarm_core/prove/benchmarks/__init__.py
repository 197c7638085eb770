"""Benchmarks over one encoded matrix: readers, scores, and what a steering changed."""
