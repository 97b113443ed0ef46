"""A nested task set that waits in a way of its own between tasks."""

from locust import HttpUser, TaskSet, task


class Visitor(HttpUser):
    @task
    class Pages(TaskSet):
        @task
        class Patient(TaskSet):
            @task
            def page(self):
                self.client.get("/page")

            def wait(self):
                self._sleep(0.1)
