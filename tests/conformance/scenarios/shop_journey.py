"""A shop visited step by step: the login form's CSRF token, a cookie session, a basket, a checkout, and the way out."""

import re

from locust import HttpUser, SequentialTaskSet, task
from rounds import few

TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]+)"')


class Journey(SequentialTaskSet):
    def on_start(self):
        page = self.client.get("/login")
        self.token = TOKEN.search(page.text).group(1)
        form = {"username": "ada", "password": "secret", "csrf_token": self.token}
        with self.client.post("/login", data=form, catch_response=True, allow_redirects=True) as answer:
            if "Welcome" not in answer.text:
                answer.failure("no welcome after the login")
                self.interrupt()

    @task
    def browse(self):
        for item in (3, 4):
            self.client.get(f"/items/{item}", name="/items/[id]")

    @task
    class Basket(SequentialTaskSet):
        @task
        def put(self):
            headers = {"X-CSRF-Token": self.parent.token, "Referer": f"{self.user.host}/items/3"}
            self.client.post("/basket", json={"item": 3}, headers=headers)

        @task
        def look(self):
            self.client.get("/basket")
            self.interrupt(reschedule=False)

    @task
    def pay_without_a_token(self):
        with self.client.post("/checkout", json={}, catch_response=True) as answer:
            if answer.status_code == 403:
                answer.success()
            else:
                answer.failure("paid without a token")

    @task
    def leave(self):
        self.client.get("/logout")
        self.interrupt()


class Shopper(HttpUser):
    wait_time = few(10)
    tasks = [Journey]
