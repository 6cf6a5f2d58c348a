"""Calls the MCP server with the official client. The only thing particular to AgentCore is that requests are signed."""

import asyncio
import json
import sys
from urllib.parse import quote
from uuid import uuid4

import boto3
import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


class Signed(httpx2.Auth):
    """Signs each request with the credentials of the environment."""

    requires_request_body = True

    def __init__(self, session: boto3.Session):
        self.signer = SigV4Auth(session.get_credentials(), "bedrock-agentcore", session.region_name)

    def auth_flow(self, request):
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        self.signer.add_auth(signed)
        request.headers.update(dict(signed.headers))
        yield request


def url(name: str) -> str:
    """Finds the deployed server's address."""
    control, data = boto3.client("bedrock-agentcore-control"), boto3.client("bedrock-agentcore")
    pages = control.get_paginator("list_agent_runtimes").paginate()
    arn = next(r["agentRuntimeArn"] for page in pages for r in page["agentRuntimes"] if r["agentRuntimeName"] == name)
    return f"{data.meta.endpoint_url}/runtimes/{quote(arn, safe='')}/invocations"


async def main(name: str) -> None:
    session = {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": str(uuid4())}  # one sandbox for all requests
    async with (
        httpx2.AsyncClient(auth=Signed(boto3.Session()), headers=session, timeout=60) as http,
        Client(streamable_http_client(url(name), http_client=http)) as client,
    ):
        for tool in (await client.list_tools()).tools:
            print("tool", tool.name + ":", tool.description)
        result = await client.call_tool("convert", {"value": 5, "unit": "mi", "to": "km"})
        print("5 mi are", result.structured_content["result"], "km")
        units = await client.read_resource("units://all")
        print("units:", *json.loads(units.contents[0].text))


asyncio.run(main(*sys.argv[1:]))
