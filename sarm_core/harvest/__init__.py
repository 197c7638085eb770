"""The parts of the harvest; `sarm_core.harvest.harvest` is the door."""
