# Uses native modules, and says what they are.
import json
import platform
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import markupsafe
import markupsafe._speedups
import orjson
import pydantic_core


class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        asked = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        schema = pydantic_core.SchemaValidator(pydantic_core.core_schema.int_schema())
        self.answer({
            "escaped": str(markupsafe.escape(asked["text"])),
            "native": markupsafe._speedups.__file__,
            "number": schema.validate_python(asked["number"]),
            "versions": [markupsafe.__version__, orjson.__version__, pydantic_core.__version__],
            "machine": platform.machine(),
        })

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
