"""A gateway whose interceptor hides a tool, refuses calls of it, and lets the rest pass."""

import json
import urllib.error
import urllib.request

import boto3

import kit

TOOL = '''
def lambda_handler(event, context):
    return {"got": event, "tool": context.client_context.custom["bedrockAgentCoreToolName"]}
'''

HOOK = '''
def lambda_handler(event, context):
    mcp = event["mcp"]
    if "gatewayResponse" in mcp:
        body = mcp["gatewayResponse"]["body"]
        if "tools" in body.get("result", {}):
            body["result"]["tools"] = [t for t in body["result"]["tools"] if not t["name"].endswith("secret")]
        return {"interceptorOutputVersion": "1.0", "mcp": {"transformedGatewayResponse": {"statusCode": 200, "body": body}}}
    message = mcp["gatewayRequest"]["body"]
    if message["method"] == "tools/call" and message["params"]["name"].endswith("secret"):
        body = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32002, "message": "not from here"}}
        return {"interceptorOutputVersion": "1.0", "mcp": {"transformedGatewayResponse": {"statusCode": 403, "body": body}}}
    if message["params"].get("name", "").endswith("broken"):
        raise RuntimeError("the interceptor fails")
    return {"interceptorOutputVersion": "1.0", "mcp": {}}
'''

control = boto3.client("bedrock-agentcore-control")
role = kit.role("interceptors", "lambda:InvokeFunction", services=("lambda", "bedrock-agentcore"))
tool, hook = kit.function("tool", TOOL, role), kit.function("hook", HOOK, role)
gateway = control.create_gateway(
    name="intercepted",
    roleArn=role,
    protocolType="MCP",
    authorizerType="NONE",
    interceptorConfigurations=[
        {
            "interceptor": {"lambda": {"arn": hook}},
            "interceptionPoints": ["REQUEST", "RESPONSE"],
            "inputConfiguration": {"passRequestHeaders": True},
        }
    ],
)
kit.settled(lambda: control.get_gateway(gatewayIdentifier=gateway["gatewayId"]))
schema = [{"name": n, "description": n, "inputSchema": {"type": "object"}} for n in ("broken", "plain", "secret")]
target = control.create_gateway_target(
    gatewayIdentifier=gateway["gatewayId"],
    name="T1",
    targetConfiguration={"mcp": {"lambda": {"lambdaArn": tool, "toolSchema": {"inlinePayload": schema}}}},
    credentialProviderConfigurations=[{"credentialProviderType": "GATEWAY_IAM_ROLE"}],
)
kit.settled(lambda: control.get_gateway_target(gatewayIdentifier=gateway["gatewayId"], targetId=target["targetId"]))


def ask(method, params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(gateway["gatewayUrl"], data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as e:
        return e.code, json.load(e), e.headers


status, answer, headers = ask("tools/list", {})
print("listed", status, [t["name"] for t in answer["result"]["tools"]])
status, answer, headers = ask("tools/call", {"name": "T1___plain", "arguments": {"a": 1}})
print("called", status, answer["result"]["content"][0]["text"])
status, answer, headers = ask("tools/call", {"name": "T1___secret", "arguments": {}})
print("refused", answer["error"])
status, answer, headers = ask("tools/call", {"name": "T1___broken", "arguments": {}})
error = answer["error"]
named = error["data"]["aws.bedrock-agentcore.gateway/requestId"] == headers["x-amzn-RequestId"]
print("failed", status, error["code"], error["message"], named)
