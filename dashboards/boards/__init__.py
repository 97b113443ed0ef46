"""loadstone's Grafana boards and alert rules as code; ``python -m boards`` writes their files.

All queries are InfluxQL and read the measurements that docs/reference/measurements.md describes.
"""
