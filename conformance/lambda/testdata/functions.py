"""The life of functions, by unmodified boto3."""

import base64
import io
import json
import sys
import time
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client("lambda", config=Config(retries={"max_attempts": 0}, read_timeout=90))
sts, iam, s3, logs = boto3.client("sts"), boto3.client("iam"), boto3.client("s3"), None
account = sts.get_caller_identity()["Account"]
ROLE = f"arn:aws:iam::{account}:role/functions"

PYTHON = """
import json, logging, os, sys, time
COUNT = 0
def lambda_handler(event, context):
    global COUNT
    COUNT += 1
    print("said", json.dumps(event))
    logging.getLogger().warning("warned")
    kind = event.get("do")
    if kind == "raise":
        raise ValueError("boom")
    if kind == "exit":
        os._exit(7)
    if kind == "sleep":
        time.sleep(event["seconds"])
    if kind == "env":
        return dict(os.environ)
    if kind == "big":
        return "x" * event["size"]
    if kind == "set":
        return {1, 2}
    c = context.client_context
    return {
        "event": event, "count": COUNT, "version": sys.version_info[:2],
        "name": context.function_name, "fversion": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "id": context.aws_request_id, "group": context.log_group_name, "stream": context.log_stream_name,
        "left": context.get_remaining_time_in_millis(), "custom": c and c.custom, "env": c and c.env,
        "title": c and c.client and c.client.app_title, "identity": context.identity.cognito_identity_id,
    }
"""

NODE = """
exports.handler = async (event, context) => {
  console.log("said", JSON.stringify(event));
  if (event.do === "raise") throw new TypeError("boom");
  return { event, name: context.functionName, arn: context.invokedFunctionArn, custom: context.clientContext && context.clientContext.custom,
    left: context.getRemainingTimeInMillis(), id: context.awsRequestId };
};
exports.callback = (event, context, callback) => { setTimeout(() => console.log("late"), 30); callback(null, { ok: true }); };
let count = 0;
exports.silent = (event) => {
  count++;
  if (event.do === "wait") setTimeout(() => console.log("waited"), 300);
  return "nobody's";
};
exports.never = async (event) => (event.do === "count" ? count : new Promise(() => count++));
exports.packed = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  require("node:zlib").gzip("x".repeat(5e6), (error, out) => callback(error, out.length > 100));
};
exports.ended = (event, context, callback) => {
  const { Worker } = require("node:worker_threads");
  new Worker("require('node:worker_threads').parentPort.postMessage(5)", { eval: true }).on("message", (m) => {
    if (event.do === "succeed") return context.succeed(m);
    setTimeout(() => callback(new Error("too late")), 300);
    return callback(null, m);
  });
  if (event.do === "succeed") setTimeout(() => {}, 60000);
};
exports.hasty = awslambda.streamifyResponse((event, out) => { setTimeout(() => out.end("late"), 50); });
exports.stream = awslambda.streamifyResponse(async (event, out) => {
  out.setContentType("text/plain");
  out.write("one");
  await new Promise((r) => setTimeout(r, 300));
  out.write("two");
  if (event.do === "raise") throw new Error("midway");
  if (event.do === "leave") return setTimeout(() => out.end("three"), 300);
  if (event.do !== "forget") out.end();
});
"""


def pack(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)
    return buffer.getvalue()


def create(name, runtime, handler, files, **more):
    out = client.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code={"ZipFile": pack(files)}, **more)
    assert out["ResponseMetadata"]["HTTPStatusCode"] == 201, out
    assert out["State"] == "Pending" and out["StateReasonCode"] == "Creating", out
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return out


def updated(name):
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def invoke(name, event, **more):
    out = client.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    out["body"] = json.loads(out["Payload"].read() or "null")
    return out


def refused(code, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        return e
    raise AssertionError(f"{call} was not refused by {code}")


def roles():
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName="functions", AssumeRolePolicyDocument=json.dumps(trust))
    trust["Statement"][0]["Principal"]["Service"] = "ec2.amazonaws.com"
    iam.create_role(RoleName="another", AssumeRolePolicyDocument=json.dumps(trust))


def python():
    out = create("story", "python3.13", "app.lambda_handler", {"app.py": PYTHON}, Description="d", Tags={"a": "b"}, Environment={"Variables": {"MINE": "1"}})
    arn = f"arn:aws:lambda:{client.meta.region_name}:{account}:function:story"
    assert out["FunctionArn"] == arn and out["Version"] == "$LATEST" and out["PackageType"] == "Zip", out
    got = client.get_function(FunctionName="story")
    assert got["Configuration"]["State"] == "Active" and got["Configuration"]["LastUpdateStatus"] == "Successful" and got["Tags"] == {"a": "b"}, got
    refused("ResourceConflictException", client.create_function, FunctionName="story", Runtime="python3.13", Handler="a.b", Role=ROLE, Code={"ZipFile": pack({"a.py": ""})})

    context = base64.b64encode(json.dumps({"custom": {"k": "v"}, "env": {"e": "f"}, "client": {"app_title": "t"}}).encode()).decode()
    one = invoke("story", {"n": 1}, ClientContext=context, LogType="Tail")
    body = one["body"]
    assert one["StatusCode"] == 200 and "FunctionError" not in one and one["ExecutedVersion"] == "$LATEST", one
    assert body["event"] == {"n": 1} and body["custom"] == {"k": "v"} and body["env"] == {"e": "f"} and body["title"] == "t" and body["identity"] is None, body
    assert body["name"] == "story" and body["arn"] == arn and body["memory"] == "128" and body["fversion"] == "$LATEST" and 0 < body["left"] <= 3000, body
    assert body["id"] == one["ResponseMetadata"]["RequestId"], (body, one)
    log = base64.b64decode(one["LogResult"]).decode()
    lines = log.splitlines()
    assert lines[0] == f"START RequestId: {body['id']} Version: $LATEST" and lines[1] == 'said {"n": 1}' and lines[2].startswith("[WARNING]\t") and lines[2].endswith("\twarned"), log
    assert lines[3] == f"END RequestId: {body['id']}" and lines[4].startswith(f"REPORT RequestId: {body['id']}\tDuration: "), log
    two = invoke(arn, {"n": 2})["body"]
    assert two["count"] == 2 and two["stream"] == body["stream"], "the environment is used again"
    assert invoke(f"{account}:function:story", {}, Qualifier="$LATEST")["body"]["arn"] == arn + ":$LATEST"
    assert client.invoke(FunctionName="story")["StatusCode"] == 200
    assert invoke("story", {}, InvocationType="DryRun")["StatusCode"] == 204
    env = invoke("story", {"do": "env"})["body"]
    assert env["MINE"] == "1" and env["AWS_LAMBDA_FUNCTION_NAME"] == "story" and env["LAMBDA_TASK_ROOT"] == "/var/task" and env["TZ"] == ":UTC" and "AWS_SECRET_ACCESS_KEY" not in env, env
    return arn


def failures(arn):
    out = invoke("story", {"do": "raise"}, LogType="Tail")
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorMessage"] == "boom" and out["body"]["errorType"] == "ValueError" and "app.py" in out["body"]["stackTrace"][0], out
    assert "[ERROR] ValueError: boom" in base64.b64decode(out["LogResult"]).decode()
    out = invoke("story", {"do": "set"})
    assert out["body"]["errorType"] == "Runtime.MarshalError", out
    out = invoke("story", {"do": "exit"})
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorType"] == "Runtime.ExitError" and out["body"]["errorMessage"].endswith("Error: Runtime exited with error: exit status 7"), out
    start = time.time()
    out = invoke("story", {"do": "sleep", "seconds": 20}, LogType="Tail")
    assert out["body"]["errorType"] == "Sandbox.Timedout" and out["body"]["errorMessage"].endswith("Task timed out after 3.00 seconds") and time.time() - start < 10, out
    assert "Task timed out after 3.00 seconds" in base64.b64decode(out["LogResult"]).decode()
    assert invoke("story", {})["body"]["count"] == 1, "a new environment answers"
    out = invoke("story", {"do": "big", "size": 6 << 20})
    assert "FunctionError" not in out and len(out["body"]) == 6 << 20, out["body"][:100] if isinstance(out["body"], str) else out
    out = invoke("story", {"do": "big", "size": (6 << 20) + 200})
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorType"] == "Function.ResponseSizeTooLarge", out
    refused("RequestTooLargeException", client.invoke, FunctionName="story", Payload=json.dumps("x" * (6 << 20)))
    assert invoke("story", {"x": "y" * (5 << 20)})["StatusCode"] == 200
    refused("InvalidRequestContentException", client.invoke, FunctionName="story", Payload=b"{no json")
    refused("InvalidRequestContentException", client.invoke, FunctionName="story", ClientContext="nonsense!")
    e = refused("ResourceNotFoundException", client.invoke, FunctionName="nobody")
    assert str(e).endswith(f"Function not found: {arn.replace(':story', ':nobody')}"), e
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    refused("ResourceNotFoundException", client.invoke, FunctionName="story", Qualifier="7")
    refused("InvalidParameterValueException", client.create_function, FunctionName="x", Runtime="java21", Handler="a.b", Role=ROLE, Code={"ZipFile": pack({"a.py": ""})})
    refused("InvalidParameterValueException", client.create_function, FunctionName="x", Runtime="python3.13", Handler="a.b", Role=ROLE, Code={"ZipFile": b"no zip"})
    e = refused("InvalidParameterValueException", client.create_function, FunctionName="x", Runtime="python3.13", Handler="a.b", Role=f"arn:aws:iam::{account}:role/another", Code={"ZipFile": pack({"a.py": ""})})
    assert "The role defined for the function cannot be assumed by Lambda." in str(e), e
    refused("InvalidParameterValueException", client.create_function, FunctionName="x", Runtime="python3.13", Handler="a.b", Role=ROLE, Code={"ZipFile": pack({"a.py": ""})}, Environment={"Variables": {"AWS_REGION": "x"}})
    refused("ValidationException", client.create_function, FunctionName="x", Role=ROLE, Code={"ImageUri": "x"}, PackageType="Image")


def names():
    """Modules that are called as Python's own are no harm, and come first where the function asks for them."""
    code = "import subprocess, sys, calendar\ndef h(e, c): return [calendar.MINE, subprocess.check_output([sys.executable, '-c', 'import other; print(other.X)'], text=True)]"
    create("names", "python3.13", "m.h", {"m.py": code, "json.py": "1/0", "selectors.py": "1/0", "calendar.py": "MINE = 5", "other.py": "X = 6"})
    out = invoke("names", {})
    assert out["body"] == [5, "6\n"], out
    client.delete_function(FunctionName="names")


def structured():
    """Logs of JSON, in Python and in Node.js."""
    code = "import logging\ndef h(e, c):\n  print('said'); logging.info('about %s', 1, extra={'order': 7, 'level': 'mine'}); logging.debug('not')\n  try: 1 / 0\n  except ZeroDivisionError: logging.exception('caught')\n  raise ValueError('boom')"
    create("structured", "python3.13", "m.h", {"m.py": code}, LoggingConfig={"LogFormat": "JSON"})
    lines = told("structured", {})
    assert [x if isinstance(x, str) else x.get("type", x.get("level")) for x in lines] == ["platform.start", "said", "INFO", "ERROR", "ERROR", "platform.report"], lines
    start, _, about, caught, failed, report = lines
    id = start["record"]["requestId"]
    assert about["message"] == "about 1" and about["logger"] == "root" and about["order"] == 7 and about["requestId"] == id and about["timestamp"].endswith("Z"), about
    assert caught["errorType"] == "ZeroDivisionError" and caught["stackTrace"] and caught["location"].startswith("/var/task/m.py:h:"), caught
    assert failed["errorType"] == "ValueError" and failed["errorMessage"] == "boom" and failed["requestId"] == id, failed
    assert report["record"]["status"] == "error" and report["record"]["requestId"] == id and report["record"]["metrics"]["memorySizeMB"] == 128, report
    code = "exports.h = async () => { console.log('a %d', 1); console.info({ b: 2 }); console.debug('not'); console.error('c', new TypeError('d')); throw new RangeError('boom'); }"
    create("structured-node", "nodejs22.x", "i.h", {"i.js": code}, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN"})
    a, b, c, failed, report = told("structured-node", {})
    assert a["level"] == "INFO" and a["message"] == "a 1" and b["message"] == {"b": 2} and a["requestId"] == b["requestId"], (a, b)
    assert c["level"] == "ERROR" and c["errorType"] == "TypeError" and c["errorMessage"] == "d" and c["message"].startswith("c TypeError: d"), c
    assert failed["level"] == "ERROR" and failed["message"]["errorType"] == "RangeError" and failed["message"]["stackTrace"][0] == "RangeError: boom", failed
    assert report["type"] == "platform.report" and report["record"]["status"] == "error", report
    for name in "structured", "structured-node":
        client.delete_function(FunctionName=name)


def told(name, event):
    """The lines of an invocation's log, those that are JSON parsed."""
    lines = base64.b64decode(invoke(name, event, LogType="Tail")["LogResult"]).decode().splitlines()
    return [json.loads(x) if x.startswith("{") else x for x in lines if not x.startswith("outcrop: ")]


def changes():
    before = client.get_function_configuration(FunctionName="story")
    out = client.update_function_code(FunctionName="story", ZipFile=pack({"app.py": "def lambda_handler(e, c): return 'second'"}))
    assert out["LastUpdateStatus"] == "InProgress" and out["CodeSha256"] != before["CodeSha256"] and out["RevisionId"] != before["RevisionId"], out
    updated("story")
    assert invoke("story", {})["body"] == "second"
    client.update_function_configuration(FunctionName="story", Timeout=7, MemorySize=256, Environment={"Variables": {"MINE": "2"}})
    updated("story")
    got = client.get_function_configuration(FunctionName="story")
    assert got["Timeout"] == 7 and got["MemorySize"] == 256 and got["Environment"]["Variables"] == {"MINE": "2"}, got
    refused("PreconditionFailedException", client.update_function_code, FunctionName="story", ZipFile=pack({"app.py": ""}), RevisionId="x")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="f.zip", Body=pack({"app.py": "def lambda_handler(e, c): return 'third'"}))
    client.update_function_code(FunctionName="story", S3Bucket="code", S3Key="f.zip")
    updated("story")
    assert invoke("story", {})["body"] == "third"
    refused("InvalidParameterValueException", client.update_function_code, FunctionName="story", S3Bucket="code", S3Key="none.zip")
    client.update_function_code(FunctionName="story", ZipFile=pack({"other.py": ""}))
    updated("story")
    out = invoke("story", {})
    assert out["body"]["errorType"] == "Runtime.ImportModuleError" and out["body"]["errorMessage"] == "Unable to import module 'app': No module named 'app'", out


def policies(arn):
    refused("ResourceNotFoundException", client.get_policy, FunctionName="story")
    out = client.add_permission(FunctionName="story", StatementId="s", Action="lambda:InvokeFunction", Principal=ROLE)
    want = {"Sid": "s", "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "lambda:InvokeFunction", "Resource": arn}
    assert out["ResponseMetadata"]["HTTPStatusCode"] == 201 and json.loads(out["Statement"]) == want, out
    refused("ResourceConflictException", client.add_permission, FunctionName="story", StatementId="s", Action="lambda:InvokeFunction", Principal=ROLE)
    client.add_permission(FunctionName="story", StatementId="t", Action="lambda:InvokeFunction", Principal="bedrock-agentcore.amazonaws.com", SourceAccount=account)
    refused("InvalidParameterValueException", client.add_permission, FunctionName="story", StatementId="u", Action="lambda:InvokeFunction", Principal=f"arn:aws:iam::{account}:role/nobody")
    doc = json.loads(client.get_policy(FunctionName="story")["Policy"])
    assert doc["Statement"][0] == want and doc["Statement"][1]["Condition"] == {"StringEquals": {"AWS:SourceAccount": account}}, doc
    client.remove_permission(FunctionName="story", StatementId="t")
    refused("ResourceNotFoundException", client.remove_permission, FunctionName="story", StatementId="t")

    # Somebody with no policy of their own is let in by the function's, and by nothing else.
    iam.create_user(UserName="caller")
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    theirs = boto3.client("lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], config=Config(retries={"max_attempts": 0}))
    e = refused("AccessDeniedException", theirs.invoke, FunctionName="story")
    assert "lambda:InvokeFunction" in str(e) and arn in str(e), e
    client.add_permission(FunctionName="story", StatementId="c", Action="lambda:InvokeFunction", Principal=f"arn:aws:iam::{account}:user/caller")
    assert theirs.invoke(FunctionName="story")["StatusCode"] == 200
    refused("AccessDeniedException", theirs.delete_function, FunctionName="story")
    client.tag_resource(Resource=arn, Tags={"c": "d"})
    client.untag_resource(Resource=arn, TagKeys=["a"])
    assert client.list_tags(Resource=arn)["Tags"] == {"c": "d"}


def node():
    create("node", "nodejs22.x", "index.handler", {"index.js": NODE}, DeadLetterConfig={})
    refused("ValidationException", client.update_function_configuration, FunctionName="node", DeadLetterConfig={"TargetArn": f"arn:aws:sqs:us-east-1:{account}:dead"})
    refused("InvalidParameterValueException", client.add_permission, FunctionName="node", Qualifier="$LATEST", StatementId="s", Action="lambda:InvokeFunction", Principal="*")
    out = invoke("node", {"a": 1}, ClientContext=base64.b64encode(b'{"custom":{"k":"v"}}').decode(), LogType="Tail")
    assert out["body"]["event"] == {"a": 1} and out["body"]["custom"] == {"k": "v"} and out["body"]["name"] == "node", out
    assert "\tINFO\tsaid {\"a\":1}" in base64.b64decode(out["LogResult"]).decode()
    out = invoke("node", {"do": "raise"})
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorType"] == "TypeError" and out["body"]["trace"][0] == "TypeError: boom", out
    client.update_function_configuration(FunctionName="node", Handler="index.callback")
    updated("node")
    out = invoke("node", {}, LogType="Tail")
    assert out["body"] == {"ok": True} and "late" in base64.b64decode(out["LogResult"]).decode(), out
    # Who calls nobody back has answered when nothing is left to do.
    client.update_function_configuration(FunctionName="node", Handler="index.silent", Timeout=20)
    updated("node")
    for event, said in ({}, False), ({"do": "wait"}, True):
        out = invoke("node", event, LogType="Tail")
        assert out["body"] is None and "FunctionError" not in out and said == ("waited" in base64.b64decode(out["LogResult"]).decode()), out
    client.update_function_configuration(FunctionName="node", Handler="index.never")
    updated("node")
    out = invoke("node", {})
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorType"] == "Runtime.NodeJsExit", out
    assert invoke("node", {"do": "count"})["body"] == 1, "the environment goes on"
    client.update_function_configuration(FunctionName="node", Handler="index.packed")
    updated("node")
    assert invoke("node", {})["body"] is True
    client.update_function_configuration(FunctionName="node", Handler="index.ended")
    updated("node")
    for event in {}, {"do": "succeed"}:  # the latter waits for nothing
        out = invoke("node", event)
        assert out["body"] == 5 and "FunctionError" not in out, out
    client.update_function_configuration(FunctionName="node", Handler="index.hasty")
    updated("node")
    out = invoke("node", {})
    assert out["FunctionError"] == "Unhandled" and out["body"]["errorMessage"] == "Streaming does not support non-async handlers.", out
    client.update_function_configuration(FunctionName="node", Handler="index.stream", Timeout=3)
    updated("node")
    for event, error, more in ({}, None, []), ({"do": "raise"}, "midway", []), ({"do": "leave"}, None, [b"three"]), ({"do": "forget"}, "Task timed out after 3.00 seconds", []):
        out = client.invoke_with_response_stream(FunctionName="node", Payload=json.dumps(event))
        assert out["StatusCode"] == 200 and out["ExecutedVersion"] == "$LATEST", out
        events = list(out["EventStream"])
        assert [e["PayloadChunk"]["Payload"] for e in events[:-1]] == [b"one", b"two", *more], events
        end = events[-1]["InvokeComplete"]
        assert (error is None and "ErrorCode" not in end) or (end["ErrorCode"] == "Unhandled" and json.loads(end["ErrorDetails"])["errorMessage"].endswith(error)), events
    create("module", "nodejs20.x", "src/index.handler", {"src/index.mjs": 'import { x } from "./b.mjs"; export const handler = async () => x;', "src/b.mjs": "export const x = 7;"})
    assert invoke("module", {})["body"] == 7


def sdk():
    code = "import boto3\nsts = boto3.client('sts')\ndef h(e, c): return [sts.get_caller_identity()['Arn'], boto3.__file__]"
    create("identity", "python3.12", "m.h", {"m.py": code}, Timeout=20)
    reason = client.get_function_configuration(FunctionName="identity").get("StateReason", "")
    if "boto3" in reason:
        print("skipped: " + reason, file=sys.stderr)
        return
    arn, file = invoke("identity", {})["body"]
    assert arn == f"arn:aws:sts::{account}:assumed-role/functions/identity" and file.startswith("/var/python-sdk/"), (arn, file)


def events():
    """An event is delivered, and what it says is in the log of the function."""
    code = "import boto3\ndef h(e, c): print('delivered', e['n'])"
    create("later", "python3.13", "m.h", {"m.py": code.replace("import boto3\n", "")})
    assert client.invoke(FunctionName="later", InvocationType="Event", Payload=b'{"n": 4}')["StatusCode"] == 202


def lists():
    names = [f["FunctionName"] for page in client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}) for f in page["Functions"]]
    assert names == ["story", "node", "module", "identity", "later"], names
    assert client.list_versions_by_function(FunctionName="story")["Versions"][0]["Version"] == "$LATEST"
    refused("ValidationException", client.publish_version, FunctionName="story")


def end():
    out = client.delete_function(FunctionName="story")
    assert out["ResponseMetadata"]["HTTPStatusCode"] == 204, out
    refused("ResourceNotFoundException", client.get_function, FunctionName="story")
    refused("ResourceNotFoundException", client.delete_function, FunctionName="story")
    create("story", "python3.13", "app.h", {"app.py": "def h(e, c): return 'again'"})
    assert invoke("story", {})["body"] == "again"


def storage():
    """What /tmp holds is EphemeralStorage's, and no part of MemorySize."""
    fill = """
def h(event, context):
    block, n = b"x" * (1 << 20), 0
    try:
        with open("/tmp/file", "wb", buffering=0) as out:
            while True:
                n += out.write(block)
    except OSError as e:
        return [n >> 20, e.strerror]
"""
    create("storage", "python3.13", "app.h", {"app.py": fill}, MemorySize=128, Timeout=60)
    out = invoke("storage", {})
    assert out["body"] == [512, "No space left on device"], out


roles()
arn = python()
failures(arn)
names()
structured()
changes()
policies(arn)
node()
sdk()
events()
lists()
end()
storage()
print("told")
