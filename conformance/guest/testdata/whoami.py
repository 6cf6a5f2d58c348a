# Who an agent is and what it may do, by boto3, told as one line of JSON for
# each line that is read. A line that says "N minutes later" moves the clock by
# which credentials are renewed.
import datetime
import json
import sys

import boto3
from botocore.exceptions import ClientError


def refusal(call):
    try:
        call()
    except ClientError as e:
        return [e.response['Error']['Code'], e.response['ResponseMetadata']['HTTPStatusCode'], e.response['Error']['Message']]
    return None


session = boto3.Session()
control = session.client('bedrock-agentcore-control')
data = session.client('bedrock-agentcore')
s3, sts = session.client('s3'), session.client('sts')
for line in sys.stdin:
    if 'minutes later' in line:
        minutes = int(line.split()[0])
        session.get_credentials()._time_fetcher = lambda: (
            datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes))
    me = sts.get_caller_identity()
    arn = f'arn:aws:bedrock-agentcore:{session.region_name}:{me["Account"]}:runtime/hello-0123456789'
    print(json.dumps({
        'Account': me['Account'], 'Arn': me['Arn'], 'UserId': me['UserId'], 'Key': session.get_credentials().access_key,
        'Refused': [
            refusal(lambda: control.list_agent_runtimes()),
            refusal(lambda: data.invoke_agent_runtime(agentRuntimeArn=arn, payload=b'{}')),
            refusal(lambda: s3.list_buckets()),
            refusal(lambda: s3.get_object(Bucket='code', Key='agent.zip')),
        ],
    }), flush=True)
