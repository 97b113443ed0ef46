"""loadstone: distributed load tests whose every request is kept and whose numbers can be trusted."""

__version__ = "0.1.0"
