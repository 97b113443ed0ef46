"""The shipped scenario with so much time to think that two cores carry ten thousand users and the stack around them."""

import locustfile
from locust import constant


class Patient(locustfile.Client):
    """As the shipped user, who asks 25 times as often: ten thousand of them ask 400 times a second."""

    wait_time = constant(25)
