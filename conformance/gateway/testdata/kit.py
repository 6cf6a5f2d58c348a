"""What the programs beside this one have in common."""

import io
import json
import time
import zipfile

import boto3


def policy(action, resource="*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})


def role(name, *actions, services=("bedrock-agentcore",)):
    """The ARN of a role that services may assume, with some actions on everything."""
    trust = {"Effect": "Allow", "Principal": {"Service": [s + ".amazonaws.com" for s in services]}, "Action": "sts:AssumeRole"}
    iam = boto3.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
    if actions:
        iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=policy(list(actions)))
    return arn


def function(name, code, role):
    """The ARN of a function that is there to be invoked."""
    functions, packed = boto3.client("lambda"), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("lambda_function.py", code)
    arn = functions.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="lambda_function.lambda_handler", Code={"ZipFile": packed.getvalue()}
    )["FunctionArn"]
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return arn


def settled(read):
    """What read gives once it is READY."""
    while True:
        got = read()
        if got["status"] not in ("CREATING", "UPDATING"):
            assert got["status"] == "READY", got
            return got
        time.sleep(0.1)
