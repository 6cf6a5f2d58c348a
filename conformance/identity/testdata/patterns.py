"""The two ways to call an agent: a program with a role, and a person, or a machine,
with a token. Prints the secrets that were used, as JSON."""
import base64
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION, ENDPOINT = os.environ["AWS_REGION"], os.environ["ENDPOINT"]
SESSION = "a-session-of-the-story-" + "0" * 20
QUIET = Config(retries={"total_max_attempts": 1})
iam, sts, cognito = boto3.client("iam"), boto3.client("sts"), boto3.client("cognito-idp")
control = boto3.client("bedrock-agentcore-control")
account = sts.get_caller_identity()["Account"]
secrets = {}


def policy(action, resource="*", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]})


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


execution = iam.create_role(RoleName="AgentRuntimeRole", AssumeRolePolicyDocument=trust({"Service": "bedrock-agentcore.amazonaws.com"}))["Role"]["Arn"]


def runtime(name, **more):
    made = control.create_agent_runtime(
        agentRuntimeName=name, roleArn=execution, networkConfiguration={"networkMode": "PUBLIC"},
        agentRuntimeArtifact={"codeConfiguration": {
            "code": {"s3": {"bucket": os.environ["BUCKET"], "prefix": os.environ["KEY"]}}, "runtime": os.environ["PYTHON"], "entryPoint": ["main.py"]}}, **more)
    for _ in range(240):
        if control.get_agent_runtime(agentRuntimeId=made["agentRuntimeId"])["status"] == "READY":
            return made["agentRuntimeArn"]
        time.sleep(0.25)
    raise AssertionError(name + " is not READY")


def keys(name, k):
    secrets[name + "'s secret key"] = k["SecretAccessKey"]
    if "SessionToken" in k:
        secrets[name + "'s session token"] = k["SessionToken"]
    return boto3.Session(aws_access_key_id=k["AccessKeyId"], aws_secret_access_key=k["SecretAccessKey"], aws_session_token=k.get("SessionToken"), region_name=REGION)


def seen(headers, who):
    """The workload access token that the agent was given, which is a secret too."""
    token = headers.get("workloadaccesstoken")
    if token:
        assert headers["x-amz-bedrock-agentcore-identity-wat"] == token
        secrets["the agent's token for " + who] = token
    return token


# Pattern 1: a program with a role, and no signing in.
signed = runtime("signed")
iam.create_user(UserName="instance")
iam.put_user_policy(UserName="instance", PolicyName="p", PolicyDocument=policy("sts:AssumeRole"))
instance = keys("the instance", iam.create_access_key(UserName="instance")["AccessKey"])
role = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=trust({"AWS": account}))["Role"]["Arn"]


def as_role():
    session = keys("the role's session", instance.client("sts").assume_role(RoleArn=role, RoleSessionName="story")["Credentials"])
    data = session.client("bedrock-agentcore", config=QUIET)
    return lambda **more: json.loads(data.invoke_agent_runtime(agentRuntimeArn=signed, runtimeSessionId=SESSION, payload=b"{}", contentType="application/json", **more)["response"].read())


def refused(call, code, *parts, **more):
    try:
        call(**more)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        for part in parts:
            assert part in e.response["Error"]["Message"], (part, e)
        return
    raise AssertionError("it was allowed")


call = as_role()
refused(call, "AccessDeniedException", "assumed-role/caller/story is not authorized to perform: bedrock-agentcore:InvokeAgentRuntime on resource: " + signed)
iam.put_role_policy(RoleName="caller", PolicyName="invoke", PolicyDocument=policy("bedrock-agentcore:InvokeAgentRuntime", [signed, signed + "/*"]))
headers = call()
assert "authorization" not in headers and not seen(headers, "nobody"), headers
refused(call, "AccessDeniedException", "bedrock-agentcore:InvokeAgentRuntimeForUser", runtimeUserId="taro")
iam.put_role_policy(RoleName="caller", PolicyName="for-user", PolicyDocument=policy("bedrock-agentcore:InvokeAgentRuntimeForUser", [signed, signed + "/*"]))
assert seen(call(runtimeUserId="taro"), "taro by his id")

# Pattern 2: a person who signs in, and a machine that does so for itself.
pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
cognito.create_resource_server(UserPoolId=pool, Identifier="agents", Name="agents", Scopes=[{"ScopeName": "call", "ScopeDescription": "Call agents"}])
app = cognito.create_user_pool_client(UserPoolId=pool, ClientName="app", GenerateSecret=False, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"])["UserPoolClient"]
machine = cognito.create_user_pool_client(UserPoolId=pool, ClientName="machine", GenerateSecret=True, AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["agents/call"], AllowedOAuthFlowsUserPoolClient=True)["UserPoolClient"]
secrets["the machine's client secret"] = machine["ClientSecret"]
secrets["taro's password"], secrets["a wrong password"] = "Taro-Password-1", "Wrong-Password-2"
cognito.admin_create_user(UserPoolId=pool, Username="taro", MessageAction="SUPPRESS")
cognito.admin_set_user_password(UserPoolId=pool, Username="taro", Password=secrets["taro's password"], Permanent=True)


def sign_in(password):
    return cognito.initiate_auth(ClientId=app["ClientId"], AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "taro", "PASSWORD": password})["AuthenticationResult"]


refused(lambda: sign_in(secrets["a wrong password"]), "NotAuthorizedException")
taro = sign_in(secrets["taro's password"])
secrets.update({"taro's access token": taro["AccessToken"], "taro's id token": taro["IdToken"], "taro's refresh token": taro["RefreshToken"]})
form = {"grant_type": "client_credentials", "client_id": machine["ClientId"], "client_secret": machine["ClientSecret"], "scope": "agents/call"}
with urllib.request.urlopen(ENDPOINT + "/" + pool + "/oauth2/token", urllib.parse.urlencode(form).encode()) as answer:
    secrets["the machine's token"] = json.load(answer)["access_token"]
bearer = runtime("bearer", authorizerConfiguration={"customJWTAuthorizer": {
    "discoveryUrl": "https://cognito-idp.%s.amazonaws.com/%s/.well-known/openid-configuration" % (REGION, pool), "allowedClients": [app["ClientId"], machine["ClientId"]]}})


def show(token):
    request = urllib.request.Request(ENDPOINT + "/runtimes/" + urllib.parse.quote(bearer, safe="") + "/invocations", b"{}", {
        "Authorization": "Bearer " + token, "Content-Type": "application/json", "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": SESSION})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


for who, token in {"taro": taro["AccessToken"], "the machine": secrets["the machine's token"]}.items():
    status, headers = show(token)
    assert status == 200 and "authorization" not in headers and seen(headers, who), (who, status, headers)
status, text = show(taro["IdToken"])
assert status == 403 and "client_id" in text, (status, text)
broken = taro["AccessToken"][:-20] + base64.urlsafe_b64encode(os.urandom(15)).decode()
assert show(broken)[0] == 401, "a token that nobody signed"
data = boto3.client("bedrock-agentcore", config=QUIET)
refused(lambda: data.invoke_agent_runtime(agentRuntimeArn=bearer, runtimeSessionId=SESSION, payload=b"{}"), "AccessDeniedException", "Authorization method mismatch")

print(json.dumps(secrets))
