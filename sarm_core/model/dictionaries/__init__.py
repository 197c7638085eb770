"""Public dictionaries: sparse autoencoders in the formats of the packages that trained them, one file a format."""
