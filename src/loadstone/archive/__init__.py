"""Run folders: the journal while a run lasts, Parquet, CSV and run.json when it is over."""
