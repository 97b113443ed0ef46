"""Boards, data source and runs in somebody's own Grafana, over its HTTP API."""
