"""Who reaches whom in the stack: by the table in SECURITY.md, by the networks of the compose file, and by trying."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.compose_stack import ComposeStack, Containers

__all__ = ["NOTHING_LISTENS", "PORTS", "SCENARIOS", "addresses", "answers_to", "by_networks", "by_table", "by_trying"]

ROOT: Final = Path(__file__).resolve().parents[2]
PORTS: Final = {
    "mlflow": (5000,),
    "mlflow-server": (5000,),
    "target": (8000,),
    "balancer": (8000, 8404),
    "redis": (6379,),
    "locust-master": (5557, 8089),
    "collector": (8090,),
    "influxdb": (8086,),
    "grafana": (3000,),
    "cadvisor": (8080,),
    "s3": (8333,),
}
"""The ports on which services listen; a service that is not here has none."""
SCENARIOS: Final = ("locust-master", "locust-worker")
"""The services in which a scenario runs."""
NOTHING_LISTENS: Final = 9
"""The port `discard`: whoever is reached refuses it, which tells it from an address that nothing leads to."""
_ROW: Final = re.compile(r"^\| `([\w-]+)` \| (.*) \|$", re.MULTILINE)
_TRY: Final = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def answer(place):
    host, port = place
    try:
        socket.create_connection((host, port), 2).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "nothing"
    return "open"

places = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps(list(pool.map(answer, places))))
"""


def by_table() -> dict[str, set[str]]:
    """Source to ``service:port``, as SECURITY.md has them."""
    section = (ROOT / "SECURITY.md").read_text().partition("## Who reaches whom\n")[2].partition("\n## ")[0]
    return {source: set(re.findall(r"`([\w-]+:\d+)`", reached)) for source, reached in _ROW.findall(section)}


def by_networks() -> dict[str, set[str]]:
    """The same by the networks that services share: inside of one, Docker lets everybody reach everybody."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    networks = {name: set(service.get("networks", ())) for name, service in services.items()}
    return {
        source: {f"{name}:{port}" for name in PORTS if name != source and own & networks[name] for port in PORTS[name]}
        for source, own in networks.items()
    }


def by_trying(stack: ComposeStack, source: str, containers: Containers) -> set[str]:
    """Each ``service:port`` that a service reaches, by its name or an address; port 9: whether it reaches it at all.

    ``containers``: the running ones, of which the first of each service is tried.
    """
    places = [
        (f"{name}:{port}", (where, port))
        for name in containers.keys() - {source}
        for where in [name, *addresses(containers[name][0])]
        for port in (*PORTS.get(name, ()), NOTHING_LISTENS)
    ]
    answers = answers_to(stack, containers[source][0]["Id"], [place for _, place in places])
    return {what for what, place in places if answers[place] != "nothing"}


def answers_to(stack: ComposeStack, container: str, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """What a container gets from hosts and ports: ``open``, ``refused`` or ``nothing``.

    A helper in its network tries all of them at once: the container's own image may lack every tool.
    """
    image = f"{stack.settings['LOADSTONE_IMAGES']}/collector:0.1.0"
    command = ["run", "--rm", "--network", f"container:{container}", "--entrypoint", "python", image, "-c", _TRY]
    answers = json.loads(stack.engine.must(*command, json.dumps(places)))
    return dict(zip(places, answers, strict=True))


def addresses(about: dict[str, Any], key: str = "IPAddress") -> list[str]:
    """A container's addresses in its networks, or with ``Gateway`` those of the machine there."""
    return [network[key] for network in about["NetworkSettings"]["Networks"].values() if network[key]]
