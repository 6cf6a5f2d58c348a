"""Serves whatever protocol it is deployed for, badly: as each message asks for.

MODE says how it starts: well, not at all ("exits"), without ever listening ("deaf"),
or so that it does not end when it is told to ("stubborn").
"""

import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ["PORT"])
MODE = os.environ.get("MODE", "")


class Rogue(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(200, b'{"status":"Healthy"}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        deed, _, value = json.loads(body)["params"]["deed"].partition("=")
        getattr(self, deed)(value)

    def reply(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def well(self, _):
        self.reply(200, b'{"jsonrpc":"2.0","id":"req-1","result":{}}')

    def status(self, value):
        self.reply(int(value), b"the agent's own words")

    def redirect(self, value):
        self.reply(307, b"", Location=value)

    def hang_up(self, _):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def die(self, _):
        os._exit(3)

    def speak(self, _):
        self.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    def half_a_head(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: appl")

    def huge_head(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * (1 << 20) + b"\r\nContent-Length: 0\r\n\r\n")

    def half_a_stream(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n10\r\ndata: half of it\r\n")

    def half_a_body(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\":")

    def raw(self, text):
        try:
            self.wfile.write(text)
            self.wfile.flush()
        except OSError:
            pass  # the other side has heard enough
        self.hang_up("")

    def hold(self, _):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: holding\n\n")
        self.wfile.flush()
        time.sleep(600)

    def close_port(self, _):
        server.socket.close()  # the process lives on without it
        self.reply(200, b"{}", Connection="close")
        self.close_connection = True


if MODE == "exits":
    print("nothing to serve")
    sys.exit(3)
if MODE == "deaf":
    time.sleep(600)
if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = ThreadingHTTPServer(("127.0.0.1", PORT), Rogue)
server.daemon_threads = True
server.serve_forever()
