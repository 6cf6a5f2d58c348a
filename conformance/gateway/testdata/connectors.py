"""Connectors as scripts use them: web search made by the AgentCore SDK's helper and asked
by its client, and a connector that the operator registered."""

import json
import os
import urllib.request

import boto3
from bedrock_agentcore._utils.config import WaitConfig
from bedrock_agentcore.gateway import GatewayClient
from bedrock_agentcore.tools.web_search_client import GatewayMcpBackend, WebSearchClient, WebSearchError
from botocore.exceptions import ClientError

import kit

region, account = os.environ["AWS_REGION"], os.environ["ACCOUNT"]
control, iam = boto3.client("bedrock-agentcore-control"), boto3.client("iam")
fast = WaitConfig(max_wait=30, poll_interval=1)
role = kit.role("gateway")
sdk = GatewayClient(region_name=region)


def gateway(name, authorizer):
    return sdk.create_gateway_and_wait(wait_config=fast, name=name, role_arn=role, authorizer_type=authorizer, protocol_type="MCP", exceptionLevel="DEBUG")


def refused(text, connector, **args):
    try:
        control.create_gateway_target(gatewayIdentifier=signed["gatewayId"], name="x", targetConfiguration={"mcp": {"connector": connector}}, **args)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == "ValidationException" and text in got["Message"], got
    else:
        raise AssertionError(f"{text!r} was expected")


signed, opened = gateway("signed", "AWS_IAM"), gateway("opened", "NONE")
for text, connector in {
    "integration bedrock-knowledge-bases is not available": {"source": {"connectorId": "bedrock-knowledge-bases"}},
    "There are desk, library": {"source": {"connectorId": "nothing"}},
    "versions 1.1.0 and 1.2.0": {"source": {"connectorId": "web-search", "version": "9.0.0"}},
    "no tool 'Search'": {"source": {"connectorId": "web-search"}, "enabled": ["Search"]},
    "no domain": {"source": {"connectorId": "web-search"}, "configurations": [{"name": "WebSearch", "parameterValues": {"domainFilter": {"exclude": ["http://x"]}}}]},
    "of version 1.2.0": {
        "source": {"connectorId": "web-search", "version": "1.1.0"},
        "configurations": [{"name": "WebSearch", "parameterValues": {"domainFilter": {"include": ["x.com"]}}}],
    },
}.items():
    refused(text, connector)
refused("only supports GATEWAY_IAM_ROLE", {"source": {"connectorId": "web-search"}}, credentialProviderConfigurations=[
    {"credentialProviderType": "GATEWAY_IAM_ROLE", "credentialProvider": {"iamCredentialProvider": {"service": "s3"}}}])

target = sdk.create_web_search_target(
    gateway_identifier=signed["gatewayArn"], exclude_domains=["example.net"], include_domains=["example.com", "example.org"],
    parameter_overrides=[{"path": "$.maxResults", "visible": False}], wait_config=fast,
)
items = control.list_gateway_targets(gatewayIdentifier=signed["gatewayId"])["items"]
assert [(t["name"], t["targetType"], t["status"]) for t in items] == [("amazon-web-search", "CONNECTOR", "READY")], items

client = WebSearchClient(region=region, backend=GatewayMcpBackend(signed["gatewayUrl"], region))
try:
    client.search("granite")
    raise AssertionError("a role without the right searches the web")
except WebSearchError as error:
    assert "bedrock-agentcore:InvokeWebSearch" in str(error), error
allow = {"Effect": "Allow", "Action": "bedrock-agentcore:InvokeWebSearch", "Resource": f"arn:aws:bedrock-agentcore:{region}:aws:tool/web-search.v1"}
iam.put_role_policy(RoleName="gateway", PolicyName="search", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))

found = client.search("granite")
hosts = [r.url.split("/")[2] for r in found]
assert hosts and set(hosts) == {"docs.example.com", "blog.example.org"}, hosts
assert found.search_id and all("granite" in r.title for r in found), found
assert {r.url.split("/")[2] for r in client.search("granite", include_domains=["docs.example.com", "elsewhere.test"])} == {"docs.example.com"}
assert len(client.search("granite", include_domains=["elsewhere.test"])) == 0

invoked = boto3.client("bedrock-agentcore").invoke_web_search(webSearchId="web-search.v1", searchQuery="granite", maxResults=2)["results"]
assert len(invoked) == 2 and all(r["text"] for r in invoked), invoked

sdk.create_gateway_target_and_wait(
    wait_config=fast, gateway_identifier=opened["gatewayArn"], name="web",
    target_configuration={"mcp": {"connector": {"source": {"connectorId": "web-search"}, "configurations": [
        {"name": "WebSearch", "description": "Ask the web", "parameterValues": {"maxResults": 1, "domainFilter": {"exclude": ["nowhere.test"]}}}]}}},
)
sdk.create_gateway_target_and_wait(
    wait_config=fast, gateway_identifier=opened["gatewayArn"], name="books",
    target_configuration={"mcp": {"connector": {"source": {"connectorId": "library"}, "enabled": ["find"], "configurations": [
        {"name": "find", "parameterValues": {"shelf": "geology"}, "parameterOverrides": [{"path": "/title", "description": "Words of the title"}]}]}}},
    credential_provider_configurations=[{"credentialProviderType": "GATEWAY_IAM_ROLE"}],
)
sdk.create_gateway_target_and_wait(
    wait_config=fast, gateway_identifier=opened["gatewayArn"], name="desk", target_configuration={"mcp": {"connector": {"source": {"connectorId": "desk"}}}}
)

# An endpoint of the operator's, at a gateway for more than MCP.
general = sdk.create_gateway_and_wait(wait_config=fast, name="general", role_arn=role, authorizer_type="NONE")
crm = {"http": {"connector": {"source": {"connectorId": "crm"}, "parameters": {"tenant": "ours"}}}}
try:
    control.create_gateway_target(gatewayIdentifier=general["gatewayId"], name="x", targetConfiguration={"http": {"connector": {"source": {"connectorId": "crm"}}}})
    raise AssertionError("a connector is made without its parameter")
except ClientError as error:
    assert "'tenant' is missing" in error.response["Error"]["Message"], error
sdk.create_gateway_target_and_wait(wait_config=fast, gateway_identifier=general["gatewayArn"], name="crm", target_configuration=crm)
items = control.list_gateway_targets(gatewayIdentifier=general["gatewayId"])["items"]
assert [(t["targetType"], t["status"]) for t in items] == [("HTTP_CONNECTOR", "READY")], items
with urllib.request.urlopen(general["gatewayUrl"] + "/crm/customers?open=true") as answer:
    assert json.load(answer) == {"asked": "/crm/ours/customers?open=true"}, answer

print(opened["gatewayUrl"], end="")
