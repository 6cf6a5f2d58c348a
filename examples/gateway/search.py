"""A search service as they are sold: it answers whoever has a key. python search.py KEY [PORT]"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

KEY, PORT = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9400
PAGES = ["How granite weathers", "Slate roofs", "Where limestone comes from", "Granite and its minerals"]


class Search(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query).get("q", [""])[0].lower()
        allowed = self.headers.get("X-API-Key") == KEY
        body = {"titles": [p for p in PAGES if query in p.lower()]} if allowed else {"error": "Who are you?"}
        text = json.dumps(body).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Search).serve_forever()
