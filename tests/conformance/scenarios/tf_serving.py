"""TensorFlow Serving's REST API: status of a model, and predictions by rows and by columns."""

import random

from locust import FastHttpUser, tag, task
from rounds import few

MODEL = "/v1/models/iris"
RANGES = [(4.3, 7.9), (2.0, 4.4), (1.0, 6.9), (0.1, 2.5)]


class PredictUser(FastHttpUser):
    wait_time = few(6)
    connection_timeout = network_timeout = 10.0

    def on_start(self):
        with self.rest("GET", MODEL) as response:
            if response.js["model_version_status"][0]["state"] != "AVAILABLE":
                response.failure("the model is not available")

    def rows(self, count):
        return [[round(random.uniform(*limits), 1) for limits in RANGES] for _ in range(count)]

    @tag("rows")
    @task
    def predict_rows(self):
        count = random.choice([1, 8])
        with self.rest("POST", f"{MODEL}:predict", json={"instances": self.rows(count)}) as response:
            if response.js and len(response.js["predictions"]) != count:
                response.failure(f"{len(response.js['predictions'])} predictions for {count} rows")
