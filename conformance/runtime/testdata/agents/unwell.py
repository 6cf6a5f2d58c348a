"""Answers, and is never healthy."""

from http.server import BaseHTTPRequestHandler, HTTPServer


class Unwell(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", 8080), Unwell).serve_forever()
