"""The Grafana boards of loadstone, as code: ``python -m boards`` writes ``dashboards/*.json``.

All queries are InfluxQL, on the measurements that docs/reference/measurements.md describes.
"""
