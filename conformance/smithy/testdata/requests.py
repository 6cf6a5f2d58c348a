"""Calls operations of botocore's clients with arguments made up from their models, and prints what would be sent: one JSON
line for each call. Nothing is sent. Arguments are printed as tools take them: by the names of the wire in bodies, blobs in
base64, times as RFC 3339 has them."""

import base64
import datetime
import json
import sys

import botocore.session
from botocore.config import Config

at = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.timezone.utc)


def text(member, shape, where):
    if shape.enum:
        return shape.enum[0]
    low = shape.metadata.get("min", 1)
    if member.serialization.get("hostLabel") or "contextParam" in str(member.metadata) or where == "host":
        return "my-bucket"
    if where == "uri":
        return ("x y/é~" if low < 7 else "x" * low)
    return ("ab,\"c" if low < 6 else "x" * low)


def value(shape, depth, where=None):
    """A value for botocore, and the same as a tool's argument."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return {"a": [1, None, "b"]}, {"a": [1, None, "b"]}
        theirs, ours = {}, {}
        members = shape.members.items()
        if shape.is_tagged_union:
            # One that does not lead back, if there is any.
            members = sorted(members, key=lambda m: m[1].type_name in ("structure", "list", "map"))[:1]
        for name, member in members:
            required = name in shape.required_members or shape.is_tagged_union
            if depth > 3 and not required:
                continue
            location = member.serialization.get("location")
            if where == "top" and name in skipped:
                continue
            if member.serialization.get("jsonvalue") and location == "header":
                theirs[name], ours[name] = {"a": 1}, '{"a":1}'
                continue
            if member.type_name == "string" and location in ("uri", "header", "querystring"):
                v = text(member, member, "host" if member.serialization.get("hostLabel") or member.serialization.get("contextParam") or name in hosts else location)
                if location == "header":
                    v = v.replace('"', "")
                theirs[name], ours[name] = v, v
                continue
            v, w = value(member, depth + 1)
            wire = name if location or name == shape.serialization.get("payload") else member.serialization.get("name", name)
            if wire != name and wire in shape.members and shape.members[wire].serialization.get("location"):
                wire = name  # the other one has it among arguments
            theirs[name], ours[wire] = v, w
        return theirs, ours
    if kind == "list":
        low = shape.metadata.get("min", 0 if depth > 4 else 1)
        if low == 0:
            return [], []
        v, w = value(shape.member, depth + 1)
        return [v] * low, [w] * low
    if kind == "map":
        if depth > 4:
            return {}, {}
        v, w = value(shape.value, depth + 1)
        key = shape.key.enum[0] if shape.key.enum else "k" * max(1, shape.key.metadata.get("min", 1))
        return {key: v}, {key: w}
    if kind == "string":
        v = text(shape, shape, None)
        return v, v
    if kind in ("integer", "long"):
        v = max(int(shape.metadata.get("min", 1)), 1)
        return v, v
    if kind in ("float", "double"):
        v = float(max(shape.metadata.get("min", 1.5), 1.5))
        return v, v
    if kind == "boolean":
        return True, True
    if kind == "timestamp":
        return at, "2026-01-31T12:00:00Z"
    if kind == "blob":
        return b"\x00blob", base64.b64encode(b"\x00blob").decode()
    raise ValueError(kind)


def streams(model):
    return model.has_streaming_input or model.has_streaming_output or model.has_event_stream_input or model.has_event_stream_output


def capture(client, name, params, got):
    """Fills got, to which the handlers of the client write."""
    got.clear()
    try:
        client._make_api_call(name, params)
    except KeyboardInterrupt:
        pass
    except Exception as e:
        got["error"] = f"{type(e).__name__}: {e}"
    return dict(got)


def listen(client):
    got = {}

    def sign(**kwargs):
        got["signing"] = [kwargs["signing_name"], kwargs["region_name"]]

    def send(request, **kwargs):
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        headers = {k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        if "authorization" not in headers:
            got.pop("signing", None)  # the hook runs for operations without a signature, too
        got.update(method=request.method, url=request.url, headers=headers, body=base64.b64encode(body).decode())
        raise KeyboardInterrupt  # nothing is sent

    client.meta.events.register("before-sign", sign)
    client.meta.events.register("before-send", send)
    return got


hosts, skipped = set(), set()
session = botocore.session.Session()
session.set_credentials("AKIDEXAMPLE", "secret")
for case in json.loads(sys.argv[1]):
    hosts, skipped = set(case.get("hosts", [])), set(case.get("skipped", []))
    s3 = {"addressing_style": case["style"]} if "style" in case else None
    client = session.create_client(case["service"], region_name=case["region"], config=Config(
        use_fips_endpoint=case.get("fips", False), use_dualstack_endpoint=case.get("dualstack", False), s3=s3,
        parameter_validation=True, retries={"max_attempts": 1}, disable_request_compression=True))
    got = listen(client)
    model = client.meta.service_model
    file = session.get_component("data_loader").load_data_with_path(case["service"] + "/" + model.api_version + "/service-2")[1]
    for name in case.get("operations") or model.operation_names:
        op = model.operation_model(name)
        if streams(op):
            continue
        params, arguments = ({}, {}) if op.input_shape is None else value(op.input_shape, 0, "top")
        if "arguments" in case:
            params = arguments = case["arguments"]
        print(json.dumps({"case": case, "model": str(file), "operation": name, "arguments": arguments} | capture(client, name, params, got)))
