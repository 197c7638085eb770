"""What a dictionary holds: whose names carry the reward; features that double, split, are dense or dead; two
compared."""
