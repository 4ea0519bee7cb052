"""A stand-in for W&B's server: it keeps what the client sends, and answers what the client asks."""

import gzip
import json
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = {"id": "e", "name": "us"}
PROJECT = {"id": "p", "name": "prospero", "entity": ENTITY}
USER = {"name": "us", "username": "us"}


class WandbServer(ThreadingHTTPServer):
    """Answers at `url` until `die`; with `key_is_good` False every question is refused, with `hangs` no table is taken.

    With `keeps_tags` the tags of a run stay as they are.
    `history` holds the rows, `runs` the run ids that reached it, `configs`, `summaries` and `tags` what stands at a
    run, `artifacts` the files of each artifact by its name, `views` and `sweeps` what was made by hand.
    """

    daemon_threads = True

    def __init__(self, *, key_is_good: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key_is_good = key_is_good
        self.hangs = threading.Event()
        self.keeps_tags = False
        self.history: list[dict[str, Any]] = []
        self.runs: set[str] = set()
        self.configs: dict[str, dict[str, Any]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, list[str]] = {}
        self.artifacts: dict[str, dict[str, bytes]] = {}
        self.views: list[dict[str, Any]] = []
        self.sweeps: list[str] = []
        self.asked: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        """Id of an artifact -> its name."""
        self.manifests: dict[str, str] = {}
        """Id of a manifest -> the artifact's id."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def die(self) -> None:
        """Stop answering, as a machine that is switched off; once more does nothing."""
        self.hangs.clear()
        self.shutdown()
        self.server_close()

    def table(self, key: str) -> list[list[Any]]:
        """Return the rows of all increments of a table that grows, in the order in which they came."""
        (name,) = [name for name in self.artifacts if name.endswith(f"incr-{key}")]
        files = self.artifacts[name]
        order = sorted(files, key=lambda file: int(file.partition("-")[2].partition(".")[0]))
        return [row for file in order for row in json.loads(files[file])["data"]]


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
            self._take_stream(body)
        else:
            self._answer(200, {"data": _data(body, self.server)})

    def _take_stream(self, body: dict[str, Any]) -> None:
        run = self.path.split("/")[-2]
        self.server.runs.add(run)
        files = body.get("files", {})
        rows = files.get("wandb-history.jsonl", {}).get("content", [])
        self.server.history += [json.loads(row) for row in rows]
        for summary in files.get("wandb-summary.json", {}).get("content", []):
            self.server.summaries[run] = json.loads(summary)
        self._answer(200, {"exitcode": None, "limits": {}})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "artifact":
            name, _, file = rest.partition("/")
            self.server.artifacts.setdefault(name, {})[file] = content
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


def _bucket(server: WandbServer, name: str) -> dict[str, Any]:
    """A run as the server has it."""
    fields = {"id": name, "name": name, "displayName": name, "description": None, "sweepName": None, "project": PROJECT}
    config = {key: {"value": value} for key, value in server.configs.get(name, {}).items()}
    fields |= {"config": json.dumps(config), "tags": server.tags.get(name, []), "user": USER}
    fields |= {"summaryMetrics": json.dumps(server.summaries.get(name, {})), "state": "running", "group": None}
    fields |= {"jobType": None, "commit": None, "readOnly": False, "createdAt": "2026-01-01T00:00:00", "notes": None}
    fields |= {"heartbeatAt": "2026-01-01T00:00:00", "systemMetrics": "{}", "historyKeys": None, "projectId": "1"}
    fields |= {"historyLineCount": 0, "eventsLineCount": 0, "logLineCount": 0, "historyTail": "[]", "eventsTail": "[]"}
    return fields | {"wandbConfig": json.dumps({"t": 1}), "stopped": False}


def _upsert(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name") or given.get("id") or "?"
    new = name not in server.configs
    config = json.loads(given.get("config") or "{}")
    server.configs[name] = server.configs.get(name, {}) | {key: item["value"] for key, item in config.items()}
    if given.get("tags") is not None and not server.keeps_tags:
        server.tags[name] = given["tags"]
    return {"upsertBucket": {"bucket": _bucket(server, name), "inserted": new}}


def _artifact(query: str, given: dict[str, Any], server: WandbServer) -> dict[str, Any]:
    """The answer to a question about artifacts: their creation, their files, their manifest."""
    asked = given.get("input", {})
    if "createArtifactFiles" in query:
        files = [
            {
                "node": {
                    "id": uuid.uuid4().hex,
                    "name": file["name"],
                    "displayName": file["name"],
                    "uploadUrl": f"{server.url}/artifact/{server.names[file['artifactID']]}/{file['name']}",
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "storagePath": None,
                    "artifact": {"id": file["artifactID"]},
                }
            }
            for file in asked["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": files}}}
    if "createArtifactManifest" in query:
        manifest = {"id": f"m{given['artifactID']}", "file": {"id": "f", "name": given["name"], "displayName": "m"}}
        manifest["file"] |= {"uploadUrl": f"{server.url}/manifest", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": manifest}}
    if "updateArtifactManifest" in query:
        manifest = {"id": given["artifactManifestID"], "file": {"id": "f", "name": "m", "displayName": "m"}}
        manifest["file"] |= {"uploadUrl": f"{server.url}/manifest", "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": manifest}}
    if "commitArtifact" in query:
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}
    if "createArtifact" in query:
        name, key = asked["artifactCollectionName"], f"{asked['artifactCollectionName']}-{len(server.names)}"
        server.names[key] = name
        server.artifacts.setdefault(name, {})
        made = {"id": key, "state": "PENDING", "artifactSequence": {"id": name, "latestArtifact": None}}
        return {"createArtifact": {"artifact": made | {"digest": asked.get("digest", "")}}}
    return {"project": {"artifact": None}}


def _data(body: dict[str, Any], server: WandbServer) -> dict[str, Any]:
    """The answer to a GraphQL question, by what it asks for."""
    query, given = body.get("query", ""), body.get("variables") or {}
    word = query.replace("#graphql", "").split("(")[0].split("{")[0].split()[1:2]
    server.asked[word[0] if word else "?"] += 1
    if "rtifact" in query.partition("{")[0] or "createArtifact" in query:
        while server.hangs.is_set():
            threading.Event().wait(0.05)
        return _artifact(query, given, server)
    if "upsertBucket" in query:
        return _upsert(server, given)
    if "createRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{server.url}/{name}"} for name in given.get("files", [])]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
    if "upsertView" in query:
        server.views.append(given)
        return {"upsertView": {"view": {"id": "v", "name": given["name"]}, "inserted": True}}
    if "upsertSweep" in query:
        server.sweeps.append(given["config"])
        return {"upsertSweep": {"sweep": {"name": "sw33p", "project": PROJECT}, "configValidationWarnings": []}}
    if "viewer" in query.lower():
        return {"viewer": {"id": "v", "entity": "us", "username": "us", "flags": "{}", "teams": {"edges": []},
                           "email": "us@example.com", "name": "us"},
                "serverInfo": {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}}  # fmt: skip
    if "serverInfo" in query:
        return {"serverInfo": {"features": [], "cliVersionInfo": {}}}
    if "bucket" in query:
        found = _bucket(server, given["name"]) if given.get("name") in server.configs else None
        return {"model": {"id": "m", "name": "prospero", "entity": ENTITY, "bucket": found}}
    if "run(name" in query:
        return {"project": {"run": _bucket(server, given["name"]), "internalId": "1"}}
    return {}
