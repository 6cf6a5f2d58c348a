"""Answers as examples/hello does, word by word, by Python's own library alone: it
starts in a fraction of the time, and stories start many."""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

said = []  # the memory of one session


def answer(prompt):
    command, _, rest = prompt.partition(" ")
    if command == "add":
        numbers = re.findall(r"\d+", rest)
        return f"{' + '.join(numbers)} is {sum(map(int, numbers))}."
    if command == "remember":
        return f"Before this you said: {', '.join(map(repr, said)) or 'nothing'}."
    return "Hello!"


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.head("application/json", {"Content-Length": "20"})
        self.wfile.write(b'{"status":"Healthy"}')

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        text = answer(prompt)
        said.append(prompt)
        self.head("text/event-stream", {"Connection": "close"})
        for word in text.split():
            self.wfile.write(f"data: {json.dumps(word + ' ')}\n\n".encode())

    def head(self, content, headers):
        self.send_response(200)
        for name, value in {"Content-Type": content, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 8080), Agent).serve_forever()
