"""The services behind the streams: the Aggregator, which alone writes run folders, and the live page."""

from loadstone.hook.import_guard import prefer_installed

prefer_installed()  # before anything else is imported
