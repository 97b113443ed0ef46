"""Starting and stopping everything a load test needs on one machine."""
