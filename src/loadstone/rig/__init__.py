"""Rigs: ways to give a target limits and replicas, and to read back what holds."""
