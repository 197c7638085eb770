"""The parts of the harvest; `sarm_core.harvest` is the door."""
