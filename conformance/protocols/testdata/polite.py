"""Serves MCP with sessions (MODE=stateful) or without, and A2A with its card, with
nothing but the standard library: what is tested is how clients get there."""

import json
import os
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BOOT = uuid.uuid4().hex  # of this sandbox
STATEFUL = os.environ.get("MODE") == "stateful"
CARD = {
    "name": "polite",
    "url": os.environ.get("AGENTCORE_RUNTIME_URL", "http://localhost:9000/"),
    "supportedInterfaces": [{"protocolBinding": "JSONRPC", "protocolVersion": "1.0", "url": "http://localhost:9000/"}],
    "documentationUrl": "http://localhost:9000/docs",
}
calls = {}  # by the names of MCP's sessions


class Polite(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/.well-known/agent-card.json":
            self.reply(200, CARD)
        elif self.path.startswith("/tasks/"):
            self.reply(200, {"path": self.path, "env": os.environ.get("AGENTCORE_RUNTIME_URL")})
        elif self.path == "/mcp":
            self.reply(405, None)
        else:
            self.reply(200, {"status": "Healthy"})

    def do_DELETE(self):
        self.reply(200 if calls.pop(self.headers.get("Mcp-Session-Id"), None) is not None else 404, None)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        session = self.headers.get("Mcp-Session-Id")
        if STATEFUL and message["method"] == "initialize" and session is None:
            session = uuid.uuid4().hex
            calls[session] = 0
        if STATEFUL:
            if session not in calls:
                return self.reply(404, None)
            calls[session] += 1
        result = {"boot": BOOT, "session": session, "calls": calls.get(session)}
        self.reply(200, {"jsonrpc": "2.0", "id": message.get("id"), "result": result}, session if STATEFUL else None)

    def reply(self, status, value, session=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Polite).serve_forever()
