"""The live view of a run: one snapshot, the board that holds it, and the server of the live page."""
