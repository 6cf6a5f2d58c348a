"""An agent of the standard library alone, that remembers, draws and is busy."""

import json
import os
import random
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

memory: list[str] = []
busy_until = 0.0
drawn = random.random()  # before the snapshot: the generator has a state


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"status": "HealthyBusy" if time.time() < busy_until else "Healthy"})

    def do_POST(self) -> None:
        global busy_until
        ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "say" in ask:
            memory.append(ask["say"])
        if "busy" in ask:
            busy_until = time.time() + ask["busy"]
        if "write" in ask:
            with open("/mnt/work/f", "a", encoding="utf-8") as f:
                f.write(ask["write"])
        stored = None
        if os.path.exists("/mnt/work/f"):
            with open("/mnt/work/f", encoding="utf-8") as f:
                stored = f.read()
        self.answer({
            "memory": memory, "random": random.random(), "uuid": str(uuid.uuid4()), "stored": stored,
            "key": os.environ.get("API_KEY"),
        })

    def log_message(self, *_: object) -> None:
        pass


print("agent starts", flush=True)
ThreadingHTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
