"""The shipped scenario at the pace of the question that loadstone comes from: 10,000 users, 830 requests/s."""

import locustfile
from locust import constant


class Paced(locustfile.Client):
    """As the shipped user, who asks twelve times as often."""

    wait_time = constant(12)
