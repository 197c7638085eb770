"""Features as the store knows them: lists, examples, names, search."""
