"""A Locust file with web routes of its own, which counts what happens to its master. Tests give it to Locust by path.

`/effects` shows the counts. `/mine` is a POST route of the scenario, and `/plugin` one of a blueprint, as plugins make
them. With ``--web-login`` there is one user, "ann", whose password is "right".
"""

from collections import Counter

from flask import Blueprint, jsonify, redirect, request, url_for
from flask_login import UserMixin, login_user
from locust import User, constant, events, task

EFFECTS = Counter()


class Idle(User):
    wait_time = constant(0.2)

    @task
    def nothing(self):
        self.environment.events.request.fire(
            request_type="X", name="nothing", response_time=1, response_length=0, exception=None, context={}
        )


class Ann(UserMixin):
    id = "ann"


def log_in():
    if request.form["username"] == Ann.id and request.form["password"] == "right":
        login_user(Ann())
    return redirect(url_for("locust.index"))


def add_login(web_ui):
    web_ui.app.secret_key = "of a test"
    web_ui.login_manager.user_loader(lambda name: Ann() if name == Ann.id else None)
    web_ui.auth_args = {"username_password_callback": "/log_in"}
    web_ui.app.add_url_rule("/log_in", view_func=log_in, methods=["POST"])


@events.init.add_listener
def add_routes(environment, **_):
    if environment.web_ui is None:
        return
    app, plugin = environment.web_ui.app, Blueprint("plugin", __name__)
    if environment.web_ui.web_login:
        add_login(environment.web_ui)

    @app.route("/effects")
    def effects():
        return jsonify({**EFFECTS, "state": environment.runner.state, "users": environment.runner.user_count})

    @app.route("/mine", methods=["POST", "PUT", "DELETE"])
    def mine():
        EFFECTS["mine"] += 1
        return "done", 200, {"Access-Control-Allow-Origin": "*"}

    @plugin.route("/plugin", methods=["POST"])
    def plugged():
        EFFECTS["plugin"] += 1
        return "done"

    app.register_blueprint(plugin)


def count(name):
    return lambda **_: EFFECTS.update([name])


events.test_start.add_listener(count("started"))
events.test_stop.add_listener(count("stopped"))
events.reset_stats.add_listener(count("reset"))
