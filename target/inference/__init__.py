"""The system under test: an HTTP service that serves one model of an MLflow registry.

It is independent of loadstone and imports nothing from it. ``python -m inference train`` registers a small sample
model, and ``python -m inference serve`` serves the model that ``MODEL_URI`` names.
"""
