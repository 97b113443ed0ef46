"""The shipped scenario with more time to think, so that two thousand users fit beside the rest of a small machine."""

import locustfile
from locust import between


class Calm(locustfile.Client):
    """As the shipped user, who asks three times as often."""

    wait_time = between(2, 4)
