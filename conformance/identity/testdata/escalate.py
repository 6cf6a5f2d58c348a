"""Tries to get further than IAM lets one: by roles passed on, assumed and borrowed, by
session policies, by keys that are gone, and by another account's names. Prints the
secrets that it had, as JSON."""
import json
import os
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

QUIET = Config(retries={"total_max_attempts": 1})
REGION = os.environ["AWS_REGION"]
SERVICE = "bedrock-agentcore.amazonaws.com"
secrets = {}
iam = boto3.client("iam")
account = boto3.client("sts").get_caller_identity()["Account"]


def client(service, keys=None):
    if keys is None:
        return boto3.client(service, config=QUIET)
    return boto3.client(service, config=QUIET, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                        aws_session_token=keys.get("SessionToken", ""))


def keep(name, keys):
    secrets[name + "'s secret key"] = keys["SecretAccessKey"]
    if keys.get("SessionToken"):
        secrets[name + "'s session token"] = keys["SessionToken"]
    return keys


def refused(what, code, call, *parts):
    try:
        call()
    except ClientError as e:
        got = e.response["Error"]
        assert got["Code"] == code, (what, got)
        for part in parts:
            assert part in got["Message"], (what, part, got)
        return
    raise AssertionError(what + " was allowed")


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal, **condition):
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return policy(statement | ({"Condition": condition} if condition else {}))


def role(name, trusted, *statements):
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return arn


def user(name, *statements):
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return arn, keep(name, iam.create_access_key(UserName=name)["AccessKey"])


def create(keys, name, role_arn):
    return client("bedrock-agentcore-control", keys).create_agent_runtime(
        agentRuntimeName=name, roleArn=role_arn, networkConfiguration={"networkMode": "PUBLIC"},
        agentRuntimeArtifact={"codeConfiguration": {
            "code": {"s3": {"bucket": os.environ["BUCKET"], "prefix": os.environ["KEY"]}}, "runtime": os.environ["PYTHON"], "entryPoint": ["main.py"]}})


def assume(keys, arn, **more):
    return keep("a session of " + arn.rsplit("/", 1)[1], client("sts", keys).assume_role(RoleArn=arn, RoleSessionName="story", **more)["Credentials"])


# PassRole: who may make agents gets no role by it that was not given to pass on.
admin = role("admin", trust({"Service": SERVICE}), allow("*"))
plain = role("plain", trust({"Service": SERVICE}), allow("s3:ListAllMyBuckets"))
maker_arn, maker = user("maker", allow(["bedrock-agentcore:CreateAgentRuntime", "bedrock-agentcore:CreateWorkloadIdentity"]), allow("iam:PassRole", plain))
refused("passing another role", "AccessDeniedException", lambda: create(maker, "up", admin), "User: " + maker_arn + " is not authorized to perform: iam:PassRole on resource: " + admin)
elsewhere = "arn:aws:iam::999999999999:role/admin"
refused("passing another account's role", "AccessDeniedException", lambda: create(maker, "up", elsewhere), "iam:PassRole")
refused("somebody else's zip, by a role", "AccessDeniedException", lambda: create(maker, "up", plain), "User: " + maker_arn + " is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::%s/%s" % (os.environ["BUCKET"], os.environ["KEY"]))
refused("more rights for oneself", "AccessDenied", lambda: client("iam", maker).put_user_policy(UserName="maker", PolicyName="q", PolicyDocument=policy(allow("*"))), "iam:PutUserPolicy")
refused("a role that trusts one", "AccessDenied", lambda: client("iam", maker).update_assume_role_policy(RoleName="admin", PolicyDocument=trust({"AWS": maker_arn})), "iam:UpdateAssumeRolePolicy")
refused("another's key", "AccessDenied", lambda: client("iam", maker).create_access_key(UserName="root"), "iam:CreateAccessKey")

# AssumeRole: trust and permission are both needed, and a role for a service is nobody's else.
refused("a service's role", "AccessDenied", lambda: assume(maker, admin), "sts:AssumeRole on resource: " + admin)
refused("a service's role, by root", "AccessDenied", lambda: assume(None, admin), "sts:AssumeRole")
helper_arn, helper = user("helper", allow("sts:AssumeRole"))
team = role("team", trust({"AWS": account}), allow("s3:*"), allow("sts:AssumeRole"))
refused("a role of the account, without permission", "AccessDenied", lambda: assume(maker, team))
session = assume(helper, team)
client("s3", session).list_buckets()
refused("a role that trusts one other", "AccessDenied", lambda: assume(maker, role("hers", trust({"AWS": helper_arn}), allow("*"))))
refused("another account's role", "AccessDenied", lambda: assume(helper, elsewhere))
refused("a role without its external id", "AccessDenied", lambda: assume(helper, role("vendor", trust({"AWS": account}, StringEquals={"sts:ExternalId": "42"}))))
refused("two hours by role chaining", "ValidationError", lambda: assume(session, team, DurationSeconds=7200))

# Session policies limit, and never widen.
wide = assume(helper, team, Policy=policy(allow("*")))
client("s3", wide).list_buckets()
refused("a session policy that widens", "AccessDenied", lambda: client("iam", wide).list_users(), "iam:ListUsers")
narrow = assume(helper, team, Policy=policy(allow("s3:GetObject")))
refused("what a session policy leaves out", "AccessDenied", lambda: client("s3", narrow).list_buckets())
again = assume(assume(helper, team, Policy=policy(allow("sts:AssumeRole"))), team)
assert client("sts", again).get_caller_identity()["Arn"].endswith("assumed-role/team/story")

# Confused deputies: a role that trusts the service for something else is not lent out.
source = {"StringEquals": {"aws:SourceAccount": "999999999999"}}
for name, trusted in {
    "other-service": trust({"Service": "lambda.amazonaws.com"}), "other-account": trust({"Service": SERVICE}, **source),
    "other-runtime": trust({"Service": SERVICE}, ArnLike={"aws:SourceArn": "arn:aws:bedrock-agentcore:%s:%s:runtime/else-*" % (REGION, account)}),
    "a-person": trust({"AWS": helper_arn}),
}.items():
    refused(name, "ValidationException", lambda: create(None, "deputy", role(name, trusted)), "Role validation failed")

# Keys: of a user that is gone, or made again; switched off; of another account; with another's secret.
gone_arn, gone = user("gone", allow("s3:ListAllMyBuckets"))
client("s3", gone).list_buckets()
iam.delete_user_policy(UserName="gone", PolicyName="p")
iam.delete_access_key(UserName="gone", AccessKeyId=gone["AccessKeyId"])
iam.delete_user(UserName="gone")
unknown = ("InvalidClientTokenId", lambda keys: client("sts", keys).get_caller_identity)
refused("a deleted user's key", unknown[0], unknown[1](gone))
user("gone", allow("*"))
refused("the key of a user that was made again", unknown[0], unknown[1](gone))
iam.update_access_key(UserName="helper", AccessKeyId=helper["AccessKeyId"], Status="Inactive")
refused("a key that is off", unknown[0], unknown[1](helper))
refused("the session of a key with another token", unknown[0], unknown[1](session | {"SessionToken": narrow["SessionToken"]}))
refused("a session's key alone", unknown[0], unknown[1]({"AccessKeyId": session["AccessKeyId"], "SecretAccessKey": session["SecretAccessKey"]}))
refused("an unknown key", unknown[0], unknown[1]({"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}))
refused("one user's key, another's secret", "SignatureDoesNotMatch", unknown[1]({"AccessKeyId": maker["AccessKeyId"], "SecretAccessKey": helper["SecretAccessKey"]}))
iam.delete_role_policy(RoleName="team", PolicyName="p")
iam.delete_role(RoleName="team")
refused("a session of a role that is gone", unknown[0], unknown[1](session))

print(json.dumps(secrets))
