"""What a person has open: the engine, the comparison, the steering, the link, who they are."""
