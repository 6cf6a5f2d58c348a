"""Calls with the credentials of a role that an identity token gives, as boto3 does it by itself
from AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: with a token of a user pool of the server, and
with TOKEN of ISSUER, for the audience "jobs"."""

import json
import os
import pathlib
import tempfile

import boto3
from botocore.exceptions import ClientError

account, region = os.environ["ACCOUNT"], "us-east-1"
iam, cognito = boto3.client("iam"), boto3.client("cognito-idp", region_name=region)


def role(name, provider, host, audience, **more):
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
        "Condition": {"StringEquals": {f"{host}:aud": audience, **{f"{host}:{k}": v for k, v in more.items()}}}}]}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="buckets", PolicyDocument=json.dumps(allowed))
    return arn


def with_token(arn, token):
    """A session of boto3 that has nothing but the token and the role's name."""
    path = pathlib.Path(tempfile.mkdtemp()) / "token"
    path.write_text(token)
    own = {k: os.environ.pop(k, None) for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    os.environ.update(AWS_WEB_IDENTITY_TOKEN_FILE=str(path), AWS_ROLE_ARN=arn, AWS_ROLE_SESSION_NAME="job-7")
    try:
        session = boto3.Session(region_name=region)
        assert session.get_credentials().method == "assume-role-with-web-identity"
        session.get_credentials().get_frozen_credentials()
        return session
    finally:
        for k in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"):
            del os.environ[k]
        os.environ.update({k: v for k, v in own.items() if v is not None})


def works(arn, token):
    session = with_token(arn, token)
    who = session.client("sts").get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{account}:assumed-role/{arn.split('/')[-1]}/job-7", who
    session.client("s3").list_buckets()
    refused("AccessDenied", "no identity-based policy", session.client("iam").list_users)


def refused(code, text, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code and text in e.response["Error"]["Message"], e
    else:
        raise AssertionError(f"{code} was expected")


# A user of a pool here, known by the pool's name at AWS, as Terraform and the CDK have it.
pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="app", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["UserPoolClient"]["ClientId"]
cognito.admin_create_user(UserPoolId=pool, Username="ada")
cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Analytical-1", Permanent=True)
tokens = cognito.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ada", "PASSWORD": "Analytical-1"})["AuthenticationResult"]
host = f"cognito-idp.{region}.amazonaws.com/{pool}"
people = iam.create_open_id_connect_provider(Url=f"https://{host}", ClientIDList=[client])["OpenIDConnectProviderArn"]
users = role("users", people, host, client)
works(users, tokens["IdToken"])
cognito.admin_user_global_sign_out(UserPoolId=pool, Username="ada")
refused("IDPRejectedClaim", "rejected the token", with_token, arn=users, token=tokens["IdToken"])
refused("InvalidIdentityToken", "Missing a required claim: aud", with_token, arn=users, token=tokens["AccessToken"])

# An issuer elsewhere.
issuer = os.environ["ISSUER"]
refused("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}", with_token, arn=users, token=os.environ["TOKEN"])
forge = iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["builds"])["OpenIDConnectProviderArn"]
name = issuer.split("://")[1]
jobs = role("jobs", forge, name, "jobs", sub="repo:a/b")
refused("InvalidIdentityToken", "Incorrect token audience", with_token, arn=jobs, token=os.environ["TOKEN"])
iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=forge, ClientID="jobs")
works(jobs, os.environ["TOKEN"])
refused("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", with_token, arn=users, token=os.environ["TOKEN"])
refused("InvalidIdentityToken", "signature", with_token, arn=jobs, token=os.environ["FORGED"])
refused("ExpiredTokenException", "Token expired", with_token, arn=jobs, token=os.environ["EXPIRED"])
answer = boto3.client("sts").assume_role_with_web_identity(RoleArn=jobs, RoleSessionName="job-8", WebIdentityToken=os.environ["TOKEN"], DurationSeconds=900)
assert (answer["Provider"], answer["Audience"], answer["SubjectFromWebIdentityToken"]) == (issuer, "jobs", "repo:a/b"), answer
assert answer["PackedPolicySize"] > 0, answer  # for its tags

# The provider gone, its tokens are nothing.
iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=forge)
refused("InvalidIdentityToken", "No OpenIDConnect provider", with_token, arn=jobs, token=os.environ["TOKEN"])
print(jobs)
