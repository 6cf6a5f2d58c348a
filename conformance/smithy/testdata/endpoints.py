"""Evaluates the endpoint rules of all services that botocore has, and prints one JSON line for each evaluation."""

import gzip
import json
import pathlib
import sys

import botocore
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointResolutionError

data = pathlib.Path(botocore.__file__).parent / "data"
partitions = json.loads((data / "partitions.json").read_text())
regions = ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1", "aws-global", None]
more = {
    "s3": [{"Bucket": b, "Key": "k", "ForcePathStyle": p, "UseGlobalEndpoint": g}
           for b in ["my-bucket", "my.bucket", "My_Bucket", "a", "bucket--usw2-az1--x-s3", "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                     "arn:aws:s3::123456789012:accesspoint/mrap.mrap", "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap"]
           for p in [False, True] for g in [False, True]],
    "s3control": [{"AccountId": a, "RequiresAccountId": True} for a in ["123456789012", "not a label", None]],
    "dynamodb": [{"AccountId": "123456789012", "AccountIdEndpointMode": m} for m in ["preferred", "disabled", "required"]],
    "eventbridge": [{"EndpointId": e} for e in ["abc.def", "-"]],
    "sts": [{"UseGlobalEndpoint": True}],
}


def evaluate(provider, params):
    try:
        found = provider.resolve_endpoint(**params)
    except EndpointResolutionError as e:
        # botocore puts words of its own before what the rules say.
        return {"error": str(e)}
    except KeyError:  # a text with a parameter that is not set
        return {"error": "No endpoint found"}
    return {"url": found.url, "properties": found.properties, "headers": found.headers}


for file in sorted(data.glob("*/*/endpoint-rule-set-1.json.gz")):
    rules = json.loads(gzip.decompress(file.read_bytes()))
    provider = EndpointProvider(rules, partitions)
    service = file.parts[-3]
    combinations = [{"Region": r, "UseFIPS": f, "UseDualStack": d} for r in regions for f in [False, True] for d in [False, True]]
    combinations += [{"Region": "us-west-2", "Endpoint": e, "UseFIPS": f, "UseDualStack": False}
                     for e in ["https://custom.example.com/path", "http://127.0.0.1:4566"] for f in [False, True]]
    combinations = [c | m for c in combinations for m in [{}] + more.get(service, [])]
    for c in combinations:
        params = {k: v for k, v in c.items() if v is not None and k in rules["parameters"]}
        print(json.dumps({"rules": str(file), "service": service, "params": params} | evaluate(provider, dict(params))))
sys.stdout.flush()
