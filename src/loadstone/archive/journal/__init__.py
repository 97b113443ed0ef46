"""The journal: every entry of a run in order, checksummed and synced before it is acknowledged."""
