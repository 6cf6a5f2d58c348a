"""An agent of the standard library alone, that remembers, draws, is busy and eats."""

import json
import os
import random
import socket
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

memory: list[str] = []
busy_until = 0.0
drawn = random.random()  # before the snapshot: the generator has a state


def credentials() -> dict[str, str]:
    """Who the metadata service says that it is."""
    base = "http://169.254.169.254/latest/"
    put = urllib.request.Request(base + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    with urllib.request.urlopen(put, timeout=5) as token:
        headers = {"X-aws-ec2-metadata-token": token.read().decode()}
    roles = base + "meta-data/iam/security-credentials/"
    with urllib.request.urlopen(urllib.request.Request(roles, headers=headers), timeout=5) as name:
        role = name.read().decode()
    with urllib.request.urlopen(urllib.request.Request(roles + role, headers=headers), timeout=5) as answer:
        return json.load(answer)


watched = threading.Event()  # the first time; what is saved before has yet to say it, in each copy


def watch() -> None:
    """Says whenever the metadata service begins or ceases to be reached."""
    last = ""
    while True:
        try:
            socket.create_connection(("169.254.169.254", 80), timeout=5).close()
            now = "reached"
        except OSError:
            now = "refused"
        if now != last:
            last = now
            print("watch:", now, flush=True)
            watched.set()
        time.sleep(0.1)


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
        if "eat" in ask:
            memory.append("x" * ask["eat"])
        stored = None
        if os.path.exists("/mnt/work/f"):
            with open("/mnt/work/f", encoding="utf-8") as f:
                stored = f.read()
        self.answer({
            "memory": memory, "random": random.random(), "uuid": str(uuid.uuid4()), "stored": stored,
            "key": os.environ.get("API_KEY"), "is": credentials()["AccessKeyId"] if "is" in ask else None,
        })

    def log_message(self, *_: object) -> None:
        pass


if os.environ.get("WATCH"):
    threading.Thread(target=watch, daemon=True).start()
    watched.wait()
print("agent starts", flush=True)
ThreadingHTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
