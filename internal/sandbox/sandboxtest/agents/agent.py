"""Answers what guest/draw_linux.go describes, from several processes of Python."""

import time

STARTED = time.time()

import http.server
import json
import multiprocessing
import os
import random
import socket
import ssl
import sys
import tempfile
import uuid

try:
    import numpy
except ImportError:
    numpy = None
try:
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:
    ec = None


def draw():
    unique = {
        "random": random.random(),
        "uuid4": uuid.uuid4(),
        "ssl.RAND_bytes": ssl.RAND_bytes(16).hex(),
        "tempfile": tempfile.mktemp(),
    }
    if numpy:
        unique["numpy"] = numpy.random.random()
    if ec:
        unique["cryptography"] = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return {name: str(value) for name, value in unique.items()}


def child(pipe):
    draw()
    while pipe.recv():
        pipe.send(draw())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        unique = draw()
        for name, pipe in children.items():
            pipe.send(True)
            unique.update({name + " " + key: value for key, value in pipe.recv().items()})
        drawing = {
            "started": STARTED,
            "now": time.time(),
            "unique": unique,
            "cloned": {"id": str(id(STARTED))},
            "env": dict(os.environ),
            "same": {
                "directory": os.getcwd(),
                "host": socket.gethostname(),
                "user": "%d %d" % (os.getuid(), os.getgid()),
                "path": str(sys.path),
                "argv": str(sys.argv),
                "customized": str(getattr(sys.modules.get("sitecustomize"), "CUSTOMIZED", False)),
            },
        }
        body = json.dumps(drawing).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if "careless" in sys.argv:
        os.closerange(3, 256)
    draw()  # so that every generator is seeded
    os.environ["OWN"] = "kept"
    children = {}
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        children[method], end = context.Pipe()
        context.Process(target=child, args=(end,), daemon=True).start()
        children[method].send(True)
        children[method].recv()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler)
    print("ready", flush=True)
    server.serve_forever()
