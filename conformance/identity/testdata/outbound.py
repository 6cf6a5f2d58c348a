"""Gets tokens of the account's own as people do: the starter toolkit switches them on and lets a role
have them, the SDK's decorator asks for one. Prints the issuer and the tokens of a role and a user."""

import json
import logging
import os

import boto3
from bedrock_agentcore.identity.auth import requires_iam_access_token
from bedrock_agentcore_starter_toolkit.operations.identity import helpers
from botocore.exceptions import ClientError

account, region = os.environ["ACCOUNT"], "us-west-2"
os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region
iam, sts = boto3.client("iam"), boto3.client("sts", region_name=region)
log = logging.getLogger("test")
logging.disable(logging.CRITICAL)


def refused(code, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        return e.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")


@requires_iam_access_token(audience=["https://api.example.com"], tags=[{"Key": "job", "Value": "7"}])
def call(*, access_token):
    return access_token


refused("FeatureDisabled", iam.get_outbound_web_identity_federation_info)
refused("OutboundWebIdentityFederationDisabledException", call)
fresh, issuer = helpers.setup_aws_jwt_federation(region, log)
again, same = helpers.setup_aws_jwt_federation(region, log)
assert (fresh, again, issuer) == (True, False, same), (fresh, again, issuer, same)
refused("FeatureEnabled", iam.enable_outbound_web_identity_federation)

# A role that the toolkit lets have tokens for one audience, signed with ES384.
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="caller", Path="/agents/", AssumeRolePolicyDocument=json.dumps(trust), Tags=[{"Key": "team", "Value": "red"}])["Role"]["Arn"]
helpers.ensure_aws_jwt_permissions(role, ["https://api.example.com"], region, account, logger=log, max_duration_seconds=600)
keys = sts.assume_role(RoleArn=role, RoleSessionName="me", DurationSeconds=900)["Credentials"]
as_root = {k: os.environ[k] for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
os.environ.update(AWS_ACCESS_KEY_ID=keys["AccessKeyId"], AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"], AWS_SESSION_TOKEN=keys["SessionToken"])
boto3.setup_default_session()
of_role = call()
caller = boto3.client("sts", region_name=region)
good = {"Audience": ["https://api.example.com"], "SigningAlgorithm": "ES384", "DurationSeconds": 60}
caller.get_web_identity_token(**good)
for other in ({"Audience": ["https://other.example"]}, {"SigningAlgorithm": "RS256"}, {"DurationSeconds": 601}):
    text = refused("AccessDenied", caller.get_web_identity_token, **{**good, **other})
    assert "sts:GetWebIdentityToken" in text, text
no_length = {k: v for k, v in good.items() if k != "DurationSeconds"}  # the condition sees the default
assert caller.get_web_identity_token(**no_length)["Expiration"]
refused("AccessDenied", boto3.client("iam").disable_outbound_web_identity_federation)
del os.environ["AWS_SESSION_TOKEN"]
os.environ.update(as_root)
boto3.setup_default_session()

for bad in ({"DurationSeconds": 59}, {"DurationSeconds": 3601}, {"SigningAlgorithm": "HS256"}, {"Audience": []}):
    unchecked = boto3.session.Config(parameter_validation=False)
    refused("ValidationError", boto3.client("sts", region_name=region, config=unchecked).get_web_identity_token, **{**good, **bad})
refused("JWTPayloadSizeExceededException", sts.get_web_identity_token, **{**good, "Audience": ["a" * 1000] * 9})
of_root = sts.get_web_identity_token(Audience=["one", "two"], SigningAlgorithm="RS256", DurationSeconds=3600)["WebIdentityToken"]

iam.disable_outbound_web_identity_federation()
refused("FeatureDisabled", iam.disable_outbound_web_identity_federation)
refused("OutboundWebIdentityFederationDisabledException", call)
print(json.dumps({"issuer": issuer, "role": role, "ofRole": of_role, "ofRoot": of_root}))
