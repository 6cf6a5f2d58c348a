"""Talks to the agent over a WebSocket, and interrupts it. The URL is presigned, so any WebSocket client can open it."""

import asyncio
import json
import sys
from urllib.parse import quote

import boto3
import websockets
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest


def presigned(name: str) -> str:
    """Makes a URL that is good for five minutes; it could be handed to a browser."""
    session = boto3.Session()
    control, data = session.client("bedrock-agentcore-control"), session.client("bedrock-agentcore")
    pages = control.get_paginator("list_agent_runtimes").paginate()
    arn = next(r["agentRuntimeArn"] for page in pages for r in page["agentRuntimes"] if r["agentRuntimeName"] == name)
    request = AWSRequest("GET", f"{data.meta.endpoint_url}/runtimes/{quote(arn, safe='')}/ws")
    SigV4QueryAuth(session.get_credentials(), "bedrock-agentcore", session.region_name, expires=300).add_auth(request)
    return request.url.replace("http", "ws", 1)


async def main(name: str) -> None:
    async with websockets.connect(presigned(name)) as socket:
        await socket.send(json.dumps({"text": "one two three " + "and so on " * 100}))
        for _ in range(3):
            print(await socket.recv())
        await socket.send(json.dumps({"text": "stop"}))
        while "interrupted" not in (message := await socket.recv()):
            pass  # words that were on their way
        while "done" not in message:
            print(message)
            message = await socket.recv()


asyncio.run(main(*sys.argv[1:]))
