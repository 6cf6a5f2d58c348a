"""Calls agents of MCP and A2A with boto3 and the AgentCore SDK, unmodified: the ARNs
are its arguments."""

import json
import sys
import uuid
from urllib.parse import quote

import boto3
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

stateful, stateless, a2a = sys.argv[1:]
data = boto3.client("bedrock-agentcore")


def message(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


def mcp(arn, method, **members):
    members.setdefault("accept", "application/json, text/event-stream")
    out = data.invoke_agent_runtime(agentRuntimeArn=arn, contentType="application/json", payload=message(method), **members)
    return out, json.loads(out["response"].read())


def signed(method, url, body=b"", **headers):
    request = AWSRequest(method, url, data=body, headers=headers)
    SigV4Auth(boto3.Session().get_credentials(), "bedrock-agentcore", data.meta.region_name).add_auth(request)
    return URLLib3Session().send(request.prepare())


def refusal(do):
    try:
        do()
    except ClientError as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it was not refused")


# A server that keeps sessions. boto3 makes up another runtime session for each call.
out, first = mcp(stateful, "initialize")
session = out["mcpSessionId"]
assert first["result"]["calls"] == 1 and first["id"] == 7, first
out, second = mcp(stateful, "tools/list", mcpSessionId=session)
assert second["result"] == {**first["result"], "calls": 2}, second
assert out["mcpSessionId"] == session and session.startswith(out["runtimeSessionId"]), out
other, third = mcp(stateful, "initialize")
assert third["result"]["boot"] != first["result"]["boot"], "two sessions share a sandbox"
url = f"{data.meta.endpoint_url}/runtimes/{quote(stateful, safe='')}/invocations"
assert signed("GET", url, **{"Mcp-Session-Id": session}).status_code == 405
assert signed("DELETE", url, **{"Mcp-Session-Id": session}).status_code == 200
assert refusal(lambda: mcp(stateful, "tools/list", mcpSessionId=session)) == ("McpSessionNotFoundException", 404)
data.stop_runtime_session(agentRuntimeArn=stateful, runtimeSessionId=other["runtimeSessionId"])
assert refusal(lambda: mcp(stateful, "tools/list", mcpSessionId=other["mcpSessionId"])) == ("McpSessionNotFoundException", 404)

# One that keeps none.
out, first = mcp(stateless, "initialize")
session = out["mcpSessionId"]
assert session == out["runtimeSessionId"] and first["result"]["session"] is None, (out, first)
_, second = mcp(stateless, "tools/list", mcpSessionId=session)
assert second["result"]["boot"] == first["result"]["boot"] and second["result"]["session"] == session, second
own = f"of-my-own-{uuid.uuid4()}"
a, b = (mcp(stateless, "tools/list", mcpSessionId=own)[1]["result"]["boot"] for _ in range(2))
assert a == b != first["result"]["boot"]
_, failed = mcp(stateless, "tools/list", qualifier="none", mcpSessionId=own)
assert failed["error"]["code"] == -32004 and failed["id"] == 7, failed
assert refusal(lambda: mcp(stateless, "tools/list", accept="application/json")) == ("McpRequestUnacceptableException", 406)

# A2A: the card leads to the agent, wherever it thinks it is.
card = data.get_agent_card(agentRuntimeArn=a2a)
here = f"{data.meta.endpoint_url}/runtimes/{quote(a2a, safe='')}/invocations"
assert card["statusCode"] == 200 and len(card["runtimeSessionId"]) >= 33, card
assert card["agentCard"]["url"] == here == card["agentCard"]["supportedInterfaces"][0]["url"], card
assert card["agentCard"]["documentationUrl"] == "http://localhost:9000/docs", card
session = card["runtimeSessionId"]
again = data.get_agent_card(agentRuntimeArn=a2a, runtimeSessionId=session)
assert again["runtimeSessionId"] == session and again["agentCard"] == card["agentCard"], again
sdk = AgentCoreRuntimeClient(region=data.meta.region_name)
answer = sdk.invoke_agent_runtime(agentRuntimeArn=a2a, runtimeSessionId=session, payload=message("message/send"))
assert json.loads(answer["response"].read())["result"]["boot"] and answer["runtimeSessionId"] == session, answer
answer = signed("POST", here + "/", message("message/send"), **{"Content-Type": "application/json"})
assert answer.status_code == 200 and json.loads(answer.text)["result"]["boot"], answer.text
below = json.loads(signed("GET", here + "/tasks/1?historyLength=3&qualifier=DEFAULT").text)
assert below["path"] == "/tasks/1?historyLength=3" and below["env"].endswith(quote(a2a, safe="") + "/invocations/"), below
assert refusal(lambda: data.get_agent_card(agentRuntimeArn=stateless)) == ("ValidationException", 400)
assert refusal(lambda: data.invoke_agent_runtime(agentRuntimeArn=a2a, qualifier="none", payload=b"{}")) == ("ResourceNotFoundException", 404)
# A page of another origin: the browser asks first, without credentials.
asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,mcp-session-id"}
preflight = URLLib3Session().send(AWSRequest("OPTIONS", here + "?qualifier=DEFAULT", headers=asked).prepare())
assert preflight.status_code == 200 and preflight.headers["Access-Control-Allow-Origin"] == "*", preflight.headers
assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,mcp-session-id", preflight.headers
answer = signed("POST", here, message("message/send"), **{"Content-Type": "application/json", "Origin": "https://page.example"})
assert answer.status_code == 200 and answer.headers["Access-Control-Allow-Origin"] == "*", answer.headers
assert "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id" in answer.headers["Access-Control-Expose-Headers"], answer.headers
print("told")
