"""The services behind the streams: the Aggregator, which alone writes run folders, and the live page."""
