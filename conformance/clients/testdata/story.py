"""The story of an agent, by boto3: create from a zip in S3, wait, invoke,
continue the session, run a command in it, stop, update, pin and roll endpoints, delete. The AgentCore
SDK's waiters have a part in it. Arguments: the zip, the runtime."""

import json
import sys
import time
import uuid

import boto3
from bedrock_agentcore._utils.config import WaitConfig
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
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


def say(arn, session, prompt, qualifier="DEFAULT"):
    answer = data.invoke_agent_runtime(agentRuntimeArn=arn, qualifier=qualifier, runtimeSessionId=session, payload=json.dumps({"prompt": prompt}))
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
ran = data.invoke_agent_runtime_command(
    agentRuntimeArn=arn, runtimeSessionId=session, body={"command": "printf 'hello from '; printf bash; echo trouble >&2; exit 3", "timeout": 60})
assert ran["contentType"] == "application/vnd.amazon.eventstream" and ran["runtimeSessionId"] == session, ran
events = [e["chunk"] for e in ran["stream"]]
assert "contentStart" in events[0] and events[-1]["contentStop"] == {"exitCode": 3, "status": "COMPLETED"}, events
for stream, said in {"stdout": "hello from bash", "stderr": "trouble\n"}.items():
    assert "".join(e["contentDelta"].get(stream, "") for e in events[1:-1]) == said, events
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

# Endpoints: DEFAULT has followed, another stays where it is until it is rolled.
sdk, soon = AgentCoreRuntimeClient(session=boto3.Session()), WaitConfig(max_wait=60, poll_interval=1)
prod = sdk.create_agent_runtime_endpoint_and_wait(
    wait_config=soon, agentRuntimeId=agent_id, name="prod", agentRuntimeVersion="1", description="pinned", tags={"stage": "prod"})
assert prod["liveVersion"] == prod["targetVersion"] == "1" and prod["description"] == "pinned", prod
default = control.get_agent_runtime_endpoint(agentRuntimeId=agent_id, endpointName="DEFAULT")
assert default["status"] == "READY" and default["liveVersion"] == "2", default
pinned = str(uuid.uuid4())
assert say(arn, pinned, "add 2 3", "prod").strip() == "2 + 3 is 5."
rolled = sdk.update_agent_runtime_endpoint_and_wait(wait_config=soon, agentRuntimeId=agent_id, endpointName="prod", agentRuntimeVersion="2")
assert rolled["liveVersion"] == "2" and rolled["description"] == "pinned" and rolled["id"] == prod["id"], rolled
assert "add 2 3" in say(arn, pinned, "remember", "prod"), "a running session lost its version"
assert "nothing" in say(arn, pinned, "remember"), "two endpoints share a session"
data.stop_runtime_session(agentRuntimeArn=arn, qualifier="prod", runtimeSessionId=pinned)
assert [e["name"] for p in control.get_paginator("list_agent_runtime_endpoints").paginate(agentRuntimeId=agent_id) for e in p["runtimeEndpoints"]] == ["DEFAULT", "prod"]
refused("ConflictException", control.delete_agent_runtime_endpoint, agentRuntimeId=agent_id, endpointName="DEFAULT")
refused("ConflictException", control.delete_agent_runtime, agentRuntimeId=agent_id)
refused("ConflictException", control.delete_agent_runtime, agentRuntimeId=agent_id, agentRuntimeVersion="2")
assert control.delete_agent_runtime(agentRuntimeId=agent_id, agentRuntimeVersion="1")["status"] == "DELETING"

prod_arn = prod["agentRuntimeEndpointArn"]
control.tag_resource(resourceArn=prod_arn, tags={"team": "a"})
control.untag_resource(resourceArn=prod_arn, tagKeys=["stage"])
assert control.list_tags_for_resource(resourceArn=prod_arn)["tags"] == {"team": "a"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": prod_arn}]})
assert "policy" not in control.get_resource_policy(resourceArn=prod_arn)
control.put_resource_policy(resourceArn=prod_arn, policy=policy)
assert control.get_resource_policy(resourceArn=prod_arn)["policy"] == policy
control.put_resource_policy(resourceArn=prod_arn, policy=policy.replace("Allow", "Deny"))
denied = refused("AccessDeniedException", data.invoke_agent_runtime, agentRuntimeArn=arn, qualifier="prod", payload=b"{}")
assert "with an explicit deny in a resource-based policy" in denied, denied
control.delete_resource_policy(resourceArn=prod_arn)
refused("ResourceNotFoundException", control.delete_resource_policy, resourceArn=prod_arn)

assert control.delete_agent_runtime_endpoint(agentRuntimeId=agent_id, endpointName="prod")["status"] == "DELETING"
for _ in range(300):
    if len(control.list_agent_runtime_endpoints(agentRuntimeId=agent_id)["runtimeEndpoints"]) == 1:
        break
    time.sleep(0.2)
else:
    raise SystemExit("the endpoint is still there")
assert [v["agentRuntimeVersion"] for v in control.list_agent_runtime_versions(agentRuntimeId=agent_id)["agentRuntimes"]] == ["2"]

assert control.delete_agent_runtime(agentRuntimeId=agent_id)["status"] == "DELETING"
for _ in range(300):
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
