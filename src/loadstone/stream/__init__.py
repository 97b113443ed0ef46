"""Batches, events and usage in and out of Redis or Valkey."""
