"""An agent of the standard library alone, with a WebSocket that answers each message with itself."""

import base64
import hashlib
import http.server
import struct


class Agent(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/ws":
            self.echo()
        else:
            self.say(b'{"status":"Healthy"}')

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.say(b"{}")

    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            first, second = self.rfile.read(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self.rfile.read(2))[0]
            mask = self.rfile.read(4)
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            if first & 0x0F == 8:
                self.frame(8, text)
                return
            if text == b"fail":
                self.frame(8, struct.pack(">H", 1011) + b"as told")
                return
            self.frame(first & 0x0F, text)

    def frame(self, kind, text):
        head = bytes([0x80 | kind, len(text)]) if len(text) < 126 else bytes([0x80 | kind, 126]) + struct.pack(">H", len(text))
        self.wfile.write(head + text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
