"""What a user does: ask the inference API for a prediction, think, ask again. Edit this file, or bring your own.

The rows are varied but valid: they are drawn around the model's own input example, which the target shows under /info.
"""

import json
import random
from urllib.request import urlopen

from locust import between, events, task

from loadstone import LeanHttpUser

MOST_ROWS = 8
"""Up to this many rows are sent at once, one most often."""

model = {}


@events.test_start.add_listener
def learn_the_model(environment, **_):
    """Read the model's signature and example once per worker, outside of what is measured."""
    if environment.host:
        with urlopen(f"{environment.host}/info", timeout=10) as answer:
            model.update(json.load(answer))


def varied_row():
    """A row of the example with every number moved by up to a tenth."""
    example = random.choice(model["input_example"])
    types = {column["name"]: column["type"] for column in model["signature"]["inputs"]}
    return {name: varied(value, types.get(name, "")) for name, value in example.items()}


def varied(value, kind):
    """A value near this one, of the type that the signature names."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    moved = value * random.uniform(0.9, 1.1)
    return round(moved) if kind in {"integer", "long"} else round(moved, 6)


class Client(LeanHttpUser):
    """A program that asks for predictions, one row most of the time."""

    wait_time = between(0.5, 1.5)

    def on_start(self):
        """Prepare what all its requests have in common."""
        self.predict = self.client.prepare("POST", "/predict", headers={"Content-Type": "application/json"})

    @task(9)
    def one_row(self):
        """Predict one row."""
        self.predict(json.dumps({"inputs": varied_row()}).encode())

    @task(1)
    def many_rows(self):
        """Predict a handful of rows at once."""
        rows = [varied_row() for _ in range(random.randint(2, MOST_ROWS))]
        self.client.post("/predict", json={"inputs": rows}, name="/predict (many rows)")
