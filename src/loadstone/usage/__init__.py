"""UsageSampler: CPU, throttling and memory of containers and processes, once a second, into the stream `usage`."""
