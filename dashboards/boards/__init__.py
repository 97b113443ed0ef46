"""The Grafana boards and alert rules of loadstone, as code; ``python -m boards`` writes their files.

All queries are InfluxQL, on the measurements that docs/reference/measurements.md describes.
"""
