"""One nginx process that answers every request with the same small JSON: the server of benchmarks and nginx tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.processes import ServerProcess, free_port, port_answers

if TYPE_CHECKING:
    from pathlib import Path

ANSWER: Final = '{"prediction": 42.123456, "model": "forest", "version": 7}'
CONFIGURATION: Final = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 25000; }}
http {{
  access_log off; keepalive_timeout {keepalive}; keepalive_requests {per_connection}; gzip_types text/plain;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; client_max_body_size 1m;
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    root {folder}/www;
    location /files/ {{ gzip on; gzip_min_length 1; }}
    location /moved/ {{ return 302 /files/plain.txt; }}
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""


class NginxServer(ServerProcess):
    """A fresh nginx; `/files/` is the folder `www/files`, gzipped on request, `/moved/` redirects to a file in it."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        core: int | None = None,
        keepalive: str = "3600s",
        per_connection: int = 10**9,
    ) -> None:
        (folder / "www" / "files").mkdir(parents=True)
        (folder / "www" / "files" / "plain.txt").write_text("a line of text\n" * 500)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"folder": folder, "port": self.port, "keepalive": keepalive, "per_connection": per_connection}
        (folder / "nginx.conf").write_text(CONFIGURATION.format(**settings, answer=ANSWER))
        command: list[str | Path] = [binary, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
        pinned: list[str | Path] = [] if core is None else ["taskset", "-c", str(core)]
        super().__init__([*pinned, *command], log=folder / "nginx.log", ready=lambda: port_answers(self.port))
