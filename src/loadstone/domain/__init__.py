"""The words of the platform as pure values: no I/O, no clock, no locust."""
