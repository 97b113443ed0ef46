"""Finalizing a run: from its journal to Parquet, CSV and run.json."""
