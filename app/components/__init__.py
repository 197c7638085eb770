"""Streamlit components: a Python door, its script and its style in one folder each."""
