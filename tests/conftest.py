"""Hypothesis without deadlines: on a busy machine an example that is right may take its time."""

from hypothesis import settings

settings.register_profile("sarm", deadline=None, max_examples=60)
settings.load_profile("sarm")
