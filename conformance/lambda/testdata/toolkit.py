"""The function that the starter toolkit makes for a gateway's target answers both of its tools."""

import base64
import json
import logging

import boto3
from bedrock_agentcore_starter_toolkit.operations.gateway.create_lambda import create_test_lambda

session = boto3.Session()
iam, account = session.client("iam"), session.client("sts").get_caller_identity()["Account"]
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "bedrock-agentcore.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
gateway = iam.create_role(RoleName="gateway", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
arn = create_test_lambda(session, logging.getLogger(), gateway)
assert create_test_lambda(session, logging.getLogger(), gateway) == arn, "a second time"
client = session.client("lambda")
client.get_waiter("function_active_v2").wait(FunctionName=arn)
for tool in "get_weather", "get_time":
    context = {"custom": {"bedrockAgentCoreToolName": f"Target___{tool}", "bedrockAgentCoreMessageVersion": "1.0"}}
    out = client.invoke(
        FunctionName=arn, Payload=json.dumps({"location": "Kyoto", "timezone": "UTC"}),
        ClientContext=base64.b64encode(json.dumps(context).encode()).decode(),
    )
    body = json.loads(out["Payload"].read())
    assert "FunctionError" not in out and body["statusCode"] == 200, (out, body)
print("told")
