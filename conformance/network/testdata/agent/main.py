"""An agent that says what it reaches, and what it reached when it started."""

import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()[:100]
    except urllib.error.HTTPError as e:
        return f'HTTP {e.code}'
    except OSError:
        return ''


# What an agent does that connects to its database at once, and then goes by it.
at_start = fetch(os.environ['FETCH_AT_START'])


class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({'status': 'Healthy'})

    def do_POST(self):
        urls = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        found = {url: fetch(url) for url in urls}
        self.answer({'atStart': at_start, 'found': found, 'outcrop': fetch(os.environ['AWS_ENDPOINT_URL'] + '/_outcrop/health')})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(('0.0.0.0', 8080), Agent).serve_forever()
