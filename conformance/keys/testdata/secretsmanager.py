"""Drives Secrets Manager with boto3; what is not as it should be is an exception."""

import json
import re
import sys

import boto3

secrets = boto3.client("secretsmanager", region_name="us-east-1")
kms = boto3.client("kms", region_name="us-east-1")


def refused(code, text, call, **arguments):
    try:
        call(**arguments)
    except secrets.exceptions.ClientError as e:
        got = e.response["Error"]
        assert got["Code"] == code and text in got["Message"], (call, got)
        return
    raise AssertionError(f"{call} was not refused with {code}")


def versions():
    made = secrets.create_secret(Name="app/db", SecretString="swordfish-one-nobody-reads", Description="of the database",
                                 Tags=[{"Key": "team", "Value": "a"}])
    assert re.fullmatch(r"arn:aws:secretsmanager:us-east-1:\d{12}:secret:app/db-[A-Za-z0-9]{6}", made["ARN"]), made
    refused("ResourceExistsException", "already exists", secrets.create_secret, Name="app/db", SecretString="x")
    for name in ("app/db", made["ARN"], made["ARN"][:-7]):
        got = secrets.get_secret_value(SecretId=name)
        assert got["SecretString"] == "swordfish-one-nobody-reads" and got["VersionStages"] == ["AWSCURRENT"] and got["Name"] == "app/db", got
    second = secrets.put_secret_value(SecretId="app/db", SecretString="swordfish-two-nobody-reads")
    assert second["VersionStages"] == ["AWSCURRENT"], second
    assert secrets.get_secret_value(SecretId="app/db", VersionStage="AWSPREVIOUS")["SecretString"] == "swordfish-one-nobody-reads"
    pending = secrets.put_secret_value(SecretId="app/db", SecretString="swordfish-three-nobody-reads", VersionStages=["AWSPENDING"])
    secrets.update_secret_version_stage(SecretId="app/db", VersionStage="AWSCURRENT", RemoveFromVersionId=second["VersionId"],
                                        MoveToVersionId=pending["VersionId"])
    assert secrets.get_secret_value(SecretId="app/db")["SecretString"] == "swordfish-three-nobody-reads"
    assert len(secrets.list_secret_version_ids(SecretId="app/db")["Versions"]) == 2
    assert len(secrets.list_secret_version_ids(SecretId="app/db", IncludeDeprecated=True)["Versions"]) == 3
    told = secrets.describe_secret(SecretId="app/db")
    assert told["Tags"] == [{"Key": "team", "Value": "a"}] and sorted(sum(told["VersionIdsToStages"].values(), [])) == [
        "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"], told
    updated = secrets.update_secret(SecretId="app/db", Description="changed")
    assert "VersionId" not in updated, updated
    secrets.create_secret(Name="bytes", SecretBinary=b"\x00\x01")
    assert secrets.get_secret_value(SecretId="bytes")["SecretBinary"] == b"\x00\x01"
    refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", secrets.get_secret_value, SecretId="none")
    refused("ResourceNotFoundException", "can't find the specified secret value for staging label: X", secrets.get_secret_value, SecretId="app/db",
            VersionStage="X")
    refused("ValidationException", "no rotation function is called here", secrets.rotate_secret, SecretId="app/db")
    token = "0" * 32
    for _ in range(2):
        assert secrets.put_secret_value(SecretId="bytes", SecretString="x", ClientRequestToken=token)["VersionId"] == token
    refused("ResourceExistsException", "already in use", secrets.put_secret_value, SecretId="bytes", SecretString="y", ClientRequestToken=token)


def lists():
    for n in range(5):
        secrets.create_secret(Name=f"many/{n}", SecretString=f"value {n}", Tags=[{"Key": "n", "Value": str(n)}])
    pages = secrets.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": ["many/"]}], SortBy="name", SortOrder="desc",
                                                           PaginationConfig={"PageSize": 2})
    assert [s["Name"] for p in pages for s in p["SecretList"]] == [f"many/{n}" for n in (4, 3, 2, 1, 0)]
    found = secrets.list_secrets(Filters=[{"Key": "tag-key", "Values": ["n"]}, {"Key": "tag-value", "Values": ["!3"]}])["SecretList"]
    assert len(found) == 4 and "SecretString" not in found[0], found
    assert [s["Name"] for s in secrets.list_secrets(Filters=[{"Key": "all", "Values": ["Chang"]}])["SecretList"]] == ["app/db"]
    got = secrets.batch_get_secret_value(SecretIdList=["many/1", "none", "many/2"])
    assert [s["SecretString"] for s in got["SecretValues"]] == ["value 1", "value 2"], got
    assert [e["ErrorCode"] for e in got["Errors"]] == ["ResourceNotFoundException"], got
    got = secrets.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["many/"]}], MaxResults=3)
    assert len(got["SecretValues"]) == 3 and got["NextToken"]
    password = secrets.get_random_password(PasswordLength=20, ExcludePunctuation=True)["RandomPassword"]
    assert len(password) == 20 and password.isalnum()


def policies():
    text = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}]})
    assert secrets.validate_resource_policy(ResourcePolicy=text)["PolicyValidationPassed"]
    assert not secrets.validate_resource_policy(ResourcePolicy="{}")["PolicyValidationPassed"]
    refused("MalformedPolicyDocumentException", "syntax error", secrets.put_resource_policy, SecretId="many/0", ResourcePolicy="{}")
    secrets.put_resource_policy(SecretId="many/0", ResourcePolicy=text, BlockPublicPolicy=True)
    assert json.loads(secrets.get_resource_policy(SecretId="many/0")["ResourcePolicy"]) == json.loads(text)
    refused("AccessDeniedException", "explicit deny in a resource-based policy", secrets.get_secret_value, SecretId="many/0")
    secrets.delete_resource_policy(SecretId="many/0")
    assert secrets.get_secret_value(SecretId="many/0")["SecretString"] == "value 0"
    public = text.replace("Deny", "Allow")
    refused("PublicPolicyException", "broad access", secrets.put_resource_policy, SecretId="many/0", ResourcePolicy=public, BlockPublicPolicy=True)


def keys():
    key = kms.create_key()["KeyMetadata"]
    secrets.create_secret(Name="own-key", SecretString="swordfish-four-nobody-reads", KmsKeyId=key["Arn"])
    assert secrets.describe_secret(SecretId="own-key")["KmsKeyId"] == key["Arn"]
    kms.disable_key(KeyId=key["KeyId"])
    refused("DecryptionFailure", "can't decrypt", secrets.get_secret_value, SecretId="own-key")
    refused("EncryptionFailure", "can't encrypt", secrets.put_secret_value, SecretId="own-key", SecretString="x")
    kms.enable_key(KeyId=key["KeyId"])


def deletion():
    secrets.create_secret(Name="old", SecretString="x")
    refused("InvalidParameterException", "between 7 and 30", secrets.delete_secret, SecretId="old", RecoveryWindowInDays=3)
    assert secrets.delete_secret(SecretId="old", RecoveryWindowInDays=7)["DeletionDate"]
    refused("InvalidRequestException", "marked for deletion", secrets.get_secret_value, SecretId="old")
    refused("InvalidRequestException", "already scheduled for deletion", secrets.create_secret, Name="old", SecretString="y")
    assert secrets.describe_secret(SecretId="old")["DeletedDate"]
    assert "old" not in [s["Name"] for s in secrets.list_secrets()["SecretList"]]
    assert "old" in [s["Name"] for s in secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"]]
    secrets.restore_secret(SecretId="old")
    secrets.delete_secret(SecretId="old", ForceDeleteWithoutRecovery=True)
    secrets.delete_secret(SecretId="old", ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", "can't find", secrets.describe_secret, SecretId="old")
    refused("InvalidRequestException", "managed by bedrock-agentcore-identity", secrets.create_secret,
            Name="bedrock-agentcore-identity!default/apikey/mine", SecretString="x")


if sys.argv[1] == "before":
    versions()
    lists()
    policies()
    keys()
    deletion()
else:
    assert secrets.get_secret_value(SecretId="app/db")["SecretString"] == "swordfish-three-nobody-reads"
    assert secrets.get_secret_value(SecretId="own-key")["SecretString"] == "swordfish-four-nobody-reads"
print("ok", sys.argv[1])
