"""Sliders, named steerings, and the strip that shows them on other pages."""
