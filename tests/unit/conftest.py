"""Settings of every unit test."""

from hypothesis import settings

# No test judges wall time: a busy machine is not a defect.
settings.register_profile("loadstone", deadline=None)
settings.load_profile("loadstone")
