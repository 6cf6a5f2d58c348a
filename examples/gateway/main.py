"""An agent whose one tool is behind a gateway. It has no key of the service that answers: the gateway has it."""

import os
from collections.abc import AsyncIterator

import boto3
import httpx2
from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext, RequestContext
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

app = BedrockAgentCoreApp()


class ForUser(httpx2.Auth):
    """Calls for the user who called: shows their token, and which agent it is that has it."""

    def __init__(self, authorization: str):
        self.headers = {
            "Authorization": authorization,
            "X-Amz-Bedrock-AgentCore-Identity-WAT": BedrockAgentCoreContext.get_workload_access_token() or "",
        }

    def auth_flow(self, request):
        request.headers.update(self.headers)
        yield request


class AsItself(httpx2.Auth):
    """Calls with the rights of the agent's own role."""

    requires_request_body = True

    def auth_flow(self, request):
        session = boto3.Session()
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        SigV4Auth(session.get_credentials(), "bedrock-agentcore", os.environ["AWS_REGION"]).add_auth(signed)
        request.headers.update(dict(signed.headers))
        yield request


@app.entrypoint
async def invoke(payload: dict, context: RequestContext) -> AsyncIterator[str]:
    """Looks up what it is asked."""
    headers = {name.lower(): value for name, value in (context.request_headers or {}).items()}
    caller = ForUser(headers["authorization"]) if "authorization" in headers else AsItself()
    url = f"https://{os.environ['GATEWAY']}.gateway.bedrock-agentcore.{os.environ['AWS_REGION']}.amazonaws.com/mcp"
    async with (
        httpx2.AsyncClient(auth=caller, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        # A model would choose among these; here there is one.
        tool = (await client.list_tools()).tools[0]
        found = await client.call_tool(tool.name, {"q": str(payload.get("prompt", ""))})
        yield f"{tool.name}: {found.content[0].text}"


if __name__ == "__main__":
    app.run()
