"""A gateway whose interceptor hides a tool, refuses calls of it, and lets the rest pass."""

import io
import json
import time
import urllib.error
import urllib.request
import zipfile

import boto3

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

iam, functions, control = boto3.client("iam"), boto3.client("lambda"), boto3.client("bedrock-agentcore-control")
trust = {"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com", "bedrock-agentcore.amazonaws.com"]}, "Action": "sts:AssumeRole"}
role = iam.create_role(RoleName="interceptors", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
allow = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
iam.put_role_policy(RoleName="interceptors", PolicyName="invoke", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))


def function(name, code):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("lambda_function.py", code)
    arn = functions.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="lambda_function.lambda_handler", Code={"ZipFile": packed.getvalue()}
    )["FunctionArn"]
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return arn


def settled(read):
    while True:
        got = read()
        if got["status"] not in ("CREATING", "UPDATING"):
            assert got["status"] == "READY", got
            return got
        time.sleep(0.1)


tool, hook = function("tool", TOOL), function("hook", HOOK)
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
settled(lambda: control.get_gateway(gatewayIdentifier=gateway["gatewayId"]))
schema = [{"name": n, "description": n, "inputSchema": {"type": "object"}} for n in ("broken", "plain", "secret")]
target = control.create_gateway_target(
    gatewayIdentifier=gateway["gatewayId"],
    name="T1",
    targetConfiguration={"mcp": {"lambda": {"lambdaArn": tool, "toolSchema": {"inlinePayload": schema}}}},
    credentialProviderConfigurations=[{"credentialProviderType": "GATEWAY_IAM_ROLE"}],
)
settled(lambda: control.get_gateway_target(gatewayIdentifier=gateway["gatewayId"], targetId=target["targetId"]))


def ask(method, params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(gateway["gatewayUrl"], data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


status, answer = ask("tools/list", {})
print("listed", status, [t["name"] for t in answer["result"]["tools"]])
status, answer = ask("tools/call", {"name": "T1___plain", "arguments": {"a": 1}})
print("called", status, answer["result"]["content"][0]["text"])
status, answer = ask("tools/call", {"name": "T1___secret", "arguments": {}})
print("refused", answer["error"])
status, answer = ask("tools/call", {"name": "T1___broken", "arguments": {}})
print("failed", status, answer["error"])
