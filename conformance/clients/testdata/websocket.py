"""What the bedrock-agentcore SDK builds for WebSockets and shells is for AWS's
own host names, and arrives. Arguments: a runtime's ARN."""

import sys

import websockets.exceptions
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
from websockets.sync.client import connect

arn = sys.argv[1]
client = AgentCoreRuntimeClient(region=arn.split(":")[3])
session = "websocket-session-0123456789-0123456789"


def knock(url, headers=None):
    """Makes the handshake and wants an answer of the API's, whatever it is."""
    host = f"wss://bedrock-agentcore.{client.region}.amazonaws.com/"
    assert url.startswith(host), url
    # The WebSocket library makes the headers of the handshake itself.
    ours = {k: v for k, v in (headers or {}).items() if k.lower() not in ("host", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "user-agent")}
    try:
        with connect(url, additional_headers=ours, open_timeout=20) as ws:
            response = ws.response
    except websockets.exceptions.InvalidStatus as e:
        response = e.response
    assert response.headers.get("x-amzn-requestid"), (url, response)
    assert response.status_code != 403, (response.status_code, response.body)
    print(response.status_code, url[: len(host) + 40])


knock(*client.generate_ws_connection(arn, session_id=session))
knock(client.generate_presigned_url(arn, session_id=session))
knock(*client.connect_shell(arn, session_id=session, shell_id="shell-0123456789"))
print("story told")
