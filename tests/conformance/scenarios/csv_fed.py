"""Users that take their names and queries from a CSV file beside this one, each row once and then from the top."""

import csv
from itertools import cycle
from pathlib import Path
from urllib.parse import urlencode

from locust import HttpUser, events, task
from rounds import few

ROWS = cycle(list(csv.DictReader(Path(__file__).with_name("people.csv").open(encoding="utf-8"))))
searched = []


@events.test_start.add_listener
def forget(**_kwargs):
    searched.clear()


class Searcher(HttpUser):
    wait_time = few(5)

    def on_start(self):
        self.person = next(ROWS)
        self.client.headers["X-User"] = self.person["user"]

    @task
    def search(self):
        query = urlencode({"q": self.person["query"], "page": len(searched)})
        searched.append(query)
        self.client.get(f"/search?{query}", name=f"/search {self.person['user']}")
