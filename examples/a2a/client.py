"""Reads the agent's card and sends it a message with the official client. Only the signing is particular to AgentCore."""

import asyncio
import sys
from urllib.parse import quote
from uuid import uuid4

import boto3
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_message_text, new_text_message
from a2a.types import Role, SendMessageRequest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest


class Signed(httpx.Auth):
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
    """Finds the deployed agent's address."""
    control, data = boto3.client("bedrock-agentcore-control"), boto3.client("bedrock-agentcore")
    pages = control.get_paginator("list_agent_runtimes").paginate()
    arn = next(r["agentRuntimeArn"] for page in pages for r in page["agentRuntimes"] if r["agentRuntimeName"] == name)
    return f"{data.meta.endpoint_url}/runtimes/{quote(arn, safe='')}/invocations/"


async def main(name: str, text: str) -> None:
    session = {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": str(uuid4())}  # one sandbox for the whole conversation
    async with httpx.AsyncClient(auth=Signed(boto3.Session()), headers=session, timeout=60) as http:
        card = await A2ACardResolver(http, url(name)).get_agent_card()
        print(f"{card.name}: {card.description}")
        client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
        request = SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))
        async for event in client.send_message(request):
            print(get_message_text(event.message))


asyncio.run(main(*sys.argv[1:]))
