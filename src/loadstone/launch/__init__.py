"""Starting, supervising and stopping everything that a load test needs on one machine."""
