"""An agent whose libraries have AWS's host names written down."""

import os
import socket
import urllib.error
import urllib.request

import boto3
from bedrock_agentcore import BedrockAgentCoreApp
from botocore.config import Config

app = BedrockAgentCoreApp()


def address(name):
    try:
        return socket.gethostbyname(name)
    except OSError:
        return ''


@app.entrypoint
def tell(payload):
    names = {name: address(name) for name in payload['names']}
    if not payload['call']:
        return {'Names': names}
    direct = Config(ignore_configured_endpoint_urls=True, connect_timeout=10, retries={'max_attempts': 1})
    sts = boto3.client('sts', config=direct, endpoint_url='https://sts.us-east-1.amazonaws.com')
    try:  # a client that is no SDK, and has no credentials
        urllib.request.urlopen('https://sts.amazonaws.com/', timeout=10)
        plain = ''
    except urllib.error.HTTPError as e:
        plain = e.read().decode()
    return {'Names': names, 'Arn': sts.get_caller_identity()['Arn'], 'Endpoint': sts.meta.endpoint_url, 'Plain': plain}


if __name__ == '__main__':
    app.run()
