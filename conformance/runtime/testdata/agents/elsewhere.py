"""Listens, on a port nobody asks."""

from http.server import BaseHTTPRequestHandler, HTTPServer

HTTPServer(("127.0.0.1", 9999), BaseHTTPRequestHandler).serve_forever()
