"""The parts of the Runs page, and how other pages keep a run and open it again."""
