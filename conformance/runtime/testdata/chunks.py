"""Reads the same agent through boto3 and directly, and prints how late each chunk came."""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3

arn, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ask = json.dumps({"count": count})


def late(lines):
    """Milliseconds from the agent's clock to ours; the machine is the same."""
    out = []
    for line in lines:
        if line.startswith(b"data: "):
            out.append((time.time() - json.loads(line[6:])["at"]) * 1000)
    return out


def direct():
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/invocations", ask, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return late(iter(response.readline, b""))


def through():
    client = boto3.client("bedrock-agentcore")
    answer = client.invoke_agent_runtime(agentRuntimeArn=arn, payload=ask, contentType="application/json")
    assert answer["contentType"].startswith("text/event-stream"), answer["contentType"]
    # iter_lines reads its chunk size in full before it gives a line.
    return late(answer["response"].iter_lines(chunk_size=1))


# At the same time, so that whatever else the machine does troubles both.
with ThreadPoolExecutor() as both:
    answers = {"through": both.submit(through), "direct": both.submit(direct)}
    print(json.dumps({name: answer.result() for name, answer in answers.items()}))
