"""Grafana's foundation SDK, imported in one place.

On import it warns that a newer dashboard format exists; file provisioning does not accept that format yet.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        common,
        dashboard,
        heatmap,
        stat,
        table,
        text,
        timeseries,
        xychart,
    )
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common as common_models
    from grafana_foundation_sdk.models import dashboard as models
    from grafana_foundation_sdk.models import heatmap as heatmap_models
    from grafana_foundation_sdk.models import text as text_models
    from grafana_foundation_sdk.models import xychart as xychart_models

__all__ = [
    "Builder",
    "Dataquery",
    "JSONEncoder",
    "bargauge",
    "common",
    "common_models",
    "dashboard",
    "heatmap",
    "heatmap_models",
    "models",
    "register_default_plugins",
    "stat",
    "table",
    "text",
    "text_models",
    "timeseries",
    "xychart",
    "xychart_models",
]
