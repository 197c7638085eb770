"""The steps that make a store what it is, one file each, in the order of their numbers."""
