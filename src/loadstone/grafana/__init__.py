"""Boards, data source and run annotations in a user's own Grafana, through its HTTP API."""
