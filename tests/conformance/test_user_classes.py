"""User classes of every sort, and how many users of each there are."""

from __future__ import annotations

import pytest

from support.threefold import PRELUDE, Threefold


@pytest.mark.conforms("`HttpUser`, `FastHttpUser` and both in one file", "equal")
def test_both_stock_clients(threefold: Threefold):
    source = (
        PRELUDE
        + """
class Slow(HttpUser):
    wait_time = few(5)

    @task
    def get(self):
        self.client.get("/slow-client")


class Fast(FastHttpUser):
    wait_time = few(5)

    @task
    def get(self):
        self.client.get("/fast-client")
"""
    )
    compared = threefold.compare(source, "-u", "4")
    compared.equal(requests=20).passed()
