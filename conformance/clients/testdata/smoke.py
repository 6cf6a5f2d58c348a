"""Calls every operation of both AgentCore services with the least input that
its model allows, built from boto3's own model. Each must be answered, or
refused with an error that the model knows, with a request id: never an unknown
operation, never a 5xx."""

import re._constants as sre
import re._parser as sre_parse
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def example(pattern, least):
    """A string that matches a pattern of the model."""

    def one(op, arg):
        if op is sre.LITERAL:
            return chr(arg)
        if op is sre.NOT_LITERAL:
            return "b" if chr(arg) == "a" else "a"
        if op is sre.ANY:
            return "a"
        if op is sre.IN:
            if arg[0][0] is sre.NEGATE:
                return next(c for c in "a1-_ ./" if not any(holds(o, a, c) for o, a in arg[1:]))
            return next((c for c in "a1" if any(holds(o, a, c) for o, a in arg)), None) or one(*arg[0])
        if op is sre.RANGE:
            return chr(arg[0])
        if op is sre.CATEGORY:
            return "1" if arg is sre.CATEGORY_DIGIT else " " if arg is sre.CATEGORY_SPACE else "a"
        if op is sre.BRANCH:
            return many(arg[1][0])
        if op is sre.SUBPATTERN:
            return many(arg[3])
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            low, high, what = arg
            return many(what) * (low if low or least == 0 else min(1, high))
        return ""  # anchors and look-arounds

    def holds(op, arg, c):
        if op is sre.LITERAL:
            return chr(arg) == c
        if op is sre.RANGE:
            return arg[0] <= ord(c) <= arg[1]
        if op is sre.CATEGORY:
            return one(op, arg) == c or (arg is sre.CATEGORY_NOT_SPACE and c != " ")
        return False

    def many(tokens):
        return "".join(one(op, arg) for op, arg in tokens)

    text = many(sre_parse.parse(pattern))
    return text + text[-1:] * max(0, least - len(text)) if text else "a" * least


def least(shape, depth=0):
    kind = shape.type_name
    meta = shape.metadata
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return {}
        names = list(shape.required_members)
        if getattr(shape, "is_tagged_union", False) and not names:
            names = list(shape.members)[:1]
        return {n: least(shape.members[n], depth + 1) for n in names if depth < 12}
    if kind == "list":
        return [least(shape.member, depth + 1) for _ in range(int(meta.get("min", 0)))]
    if kind == "map":
        return {least(shape.key, depth + 1): least(shape.value, depth + 1) for _ in range(int(meta.get("min", 0)))}
    if kind == "string":
        if getattr(shape, "enum", None):
            return shape.enum[0]
        if meta.get("pattern"):
            return example(meta["pattern"], int(meta.get("min", 0)))
        return "a" * max(1, int(meta.get("min", 1)))
    if kind == "blob":
        return b"{}"
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return 1767225600
    value = meta.get("min", 1)
    return float(value) if kind in ("float", "double") else int(value)


def main():
    calls, wrong, refused = 0, [], 0
    for name in ("bedrock-agentcore-control", "bedrock-agentcore"):
        client = boto3.client(name, config=Config(retries={"total_max_attempts": 1}, parameter_validation=False))
        model = client.meta.service_model
        for operation in model.operation_names:
            calls += 1
            op = model.operation_model(operation)
            method = next(m for m, o in client.meta.method_to_api_mapping.items() if o == operation)
            try:
                answer = getattr(client, method)(**(least(op.input_shape) if op.input_shape else {}))
                status, code = answer["ResponseMetadata"]["HTTPStatusCode"], ""
            except ClientError as e:
                answer = e.response
                status, code = answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]
            except Exception as e:  # what the client could not make sense of
                wrong.append(f"{operation}: {type(e).__name__}: {e}")
                continue
            known = {s.error_code for s in op.error_shapes} | {"ValidationException", "AccessDeniedException"}
            if operation in ("ListAgentRuntimeEndpoints", "ListAgentRuntimeVersionsByCapacityProvider"):
                known.add("ResourceNotFoundException")  # of what they list, which their models forget
            if "is not available in Outcrop" in answer.get("Error", {}).get("Message", ""):
                refused += 1
            if status >= 500 or (code and code not in known) or not answer["ResponseMetadata"].get("RequestId"):
                wrong.append(f"{operation}: {status} {code} {answer.get('Error', {}).get('Message', '')[:120]}")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{calls} operations called, {refused} refused by name, {len(wrong)} wrong")
    if wrong or calls < 200 or refused < calls / 2:
        raise SystemExit(1)
    print("story told")


main()
