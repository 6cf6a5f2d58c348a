"""An agent of nothing but the standard library: it answers POST with what it was sent, or
streams, and has a card as agents of A2A do."""

import json
import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD = {"name": "geologist", "url": os.environ.get("AGENTCORE_RUNTIME_URL", "http://localhost:9000/"), "capabilities": {"streaming": True}}
go = threading.Event()
boot = []  # of this sandbox, which began as the copy of another


def booted():
    boot.append(uuid.uuid4().hex)
    return boot[0]


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(CARD if self.path == "/.well-known/agent-card.json" else {"status": "Healthy"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        what = body.get("do")
        if what == "go":
            go.set()
        if what != "stream":
            return self.reply({"boot": booted(), "path": self.path, "body": body, "headers": {n.lower(): v for n, v in self.headers.items()}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event("one")
        go.wait(60)
        self.event("two")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        data = f'data: "{text}"\n\n'.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Agent).serve_forever()
