"""A load shape of two stages, tags and an argument of its own."""

from locust import HttpUser, LoadTestShape, constant, events, tag, task


@events.init_command_line_parser.add_listener
def add_argument(parser):
    parser.add_argument("--page", default="/default", help="which page is asked for")


class Reader(HttpUser):
    wait_time = constant(0.1)

    @tag("wanted")
    @task
    def page(self):
        self.client.get(self.environment.parsed_options.page)

    @tag("unwanted")
    @task
    def other(self):
        self.client.get("/unwanted")


class Stages(LoadTestShape):
    def tick(self):
        at = self.get_run_time()
        if at < 2:
            return 2, 10
        return (6, 10) if at < 4.5 else None
