"""The story of an agent, by boto3: create from a zip in S3, wait, invoke,
continue the session, stop, update, delete. Arguments: the zip, the runtime."""

import json
import sys
import time
import uuid

import boto3
from botocore.exceptions import ClientError

zip_path, runtime = sys.argv[1:]
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")
s3 = boto3.client("s3")
account = boto3.client("sts").get_caller_identity()["Account"]


def settled(agent_id, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got = control.get_agent_runtime(agentRuntimeId=agent_id)
        if got["status"] not in ("CREATING", "UPDATING"):
            return got
        time.sleep(0.2)
    raise SystemExit(f"{agent_id} did not settle in {timeout} s")


def say(arn, session, prompt):
    answer = data.invoke_agent_runtime(agentRuntimeArn=arn, runtimeSessionId=session, payload=json.dumps({"prompt": prompt}))
    assert answer["contentType"].startswith("text/event-stream"), answer["contentType"]
    assert answer["runtimeSessionId"] == session, answer["runtimeSessionId"]
    lines = [l.decode() for l in answer["response"].iter_lines() if l]
    return "".join(json.loads(l.removeprefix("data: ")) for l in lines)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e.response
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        return e.response["Error"]["Message"]
    raise SystemExit(f"{call.__name__} was not refused with {code}")


s3.create_bucket(Bucket="story-python")
s3.upload_file(zip_path, "story-python", "agents/hello.zip")
config = dict(
    agentRuntimeArtifact={"codeConfiguration": {
        "code": {"s3": {"bucket": "story-python", "prefix": "agents/hello.zip"}},
        "runtime": runtime, "entryPoint": ["main.py"]}},
    roleArn=f"arn:aws:iam::{account}:role/outcrop-default",
    networkConfiguration={"networkMode": "PUBLIC"},
)
token = str(uuid.uuid4())
created = control.create_agent_runtime(
    agentRuntimeName="story_python", clientToken=token, description="first", environmentVariables={"GREETING": "s3cr3t"}, **config)
again = control.create_agent_runtime(
    agentRuntimeName="story_python", clientToken=token, description="first", environmentVariables={"GREETING": "s3cr3t"}, **config)
assert again["agentRuntimeId"] == created["agentRuntimeId"], "the same token made a second runtime"
assert created["status"] == "CREATING" and created["agentRuntimeVersion"] == "1", created
arn, agent_id = created["agentRuntimeArn"], created["agentRuntimeId"]

got = settled(agent_id)
assert got["status"] == "READY", got
assert got["environmentVariables"] == {"GREETING": "s3cr3t"}, got
assert got["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800}, got
assert "protocolConfiguration" not in got, "a member nobody set is in the answer"
assert agent_id in [r["agentRuntimeId"] for p in control.get_paginator("list_agent_runtimes").paginate() for r in p["agentRuntimes"]]
refused("ConflictException", control.create_agent_runtime, agentRuntimeName="story_python", **config)

session = str(uuid.uuid4())
assert say(arn, session, "add 19 and 23").strip() == "19 + 23 is 42.", "the answer does not depend on the prompt"
assert "add 19 and 23" in say(arn, session, "remember"), "the session has no memory"
other = str(uuid.uuid4())
assert "nothing" in say(arn, other, "remember"), "two sessions share memory"
data.stop_runtime_session(agentRuntimeArn=arn, runtimeSessionId=session)
assert "nothing" in say(arn, session, "remember"), "a stopped session remembers"
refused("ResourceNotFoundException", data.stop_runtime_session, agentRuntimeArn=arn, runtimeSessionId=str(uuid.uuid4()))
message = refused("ResourceNotFoundException", data.invoke_agent_runtime, agentRuntimeArn=arn, qualifier="nosuch", payload=b"{}")
assert message == f"No endpoint or agent found with qualifier 'nosuch' for agent '{arn}'", message

updated = control.update_agent_runtime(agentRuntimeId=agent_id, description="second", **config)
assert updated["status"] == "UPDATING" and updated["agentRuntimeVersion"] == "2", updated
got = settled(agent_id)
assert got["status"] == "READY" and got["description"] == "second", got
assert "environmentVariables" not in got, "an omitted member was kept by Update"
assert say(arn, other, "remember").startswith("Before this you said: 'remember'"), "a running session lost its version"
assert say(arn, str(uuid.uuid4()), "add 1 2").strip() == "1 + 2 is 3."

assert control.delete_agent_runtime(agentRuntimeId=agent_id)["status"] == "DELETING"
for _ in range(100):
    try:
        control.get_agent_runtime(agentRuntimeId=agent_id)
    except ClientError as e:
        assert e.response["Error"]["Code"] == "ResourceNotFoundException", e.response
        break
    time.sleep(0.2)
else:
    raise SystemExit("the runtime is still there")
refused("ResourceNotFoundException", data.invoke_agent_runtime, agentRuntimeArn=arn, payload=b"{}")
print("story told")
