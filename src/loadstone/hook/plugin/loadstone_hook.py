"""Records every request of the scenario beside it: ``locust -f loadstone_hook.py,scenario.py``.

It is alone in its folder because Locust puts the folder of each Locust file on the import path.
"""

from locust import events

from loadstone.hook.install import install

install(events)
