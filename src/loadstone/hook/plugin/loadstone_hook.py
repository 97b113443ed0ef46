"""Records every request of the scenario beside it: ``locust -f loadstone_hook.py,scenario.py``.

It is alone in its folder because Locust puts the folder of each Locust file on the import path.
"""

from locust import events

from loadstone.hook.import_guard import guard_scenarios, own_imports

with own_imports():
    from loadstone.hook.install import install

guard_scenarios()
install(events)
