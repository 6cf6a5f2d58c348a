"""Calls models with boto3, as agents do, and looks into the record of it."""

import json

import boto3
from botocore.exceptions import ClientError, EventStreamError

models = boto3.client("bedrock-runtime")
CLAUDE = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "description": "how warm it is",
                                 "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}}]}


def say(text):
    return [{"role": "user", "content": [{"text": text}]}]


# Once round with a tool, as a whole and as a stream, at both kinds of providers.
for model in CLAUDE, "qwen3:8b", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0":
    messages = say("How warm is Kyoto?")
    out = models.converse(modelId=model, messages=messages, toolConfig=TOOLS, system=[{"text": "Be brief."}])
    assert out["stopReason"] == "tool_use", out
    use = out["output"]["message"]["content"][-1]["toolUse"]
    assert use["input"] == {"city": "Kyoto"}, use
    assert out["usage"]["totalTokens"] > 0 and "latencyMs" in out["metrics"], out
    messages += [out["output"]["message"], {"role": "user", "content": [{"toolResult": {
        "toolUseId": use["toolUseId"], "content": [{"json": {"celsius": 21}}], "status": "success"}}]}]
    text, stopped = "", None
    for event in models.converse_stream(modelId=model, messages=messages, toolConfig=TOOLS)["stream"]:
        text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        stopped = event.get("messageStop", {}).get("stopReason", stopped)
        usage = event.get("metadata", {}).get("usage")
    assert (text, stopped) == ("It is 21 degrees.", "end_turn") and usage["outputTokens"] > 0, (text, stopped, usage)

    events = list(models.converse_stream(modelId=model, messages=say("How warm is Kyoto?"), toolConfig=TOOLS)["stream"])
    starts = [e["contentBlockStart"]["start"]["toolUse"]["name"] for e in events if "contentBlockStart" in e]
    given = "".join(e["contentBlockDelta"]["delta"].get("toolUse", {}).get("input", "") for e in events if "contentBlockDelta" in e)
    assert starts == ["weather"] and json.loads(given) == {"city": "Kyoto"}, events

# Bodies in the format of the model's maker.
body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": [{"role": "user", "content": "21?"}]})
whole = json.loads(models.invoke_model(modelId="openai.local", body=json.dumps({"messages": [{"role": "user", "content": "plain"}]}))["body"].read())
assert whole["choices"][0]["message"]["content"] == "plainly", whole
text = ""
for event in models.invoke_model_with_response_stream(modelId=CLAUDE, body=body)["body"]:
    text += json.loads(event["chunk"]["bytes"]).get("delta", {}).get("text", "")
assert text == "It is 21 degrees.", text
vector = json.loads(models.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "a"}))["body"].read())
assert vector == {"embedding": [1, 2], "inputTextTokenCount": 3}, vector
assert models.count_tokens(modelId=CLAUDE, input={"converse": {"messages": say("x")}})["inputTokens"] == 42

# What goes wrong.
for call, code, status in (
    (lambda: models.converse(modelId="qwen3:8b", messages=say("x"), guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"}), "ValidationException", 400),
    (lambda: models.apply_guardrail(guardrailIdentifier="abc", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "x"}}]), "ValidationException", 400),
    (lambda: models.converse(modelId="qwen3:8b", messages=say("be missing")), "ResourceNotFoundException", 404),
    (lambda: models.count_tokens(modelId="qwen3:8b", input={"converse": {"messages": say("x")}}), "ValidationException", 400),
):
    try:
        call()
        raise AssertionError(code)
    except ClientError as e:
        meta = e.response["ResponseMetadata"]
        assert e.response["Error"]["Code"] == code and meta["HTTPStatusCode"] == status and meta["RetryAttempts"] == 0, e.response
try:
    for event in models.converse_stream(modelId="qwen3:8b", messages=say("break off"))["stream"]:
        pass
    raise AssertionError("the stream is whole")
except EventStreamError as e:
    assert e.response["Error"]["Code"] == "modelStreamErrorException", e.response

# All of it is on record.
trail = boto3.client("cloudtrail")
found = [e for page in trail.get_paginator("lookup_events").paginate(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "Converse"}], PaginationConfig={"PageSize": 2})
         for e in page["Events"]]
assert len(found) == 5, found
refused = json.loads(found[0]["CloudTrailEvent"])
assert refused["errorCode"] == "ResourceNotFoundException" and "be missing" not in found[0]["CloudTrailEvent"], refused
assert refused["userIdentity"]["type"] == "Root" and refused["eventSource"] == "bedrock.amazonaws.com", refused
try:
    trail.describe_trails()
    raise AssertionError("there are trails")
except ClientError as e:
    assert "outcrop audit" in e.response["Error"]["Message"], e.response
print("told")
