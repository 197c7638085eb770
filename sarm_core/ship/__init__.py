"""The changed model to take away: exports, and the check that they score alike."""
