"""A real InfluxDB for a test: Debian's 1.6.7 behind nginx, which maps the paths of the 2.x API that loadstone uses.

It stores, deduplicates and answers InfluxQL as 2.x does for what loadstone writes. It differs where the double
(support.faulty_influx) stands in: it keeps the good lines of a batch that it answers with 400, and takes any token.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import TYPE_CHECKING, Any, Self

from support.processes import ServerProcess, free_port, port_answers

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "loadstone"
QUERY_TIMEOUT_S = 60.0

INFLUXD_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "tsi1"
  query-log-enabled = false
  max-values-per-tag = 0
  max-series-per-database = 0
[coordinator]
  write-timeout = "30s"
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = 25000000
[continuous_queries]
  enabled = false
[logging]
  level = "warn"
"""

NGINX_CONF = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $arg_precision $v1prec {{ default n; ns n; us u; ms ms; s s; }}
  upstream influx {{ server 127.0.0.1:{influx_port}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    client_body_buffer_size 8m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location = /api/v2/write {{
      rewrite ^ /write?db=$arg_bucket&precision=$v1prec? break;
      proxy_pass http://influx;
    }}
    location = /health {{
      default_type application/json;
      return 200 '{{"name":"influxdb","status":"pass","message":"ready","checks":[],"version":"1.6.7"}}';
    }}
    location = /ready {{ default_type application/json; return 200 '{{"status":"ready"}}'; }}
    location / {{ proxy_pass http://influx; }}
  }}
}}
"""


class QueryError(RuntimeError):
    """InfluxDB refused a query; carries its reason."""


class InfluxServer:
    """InfluxDB and its gateway, stopped, killed and started together on the same ports with the same data.

    The database ``loadstone`` is there from the start; it is the bucket of the same name, in any organisation and with
    any token.
    """

    def __init__(self, influxd: Path, nginx: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.influx_port, rpc_port = free_port(), free_port(), free_port()
        influxd_conf, nginx_conf = folder / "influxd.conf", folder / "nginx.conf"
        influxd_conf.write_text(INFLUXD_CONF.format(folder=folder, port=self.influx_port, rpc_port=rpc_port))
        nginx_conf.write_text(NGINX_CONF.format(folder=folder, port=self.port, influx_port=self.influx_port))
        self.influxd = ServerProcess(
            [influxd, "-config", influxd_conf],
            log=folder / "influxd.log",
            ready=lambda: port_answers(self.influx_port),
        )
        self.gateway = ServerProcess(
            [nginx, "-p", folder, "-e", "stderr", "-c", nginx_conf],
            log=folder / "nginx.log",
            ready=lambda: port_answers(self.port),
        )

    @property
    def url(self) -> str:
        """The address that speaks the 2.x API, for ``--influx-url``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether both programs run."""
        return self.influxd.running and self.gateway.running

    def start(self) -> Self:
        """Start both, the first time with an empty database; data of an earlier start is there again."""
        self.influxd.start()
        self.create_database(DATABASE)
        self.gateway.start()
        return self

    def stop(self) -> None:
        """Stop both politely; connections are refused then."""
        self.gateway.stop()
        self.influxd.stop()

    def kill(self) -> None:
        """Kill both as a power cut would."""
        self.gateway.kill()
        self.influxd.kill()

    def restart(self) -> Self:
        """Stop both politely and start them again."""
        self.stop()
        return self.start()

    def create_database(self, name: str, keeps: str | None = None) -> None:
        """Create a database, which is a bucket of that name and ``keeps`` points that long; not if it is there."""
        retention = f" WITH DURATION {keeps}" if keeps else ""
        self._ask("POST", {"q": f'CREATE DATABASE "{name}"{retention}'})

    def query(self, query: str, db: str = DATABASE) -> list[dict[str, Any]]:
        """Run InfluxQL and return its rows: columns and tags by name, times as ns. QueryError if it is refused."""
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for series in self.series(query, db)
            for values in series["values"]
        ]

    def series(self, query: str, db: str = DATABASE, epoch: str = "ns") -> list[dict[str, Any]]:
        """Run InfluxQL and return its series as they are, with times in ``epoch``. QueryError if it is refused."""
        answer = self._ask("GET", {"q": query, "db": db, "epoch": epoch})
        return [series for result in answer["results"] for series in result.get("series", [])]

    def count(self, measurement: str, field: str, where: str = "", db: str = DATABASE) -> int:
        """Count the points of a measurement that have a field, and for which ``where`` (InfluxQL) holds."""
        condition = f" WHERE {where}" if where else ""
        rows = self.query(f'SELECT count("{field}") AS "n" FROM "{measurement}"{condition}', db)
        return int(rows[0]["n"]) if rows else 0

    def _ask(self, method: str, parameters: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.influx_port, timeout=QUERY_TIMEOUT_S)
        try:
            connection.request(method, "/query?" + urllib.parse.urlencode(parameters))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        reasons = [answer.get("error"), *(result.get("error") for result in answer.get("results", []))]
        if any(reasons):
            raise QueryError("; ".join(filter(None, reasons)))
        return answer

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
