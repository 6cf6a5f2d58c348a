"""Agents behind gateways, as boto3 and programs that know HTTP alone call them. What is
not as it should be is an exception."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

import kit

REGION, BUCKET, KEY, PYTHON = (os.environ[n] for n in ("AWS_REGION", "BUCKET", "KEY", "PYTHON"))
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
iam, cognito, control = boto3.client("iam"), boto3.client("cognito-idp"), boto3.client("bedrock-agentcore-control")


def runtime(name, **more):
    made = control.create_agent_runtime(
        agentRuntimeName=name, roleArn=execution, networkConfiguration={"networkMode": "PUBLIC"},
        agentRuntimeArtifact={"codeConfiguration": {"code": {"s3": {"bucket": BUCKET, "prefix": KEY}}, "runtime": PYTHON, "entryPoint": ["main.py"]}}, **more)
    kit.settled(lambda: control.get_agent_runtime(agentRuntimeId=made["agentRuntimeId"]))
    return made["agentRuntimeArn"]


def gateway(name, **more):
    made = control.create_gateway(name=name, roleArn=front, exceptionLevel="DEBUG", **more)
    kit.settled(lambda: control.get_gateway(gatewayIdentifier=made["gatewayId"]))
    return made["gatewayId"], made["gatewayUrl"]


def target(of, name, arn, kind, **more):
    """What its owner reads of a target."""
    made = control.create_gateway_target(
        gatewayIdentifier=of, name=name, targetConfiguration={"http": {"agentcoreRuntime": {"arn": arn, **more}}}, credentialProviderConfigurations=[kind])

    def read():
        return control.get_gateway_target(gatewayIdentifier=of, targetId=made["targetId"])

    kit.settled(read)
    return lambda: read().get("statusReasons", [])


def send(url, body=None, sign=None, **headers):
    """The open answer, or the refusal. sign is whose keys."""
    headers = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
    data = None if body is None else json.dumps(body).encode()
    if sign is not None:
        request = AWSRequest("GET" if data is None else "POST", url, data=data, headers=headers)
        SigV4Auth(sign.get_credentials(), "bedrock-agentcore", REGION).add_auth(request)
        headers = dict(request.headers)
    try:
        return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60)
    except urllib.error.HTTPError as e:
        return e


def refused(call, code, text):
    try:
        call()
    except ClientError as e:
        assert e.response["Error"]["Code"] == code and text in e.response["Error"]["Message"], e
        return
    raise AssertionError("it was allowed")


execution, front = kit.role("agent"), kit.role("front")
iam.create_user(UserName="caller")
iam.put_user_policy(UserName="caller", PolicyName="p", PolicyDocument=kit.policy("bedrock-agentcore:InvokeGateway"))
k = iam.create_access_key(UserName="caller")["AccessKey"]
caller = boto3.Session(aws_access_key_id=k["AccessKeyId"], aws_secret_access_key=k["SecretAccessKey"], region_name=REGION)
echo, card = runtime("echo"), runtime("card", environmentVariables={"PORT": "9000"}, protocolConfiguration={"serverProtocol": "A2A"})
id, url = gateway("signed", authorizerType="AWS_IAM")
by_role = {"credentialProviderType": "GATEWAY_IAM_ROLE"}
by_caller = {"credentialProviderType": "CALLER_IAM_CREDENTIALS", "credentialProvider": {"iamCredentialProvider": {"service": "bedrock-agentcore"}}}
warnings = target(id, "echo", echo, by_role)
assert [w for w in warnings() if "cannot be invoked by the role" in w], warnings()
target(id, "mine", echo, by_caller)
target(id, "card", card, by_role)

# boto3, with the target for an endpoint.
data = caller.client("bedrock-agentcore", endpoint_url=url + "/echo", config=Config(retries={"total_max_attempts": 1}))


def invoke(of=data, arn=echo, **more):
    out = of.invoke_agent_runtime(agentRuntimeArn=arn, contentType="application/json", payload=b'{"do":"say"}', **more)
    return json.loads(out["response"].read()), out["runtimeSessionId"]


refused(invoke, "AccessDeniedException", "bedrock-agentcore:InvokeAgentRuntime on resource: " + echo)
iam.put_role_policy(RoleName="front", PolicyName="invoke", PolicyDocument=kit.policy("bedrock-agentcore:InvokeAgentRuntime", [echo, echo + "/*", card, card + "/*"]))
assert warnings() == [], warnings()
first, session = invoke()
again, same = invoke(runtimeSessionId=session)
assert again["boot"] == first["boot"] and same == session, (first, again)
assert invoke()[0]["boot"] != first["boot"], "two sessions share a sandbox"
own, told = invoke(runtimeSessionId="a-session-that-the-caller-has-named-01")
assert told == "a-session-that-the-caller-has-named-01" and own["boot"] != first["boot"], told
assert first["path"] == "/invocations" and "authorization" not in first["headers"], first
refused(lambda: invoke(arn=card), "ValidationException", "This target is the runtime " + echo)
print("boto3")

# Whose keys they are: the caller's own have no right to the agent.
mine = caller.client("bedrock-agentcore", endpoint_url=url + "/mine", config=Config(retries={"total_max_attempts": 1}))
refused(lambda: invoke(mine), "AccessDeniedException", "user/caller is not authorized to perform: bedrock-agentcore:InvokeAgentRuntime")
iam.put_user_policy(UserName="caller", PolicyName="q", PolicyDocument=kit.policy("bedrock-agentcore:InvokeAgentRuntime", [echo, echo + "/*"]))
assert invoke(mine)[0]["body"] == {"do": "say"}
print("as the caller")

# A program that signs, and streams: the second event comes when the first has been read.
stream = send(url + "/echo/invocations", {"do": "stream"}, caller, Accept="text/event-stream")
assert stream.status == 200 and stream.headers["Content-Type"] == "text/event-stream", (stream.status, stream.read())
assert stream.readline() == b'data: "one"\n'
last = send(url + "/echo/invocations", {"do": "go"}, caller, **{SESSION: stream.headers[SESSION]})
assert last.status == 200 and last.headers[SESSION] == stream.headers[SESSION], last.read()
assert stream.read() == b'\ndata: "two"\n\n'
answer = send(url + "/echo/invocations", {"do": "say"})
assert answer.status == 403, answer.status
print("a stream")

# A2A: the card, to which there is a right of its own, with where its agent is reached, and a message there.
answer = send(url + "/card/.well-known/agent-card.json", None, caller)
assert answer.status == 403 and b"bedrock-agentcore:GetAgentCard" in answer.read(), answer.status
iam.put_role_policy(RoleName="front", PolicyName="card", PolicyDocument=kit.policy("bedrock-agentcore:GetAgentCard", [card, card + "/*"]))
answer = send(url + "/card/.well-known/agent-card.json", None, caller)
text = answer.read()
assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", (answer.status, text)
at = json.loads(text)["url"]
assert at == url + "/card/", at
answer = json.load(send(at, {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}, caller))
assert answer["path"] == "/" and answer["body"]["method"] == "message/send", answer
print("a card")

# Tokens: what the gateway lets in, the agent decides on again.
pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
cognito.admin_create_user(UserPoolId=pool, Username="ada")
cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Ada-Password-1", Permanent=True)
clients, tokens = [], []
for name in ("app", "other"):
    clients.append(cognito.create_user_pool_client(UserPoolId=pool, ClientName=name, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["UserPoolClient"]["ClientId"])
    tokens.append(cognito.initiate_auth(
        ClientId=clients[-1], AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ada", "PASSWORD": "Ada-Password-1"})["AuthenticationResult"]["AccessToken"])


def authorizer(*allowed):
    discovery = f"https://cognito-idp.{REGION}.amazonaws.com/{pool}/.well-known/openid-configuration"
    return {"customJWTAuthorizer": {"discoveryUrl": discovery, "allowedClients": list(allowed)}}


bearer = runtime("bearer", authorizerConfiguration=authorizer(clients[0]), requestHeaderConfiguration={"requestHeaderAllowlist": ["Authorization"]})
id, url = gateway("bearer", authorizerType="CUSTOM_JWT", authorizerConfiguration=authorizer(*clients))
by_token = {"credentialProviderType": "JWT_PASSTHROUGH"}
assert target(id, "agent", bearer, by_token)() == []
answer = send(url + "/agent/invocations", {"do": "say"}, Authorization="Bearer " + tokens[0])
text = answer.read()
assert answer.status == 200 and json.loads(text)["headers"]["authorization"] == "Bearer " + tokens[0], (answer.status, text)
answer = send(url + "/agent/invocations", {"do": "say"}, Authorization="Bearer " + tokens[1])
assert answer.status == 403 and b"client_id" in answer.read(), answer.status
answer = send(url + "/agent/invocations", {"do": "say"})
assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer resource_metadata="), answer.headers
print("a token")

# What is not there is told, for as long as it is not.
gone = bearer.rsplit("/", 1)[0] + "/gone-0123456789"
assert [w for w in target(id, "gone", gone, by_token)() if "There is no agent runtime " + gone in w]
warnings = target(id, "next", bearer, by_token, qualifier="NEXT")
assert [w for w in warnings() if "has no endpoint 'NEXT'" in w], warnings()
control.create_agent_runtime_endpoint(agentRuntimeId=bearer.rsplit("/", 1)[1], name="NEXT")
assert warnings() == [], warnings()
print("warnings")
