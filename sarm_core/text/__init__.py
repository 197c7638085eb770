"""Texts before any model sees them: rows, conversations, sentences, rewrites, traits."""
