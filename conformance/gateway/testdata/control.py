"""Makes, changes and deletes gateways and targets as scripts do: with the AgentCore
SDK's client, which names gateways by their ARNs, and with the starter toolkit's own."""

import json
import logging
import os
import time

import boto3
from bedrock_agentcore._utils.config import WaitConfig
from bedrock_agentcore.gateway import GatewayClient
from bedrock_agentcore_starter_toolkit.operations.gateway.client import GatewayClient as Toolkit
from botocore.exceptions import ClientError

import kit

logging.disable(logging.CRITICAL)  # what the toolkit tells is no error
region = os.environ["AWS_REGION"]
account = os.environ["ACCOUNT"]
control = boto3.client("bedrock-agentcore-control")
fast = WaitConfig(max_wait=30, poll_interval=1)
role = kit.role("gateway")
tools = [
    {"name": "get_weather", "description": "Weather", "inputSchema": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}},
    {"name": "get_time", "description": "Time", "inputSchema": {"type": "object", "properties": {"timezone": {"type": "string"}}, "required": ["timezone"]}},
]
function = {"mcp": {"lambda": {"lambdaArn": f"arn:aws:lambda:{region}:{account}:function:f", "toolSchema": {"inlinePayload": tools}}}}
by_role = [{"credentialProviderType": "GATEWAY_IAM_ROLE"}]


def refused(code, text, call, **args):
    try:
        call(**args)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code and text in got["Message"], got
        return error.response
    raise AssertionError(f"{code} was expected")


# The SDK: waits, ARNs as identifiers, a gateway by its name.
sdk = GatewayClient(region_name=region)
gateway = sdk.create_gateway_and_wait(
    wait_config=fast, name="Sdk-Gateway", role_arn=role, authorizer_type="AWS_IAM", protocol_type="MCP", description="of the SDK"
)
arn = gateway["gatewayArn"]
assert gateway["gatewayId"].startswith("sdk-gateway-") and gateway["gatewayUrl"].endswith(f"/gw/{gateway['gatewayId']}/mcp"), gateway
target = sdk.create_gateway_target_and_wait(
    wait_config=fast, gateway_identifier=arn, name="functions", target_configuration=function, credential_provider_configurations=by_role
)
assert target["status"] == "READY" and target["targetConfiguration"] == function, target
again = sdk.update_gateway_target_and_wait(
    wait_config=fast, gateway_identifier=arn, target_id=target["targetId"], name="renamed", target_configuration=function, credential_provider_configurations=by_role
)
assert again["name"] == "renamed" and "description" not in again, again
assert sdk.get_gateway_by_name("Sdk-Gateway")["gatewayArn"] == arn
assert sdk.get_gateway_target_by_name(arn, "renamed")["targetId"] == target["targetId"]
refused("ConflictException", "Delete all targets before deleting the gateway", sdk.delete_gateway, gatewayIdentifier=arn)
updated = sdk.update_gateway_and_wait(wait_config=fast, gateway_identifier=arn, name="Sdk-Gateway", role_arn=role, authorizer_type="NONE", protocol_type="MCP")
assert updated["status"] == "READY" and "description" not in updated, updated
sdk.delete_gateway_target_and_wait(wait_config=fast, gateway_identifier=arn, target_id=target["targetId"])
sdk.delete_gateway_and_wait(wait_config=fast, gateway_identifier=arn)
refused("ResourceNotFoundException", "No gateway found", control.get_gateway, gatewayIdentifier=arn)

# What is refused names the member.
body = refused("ValidationException", "([0-9a-zA-Z][-]?){1,48}", control.create_gateway, name="under_score", roleArn=role, authorizerType="NONE")
assert body["reason"] == "FieldValidationFailed" and body["fieldList"][0]["name"] == "name", body
refused("ValidationException", "there is no such role", control.create_gateway, name="x", roleArn=role + "-none", authorizerType="NONE")
refused(
    "ValidationException", "not available in Outcrop", control.create_gateway, name="x", roleArn=role, authorizerType="NONE",
    policyEngineConfiguration={"arn": f"arn:aws:bedrock-agentcore:{region}:{account}:policy-engine/e-0123456789", "mode": "ENFORCE"},
)

# Tags, and a policy on a gateway.
gateway = control.create_gateway(name="tagged", roleArn=role, authorizerType="AWS_IAM", tags={"team": "a"})
arn = gateway["gatewayArn"]
control.tag_resource(resourceArn=arn, tags={"stage": "dev"})
assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a", "stage": "dev"}
allow = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "bedrock-agentcore:InvokeGateway", "Resource": arn}
policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
control.put_resource_policy(resourceArn=arn, policy=policy)
assert control.get_resource_policy(resourceArn=arn)["policy"] == policy
everything = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Action": "bedrock-agentcore:GetGateway"}]})
refused("ValidationException", "is no action on gateways", control.put_resource_policy, resourceArn=arn, policy=everything)
anything = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Resource": "*"}]})
refused("ValidationException", "must be exactly", control.put_resource_policy, resourceArn=arn, policy=anything)
control.delete_gateway(gatewayIdentifier=arn)

# Rate limits, which this boto3 knows.
gateway = control.create_gateway(name="limited", roleArn=role, authorizerType="AWS_IAM")["gatewayId"]
entry = {"dimensions": {"toolName": "x*"}, "requests": [{"rate": 5, "period": "second"}]}
limit = control.create_gateway_rate_limit(gatewayIdentifier=gateway, dimensionKeys=["toolName"], entries=[entry])
assert limit["status"] == "ACTIVE" and limit["gatewayIdentifier"] == gateway, limit
refused("ConflictException", "the same dimensions", control.create_gateway_rate_limit, gatewayIdentifier=gateway, dimensionKeys=["toolName"], entries=[entry])
batch = [{"rateLimitId": limit["rateLimitId"], "dimensionKeys": ["toolName"], "entries": [entry | {"tokens": [{"rate": 1, "period": "minute"}]}]}]
assert "tokens" in control.batch_put_gateway_rate_limits(gatewayIdentifier=gateway, rateLimits=batch)["rateLimits"][0]["entries"][0]
assert len(control.list_gateway_rate_limits(gatewayIdentifier=gateway)["rateLimits"]) == 1
control.delete_gateway(gatewayIdentifier=gateway)

# The toolkit: a gateway with search for callers with tokens, its function, and the way back.
pool = boto3.client("cognito-idp").create_user_pool(PoolName="callers")["UserPool"]["Id"]
callers = {
    "customJWTAuthorizer": {
        "allowedClients": ["somebody"],
        "discoveryUrl": f"https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/openid-configuration",
    }
}
toolkit = Toolkit(region_name=region, endpoint_url=os.environ["AWS_ENDPOINT_URL"])
made = toolkit.create_mcp_gateway(name="Toolkit", role_arn=role, authorizer_config=callers, enable_observability=False)
shown = control.get_gateway(gatewayIdentifier=made["gatewayId"])
assert shown["status"] == "READY" and "statusReasons" not in shown and shown["exceptionLevel"] == "DEBUG", shown
first = toolkit.create_mcp_gateway_target(gateway=made, name="given", target_type="lambda", target_payload=function["mcp"]["lambda"])
toolkit.update_gateway(made["gatewayArn"], description="changed")
shown = control.get_gateway(gatewayIdentifier=made["gatewayId"])
assert shown["description"] == "changed" and shown["protocolConfiguration"]["mcp"]["searchType"] == "SEMANTIC", shown
assert [t["name"] for t in control.list_gateway_targets(gatewayIdentifier=made["gatewayId"])["items"]] == ["given"]
start = time.monotonic()
toolkit.cleanup_gateway(made["gatewayId"])
assert control.list_gateways()["items"] == []
print(f"{region}: gateways made and deleted; the toolkit's cleanup took {time.monotonic() - start:.1f} s")
