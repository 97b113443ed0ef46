"""The compose stack: its secrets, its InfluxDB, and runs started in it from outside."""
