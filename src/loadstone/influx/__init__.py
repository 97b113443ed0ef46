"""Everything that knows InfluxDB: encoding points, delivering them, and the ledger of what was stored. Optional."""
