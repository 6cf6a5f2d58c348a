"""A bare ASGI agent: what it does is the first line of the request's Accept header."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

import uvicorn

BOOT = os.urandom(8).hex()
CHUNK = b"0123456789abcdef" * 4096
left = []  # when callers hung up
meeting, all_met = [], asyncio.Event()


async def body(receive):
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


class Answer:
    def __init__(self, send):
        self.send = send

    async def head(self, status=200, kind=b"application/json"):
        await self.send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})

    async def say(self, data, more=True):
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def json(self, value, status=200):
        await self.head(status)
        await self.say(json.dumps(value).encode(), False)


async def count(receive, answer, _):
    n = 0
    async for part in body(receive):
        n += len(part)
    await answer.json(n)


async def produce(receive, answer, size):
    async for _ in body(receive):
        pass
    await answer.head(kind=b"application/octet-stream")
    for start in range(0, size, len(CHUNK)):
        await answer.say(CHUNK[: min(len(CHUNK), size - start)])
    await answer.say(b"", False)


async def echo(receive, answer, _):
    await answer.head(kind=b"application/octet-stream")
    async for part in body(receive):
        await answer.say(part)
    await answer.say(b"", False)


async def hang(receive, answer, begin):
    async for _ in body(receive):
        pass
    if begin:
        await answer.head(kind=b"text/plain")
        await answer.say(b"begun\n")
    print("hanging", flush=True)
    while (await receive())["type"] != "http.disconnect":
        pass
    left.append(time.time())


async def when(receive, answer, _):
    await answer.json(left)


async def sleep(receive, answer, milliseconds):
    await asyncio.sleep(milliseconds / 1000)
    await answer.json({"boot": BOOT})


async def meet(receive, answer, number):
    meeting.append(answer)
    if len(meeting) == number:
        all_met.set()
    await all_met.wait()
    await answer.json(len(meeting))


async def crash(receive, answer, _):
    await answer.head(kind=b"text/plain")
    await answer.say(b"so far so good\n")
    await asyncio.sleep(0.2)
    print("about to crash", file=sys.stderr, flush=True)
    os._exit(3)


async def fail(receive, answer, status):
    await answer.json({"error": "the agent's own words"}, status)


async def talk(receive, answer, _):
    for n in range(5):
        print("out", n, flush=True)
        print("err", n, file=sys.stderr, flush=True)
    await answer.json("done")


async def flood(receive, answer, seconds):
    end, n = time.time() + seconds, 0
    while time.time() < end:
        for _ in range(1000):
            print("a line of a flood that never ends", n)
            n += 1
        await asyncio.sleep(0)
    await answer.json(n)


DEEDS = {f.__name__: f for f in (count, produce, echo, hang, when, sleep, meet, crash, fail, talk, flood)}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    answer = Answer(send)
    if scope["path"] == "/ping":
        return await answer.json({"status": "Healthy"})
    deed, _, argument = dict(scope["headers"])[b"accept"].decode().partition("=")
    with contextlib.suppress(ConnectionError):
        await DEEDS[deed](receive, answer, int(argument or 0))


class Stubborn(uvicorn.Server):
    """Takes no notice of SIGTERM."""

    def capture_signals(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return contextlib.nullcontext()


if __name__ == "__main__":
    server = Stubborn if os.environ.get("STUBBORN") else uvicorn.Server
    server(uvicorn.Config(app, host="127.0.0.1", port=8080, log_level="warning", lifespan="off")).run()
