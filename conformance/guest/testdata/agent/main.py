"""An agent that tells what it finds around it: the clients are as they are."""

import os
import urllib.error
import urllib.request

import boto3
from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.services.identity import IdentityClient
from botocore.exceptions import ClientError

app = BedrockAgentCoreApp()
session = boto3.Session()


def status(method, url, **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, ''


@app.entrypoint
def tell(payload):
    me = session.client('sts').get_caller_identity()
    try:
        session.client('bedrock-agentcore-control').list_agent_runtimes()
        refusal = None
    except ClientError as e:
        refusal = [e.response['Error']['Code'], e.response['Error']['Message']]
    found = session.get_credentials().get_frozen_credentials()
    metadata = 'http://169.254.169.254/latest/'
    _, token = status('PUT', metadata + 'api/token', **{'X-aws-ec2-metadata-token-ttl-seconds': '60'})
    return {
        'Account': me['Account'], 'Arn': me['Arn'], 'UserId': me['UserId'],
        'Credentials': [found.access_key, found.secret_key, found.token],
        'Method': session.get_credentials().method,
        'Refusal': refusal,
        'IMDSv1': status('GET', metadata + 'meta-data/iam/security-credentials/')[0],
        'Roles': status('GET', metadata + 'meta-data/iam/security-credentials/', **{'X-aws-ec2-metadata-token': token})[1],
        'Region': status('GET', metadata + 'meta-data/placement/region', **{'X-aws-ec2-metadata-token': token})[1],
        'Unsigned': status('POST', os.environ['AWS_ENDPOINT_URL'] + '/runtimes/')[0],
        'Endpoints': [IdentityClient(session.region_name).dp_client.meta.endpoint_url, session.client('s3').meta.endpoint_url],
        'Secrets': [name for name in os.environ if name.startswith(('AWS_ACCESS', 'AWS_SECRET', 'AWS_SESSION', 'AWS_CONTAINER'))],
    }


if __name__ == '__main__':
    app.run()
