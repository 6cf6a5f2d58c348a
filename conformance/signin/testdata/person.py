"""What both lines of the Python SDK need besides: a page to come back to, and a memory."""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit


def say(**what):
    print(json.dumps(what), flush=True)


class Application:
    """Where a browser comes back to, on a port of this machine."""

    async def start(self):
        self.back = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/callback"
        return self

    async def answer(self, reader, writer):
        path = (await reader.readline()).decode().split()[1]
        body = b"<title>Back</title><p>You can close this page."
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        if path.startswith("/callback?") and not self.back.done():
            self.back.set_result({name: values[0] for name, values in parse_qs(urlsplit(path).query).items()})

    async def open(self, url):
        say(open=url)

    async def returned(self):
        query = await asyncio.wait_for(self.back, 60)
        self.back = asyncio.get_running_loop().create_future()
        if "code" not in query:
            raise RuntimeError(query.get("error"))
        return query


class Memory:
    """What an application keeps."""

    client = tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def gateway():
    return sys.argv[1]
