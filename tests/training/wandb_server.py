"""A stand-in for W&B's server; `history` holds the rows, `runs` the run ids that reached it."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = {"id": "e", "name": "us"}
PROJECT = {"id": "p", "name": "prospero", "entity": ENTITY}


class WandbServer(ThreadingHTTPServer):
    """Answers at `url` until `shutdown`; with `key_is_good` False every question is refused."""

    daemon_threads = True

    def __init__(self, *, key_is_good: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key_is_good = key_is_good
        self.history: list[dict[str, Any]] = []
        self.runs: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def die(self) -> None:
        """Stop answering, as a machine that is switched off; once more does nothing."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"
        if not self.path.endswith(("/graphql", "/file_stream")):  # telemetry, in a format of its own
            self._answer(200, {})
            return
        body = json.loads(gzip.decompress(sent) if self.headers.get("Content-Encoding") == "gzip" else sent)
        if not self.server.key_is_good:
            self._answer(401, {"errors": [{"message": "user is not logged in"}]})
        elif self.path.endswith("/file_stream"):
            self.server.runs.add(self.path.split("/")[-2])
            rows = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history += [json.loads(row) for row in rows]
            self._answer(200, {"exitcode": None, "limits": {}})
        else:
            self._answer(200, {"data": _data(body, self.server.url)})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(200, {})

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _data(body: dict[str, Any], url: str) -> dict[str, Any]:
    """The answer to a GraphQL question, by what it asks for."""
    query, given = body.get("query", ""), body.get("variables") or {}
    if "upsertBucket" in query:
        bucket = {"id": "b", "name": given.get("name"), "displayName": given.get("displayName"), "description": None,
                  "config": "{}", "sweepName": None, "project": PROJECT, "historyLineCount": 0}  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}
    if "createRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{url}/{name}"} for name in given.get("files", [])]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
    if "viewer" in query.lower():
        return {"viewer": {"id": "v", "entity": "us", "username": "us", "flags": "{}", "teams": {"edges": []}},
                "serverInfo": {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}}  # fmt: skip
    if "serverInfo" in query:
        return {"serverInfo": {"features": [], "cliVersionInfo": {}}}
    if "bucket" in query:
        return {"model": {"id": "m", "name": "prospero", "entity": ENTITY, "bucket": None}}
    return {}
