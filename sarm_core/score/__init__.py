"""Answers to activations and rewards: encoding, the cache of what was encoded, files of scores."""
