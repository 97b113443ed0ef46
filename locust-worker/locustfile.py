"""The scenario: each user requests a prediction, waits, and requests the next one. Edit this file or use your own.

Every request has different, valid rows: the values vary around the model's input example, which the target returns
from /info.
"""

import json
import random
from urllib.request import urlopen

from locust import between, events, task

from loadstone import LeanHttpUser

MOST_ROWS = 8
"""The most rows in one request; most requests have one row."""

model = {}


@events.test_start.add_listener
def learn_the_model(environment, **_):
    """Read the model's signature and example once per worker; this request is not recorded."""
    host = environment.host or next((user.host for user in environment.user_classes if user.host), None)
    if host:
        with urlopen(f"{host}/info", timeout=10) as answer:
            model.update(json.load(answer))


def varied_row():
    """Return a row of the example with every number changed by up to 10 %."""
    example = random.choice(model["input_example"])
    types = {column["name"]: column["type"] for column in model["signature"]["inputs"]}
    return {name: varied(value, types.get(name, "")) for name, value in example.items()}


def varied(value, kind):
    """Return a value close to the given one, of the type that the signature requires."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    changed = value * random.uniform(0.9, 1.1)
    return round(changed) if kind in {"integer", "long"} else round(changed, 6)


class Client(LeanHttpUser):
    """A client program that requests predictions."""

    wait_time = between(0.5, 1.5)

    def on_start(self):
        """Prepare the parts that all requests for one row share."""
        self.predict = self.client.prepare("POST", "/predict", headers={"Content-Type": "application/json"})

    @task(9)
    def one_row(self):
        """Predict one row."""
        self.predict(json.dumps({"inputs": varied_row()}).encode())

    @task(1)
    def many_rows(self):
        """Predict several rows in one request."""
        rows = [varied_row() for _ in range(random.randint(2, MOST_ROWS))]
        self.client.post("/predict", json={"inputs": rows}, name="/predict (many rows)")
