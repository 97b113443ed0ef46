"""The compose stack: its secrets, its InfluxDB, and runs driven from outside."""
