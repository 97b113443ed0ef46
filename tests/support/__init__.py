"""Helpers of the tests: real servers that can be killed and restarted, counting and failing HTTP servers."""
