"""Tasks of every sort; all kinds are user classes of one file, with one user each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

pytestmark = pytest.mark.xdist_group("tasks")
KINDS: dict[str, str] = {}


def kind(path: str, source: str) -> str:
    """Add a kind whose requests all go to paths that begin with ``path``."""
    KINDS[path] = source
    return path


@pytest.fixture(scope="module")
def compared(threefold_of_module: Threefold) -> Comparison:
    """The one run of all kinds each way."""
    return threefold_of_module.compare(PRELUDE + "".join(KINDS.values()), "-u", str(len(KINDS)))


def test_the_file_with_all_kinds_passes(compared: Comparison):
    compared.equal().passed()


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        pytest.param(
            kind(
                "/sequential",
                """
class Sequential(HttpUser):
    fixed_count = 1
    wait_time = few(6)

    @task
    class Steps(SequentialTaskSet):
        @task
        def first(self):
            self.client.get("/sequential/1")

        @task
        class Second(SequentialTaskSet):
            @task
            def inner(self):
                self.client.get("/sequential/2/1")

            @task
            def leave(self):
                self.client.get("/sequential/2/2")
                self.interrupt()

        @task
        def third(self):
            self.client.get("/sequential/3")
""",
            ),
            8,
            marks=pytest.mark.conforms("`SequentialTaskSet`, with another one inside of it", "equal"),
        ),
        pytest.param(
            kind(
                "/nested",
                """
class Nested(HttpUser):
    fixed_count = 1
    wait_time = few(7)

    def on_start(self):
        self.entered = 0

    @task
    class Outer(TaskSet):
        def on_start(self):
            self.client.get("/nested/outer/start")

        def on_stop(self):
            self.client.get("/nested/outer/stop")

        @task
        class Inner(TaskSet):
            def on_start(self):
                self.user.entered += 1

            @task
            def get(self):
                self.client.get(f"/nested/inner?{self.user.entered}", name="/nested/inner")
                if self.user.entered % 2:
                    self.interrupt(reschedule=False)
                self.interrupt()
""",
            ),
            15,
            marks=pytest.mark.conforms("nested `TaskSet`s with `interrupt()`, with and without `reschedule`", "equal"),
        ),
        pytest.param(
            kind(
                "/weights",
                """
class Weighted(HttpUser):
    fixed_count = 1
    wait_time = few(20)

    def on_start(self):
        import random

        self.random = random.Random(7)

    def visit(self):
        self.client.get(f"/weights/{self.random.randrange(4)}")

    def page(self):
        self.client.get("/weights/page")

    tasks = {visit: 3, page: 0}
""",
            ),
            20,
            marks=pytest.mark.conforms("`tasks` as a dict with weights, one of them 0", "equal"),
        ),
        pytest.param(
            kind(
                "/list",
                """
def visit(user):
    user.client.get("/list")


class Listed(HttpUser):
    fixed_count = 1
    wait_time = few(4)
    tasks = [visit]
""",
            ),
            4,
            marks=pytest.mark.conforms("`tasks` as a list of functions", "equal"),
        ),
        pytest.param(
            kind(
                "/life",
                """
class Living(HttpUser):
    fixed_count = 1
    wait_time = few(3)

    def on_start(self):
        self.client.get("/life/start")

    def on_stop(self):
        self.client.get("/life/stop")

    @task
    def get(self):
        self.client.get("/life")
""",
            ),
            5,
            marks=pytest.mark.conforms("requests in `on_start` and `on_stop` of a user", "equal"),
        ),
        pytest.param(
            kind(
                "/set-life",
                """
class LivingSet(HttpUser):
    fixed_count = 1
    wait_time = few(3)

    @task
    class Pages(TaskSet):
        def on_start(self):
            self.client.get("/set-life/start")

        def on_stop(self):
            self.client.get("/set-life/stop")

        @task
        def get(self):
            self.client.get("/set-life")
""",
            ),
            5,
            marks=pytest.mark.conforms("requests in `on_start` and `on_stop` of a `TaskSet`", "equal"),
        ),
        pytest.param(
            kind(
                "/reschedule",
                """
from locust.exception import RescheduleTask, RescheduleTaskImmediately


class Rescheduling(HttpUser):
    fixed_count = 1
    wait_time = few(3)
    tries = 0

    @task
    def get(self):
        self.tries += 1
        self.client.get("/reschedule")
        if self.tries % 2:
            raise RescheduleTaskImmediately
        raise RescheduleTask
""",
            ),
            6,
            marks=pytest.mark.conforms("`RescheduleTask` and `RescheduleTaskImmediately` raised by a task", "equal"),
        ),
        pytest.param(
            kind(
                "/stop-user",
                """
from locust.exception import StopUser


class Stopping(HttpUser):
    fixed_count = 1
    visits = 0

    @task
    def get(self):
        self.client.get("/stop-user")
        self.visits += 1
        if self.visits == 8:
            raise StopUser
""",
            ),
            8,
            marks=pytest.mark.conforms("`StopUser` after a number of tasks, no wait time", "equal"),
        ),
        pytest.param(
            kind(
                "/scheduled",
                """
class Scheduling(HttpUser):
    fixed_count = 1
    wait_time = few(4)

    @task
    class Pages(TaskSet):
        @task
        def get(self):
            self.client.get("/scheduled")
            self.schedule_task(self.more, first=True)

        def more(self):
            self.client.get("/scheduled/more")
""",
            ),
            4,
            marks=pytest.mark.conforms("`schedule_task` in a task", "equal"),
        ),
        pytest.param(
            kind(
                "/spawned",
                """
from gevent.pool import Group


class Spawning(HttpUser):
    fixed_count = 1
    wait_time = few(2)

    @task
    def page(self):
        group = Group()
        for number in range(4):
            group.spawn(self.client.get, f"/spawned/{number}")
        group.join()
""",
            ),
            8,
            marks=pytest.mark.conforms("greenlets that a task starts, with requests at the same time", "equal"),
        ),
        pytest.param(
            kind(
                "/markov",
                """
class Markov(HttpUser):
    fixed_count = 1
    wait_time = few(6)

    @task
    class Chain(MarkovTaskSet):
        @transition("two")
        def one(self):
            self.client.get("/markov/1")

        @transition("three")
        def two(self):
            self.client.get("/markov/2")

        @transition("one")
        def three(self):
            self.client.get("/markov/3")
""",
            ),
            6,
            marks=pytest.mark.conforms("`MarkovTaskSet`", "equal"),
        ),
        pytest.param(
            kind(
                "/inherited",
                """
class Base(HttpUser):
    abstract = True
    wait_time = few(4)

    @task
    def get(self):
        self.client.get(self.path)


class Mixed:
    path = "/inherited"


class Derived(Mixed, Base):
    fixed_count = 1
""",
            ),
            4,
            marks=pytest.mark.conforms("an abstract base class, a mixin, and tasks that are inherited", "equal"),
        ),
    ],
)
def test_a_kind_of_task(compared: Comparison, path: str, requests: int):
    compared.equal_below(path, requests=requests)
