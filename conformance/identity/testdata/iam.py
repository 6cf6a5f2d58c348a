"""Administers users, roles and policies with boto3, and makes roles as the starter toolkit does."""

import json
import os

import boto3
from botocore.exceptions import ClientError

ACCOUNT = os.environ["ACCOUNT"]
iam = boto3.client("iam")


def refused(code, text, call, **args):
    try:
        call(**args)
    except ClientError as e:
        err = e.response["Error"]
        assert err["Code"] == code and text in err["Message"], f"{call.__name__}: {err}, want {code} {text}"
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        return
    raise AssertionError(f"{call.__name__} {args} is not refused")


def document(*actions):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


def toolkit_role():
    """The calls of `agentcore configure`, `launch` and `destroy` about their roles."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "AssumeRolePolicy", "Effect": "Allow", "Principal": {"Service": "bedrock-agentcore.amazonaws.com"}, "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock-agentcore:us-west-2:{ACCOUNT}:*"}},
        }],
    }
    name = "AmazonBedrockAgentCoreSDKRuntime-us-west-2-0123456789"
    refused("NoSuchEntity", f"The role with name {name} cannot be found.", iam.get_role, RoleName=name)
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Description="Execution role for BedrockAgentCore Runtime - agent")
    assert made["Role"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{name}"
    refused("EntityAlreadyExists", f"Role with name {name} already exists.", iam.create_role, RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == trust
    iam.put_role_policy(RoleName=name, PolicyName="BedrockAgentCoreRuntimeExecutionPolicy-agent", PolicyDocument=json.dumps(document("logs:PutLogEvents")))
    trust["Statement"][0]["Sid"] = "Again"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == trust
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")
    refused("DeleteConflict", "Cannot delete entity, must detach all policies first.", iam.delete_role, RoleName=name)
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    refused("DeleteConflict", "Cannot delete entity, must delete policies first.", iam.delete_role, RoleName=name)
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.delete_role(RoleName=name)
    # The network's role, for agents of a VPC.
    linked = "network.bedrock-agentcore.amazonaws.com"
    role = iam.create_service_linked_role(AWSServiceName=linked, Description="networking")["Role"]
    assert role["RoleName"] == "AWSServiceRoleForBedrockAgentCoreNetwork" and role["Path"] == f"/aws-service-role/{linked}/", role
    refused("InvalidInput", "has been taken in this account", iam.create_service_linked_role, AWSServiceName=linked)
    refused("UnmodifiableEntity", "is only modifiable by AWS", iam.delete_role, RoleName=role["RoleName"])
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"


def policies():
    refused("NoSuchEntity", "was not found", iam.get_policy, PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/none")
    refused("MalformedPolicyDocument", "", iam.create_policy, PolicyName="p", PolicyDocument="{")
    arn = iam.create_policy(PolicyName="p", Path="/a/", PolicyDocument=json.dumps(document("s3:GetObject")), Description="d", Tags=[{"Key": "k", "Value": "v"}])["Policy"]["Arn"]
    refused("EntityAlreadyExists", "A policy called p already exists.", iam.create_policy, PolicyName="p", PolicyDocument=json.dumps(document("s3:*")))
    for action in "s3:Put*", "s3:List*", "s3:*", "*":
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document(action)), SetAsDefault=action == "s3:*")
    refused("LimitExceeded", "5 versions", iam.create_policy_version, PolicyArn=arn, PolicyDocument=json.dumps(document("*")))
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [v["VersionId"] for v in versions] == ["v5", "v4", "v3", "v2", "v1"] and [v["IsDefaultVersion"] for v in versions].index(True) == 1, versions
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v4")["PolicyVersion"]
    assert version["Document"] == document("s3:*"), version
    refused("DeleteConflict", "", iam.delete_policy_version, PolicyArn=arn, VersionId="v4")
    refused("NoSuchEntity", "", iam.delete_policy_version, PolicyArn=arn, VersionId="v9")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    got = iam.get_policy(PolicyArn=arn)["Policy"]
    assert got["DefaultVersionId"] == "v1" and got["Tags"] == [{"Key": "k", "Value": "v"}] and got["Description"] == "d" and got["AttachmentCount"] == 0, got
    iam.untag_policy(PolicyArn=arn, TagKeys=["k"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == []
    iam.create_group(GroupName="g")
    iam.attach_group_policy(GroupName="g", PolicyArn=arn)
    refused("DeleteConflict", "", iam.delete_policy, PolicyArn=arn)
    assert [g["GroupName"] for g in iam.list_entities_for_policy(PolicyArn=arn)["PolicyGroups"]] == ["g"]
    assert [p["PolicyName"] for p in iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]] == ["p"]
    assert all(p["Arn"].startswith("arn:aws:iam::aws:") for page in iam.get_paginator("list_policies").paginate(Scope="AWS") for p in page["Policies"])
    refused("AccessDenied", "outside your own account", iam.delete_policy, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.detach_group_policy(GroupName="g", PolicyArn=arn)
    iam.delete_group(GroupName="g")
    for v in "v2", "v3", "v4", "v5":
        iam.delete_policy_version(PolicyArn=arn, VersionId=v)
    iam.delete_policy(PolicyArn=arn)


def pages():
    names = sorted(f"u{i:03}" for i in range(25))
    for name in reversed(names):
        iam.create_user(UserName=name)
    seen = []
    for page in iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 7}):
        seen += [u["UserName"] for u in page["Users"]]
        assert page["IsTruncated"] == (len(seen) < 25), page
    assert seen == names, seen
    first = iam.list_users(MaxItems=3)
    iam.delete_user(UserName="u002")  # the marker's own
    assert iam.list_users(MaxItems=2, Marker=first["Marker"])["Users"][0]["UserName"] == "u003"
    refused("ValidationError", "marker", iam.list_users, Marker="!")
    refused("ValidationError", "maxItems", iam.list_users, MaxItems=1001)
    for name in names:
        if name != "u002":
            iam.delete_user(UserName=name)
    assert iam.list_users()["Users"] == []


def details():
    iam.create_group(GroupName="devs")
    iam.put_group_policy(GroupName="devs", PolicyName="p", PolicyDocument=json.dumps(document("s3:*")))
    iam.create_user(UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/PowerUserAccess")
    iam.add_user_to_group(GroupName="devs", UserName="ann")
    all_of_it = iam.get_account_authorization_details()
    user = all_of_it["UserDetailList"][0]
    assert user["GroupList"] == ["devs"] and user["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith("PowerUserAccess"), user
    assert all_of_it["GroupDetailList"][0]["GroupPolicyList"] == [{"PolicyName": "p", "PolicyDocument": document("s3:*")}], all_of_it
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] == 1 and summary["Groups"] == 1 and summary["UsersQuota"] == 5000, summary
    one = iam.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["s3:GetObject", "iam:CreateUser"],
                                        ContextEntries=[{"ContextKeyName": "aws:SourceIp", "ContextKeyValues": ["10.0.0.1"], "ContextKeyType": "ip"}])
    assert [r["EvalDecision"] for r in one["EvaluationResults"]] == ["allowed", "implicitDeny"], one
    within = [r["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"] for r in one["EvaluationResults"]]
    assert within == [True, False], one
    refused("InvalidInput", "is missing", iam.simulate_custom_policy, PolicyInputList=["{}"], ActionNames=["s3:GetObject"])
    refused("InvalidInput", "is missing", iam.get_context_keys_for_custom_policy, PolicyInputList=["{}"])
    for action in "GetObject", "s3:Get*":
        refused("InvalidInput", "is not an action", iam.simulate_custom_policy, PolicyInputList=[json.dumps(document("*"))], ActionNames=[action])
    denied = iam.simulate_custom_policy(
        PolicyInputList=[json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}}]})],
        ActionNames=["s3:GetObject"], ContextEntries=[{"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["eu-west-1"], "ContextKeyType": "string"}])
    assert denied["EvaluationResults"][0]["EvalDecision"] == "explicitDeny", denied
    refused("NoSuchEntity", "Login Profile for User ann", iam.get_login_profile, UserName="ann")
    # Keys, and the sessions of users.
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    me = boto3.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], region_name="eu-central-1")
    session = me.get_session_token(DurationSeconds=900)["Credentials"]
    temporary = boto3.client("sts", aws_access_key_id=session["AccessKeyId"], aws_secret_access_key=session["SecretAccessKey"], aws_session_token=session["SessionToken"])
    assert temporary.get_caller_identity()["Arn"] == user["Arn"]
    refused("AccessDenied", "session credentials", temporary.get_session_token)
    refused("AccessDenied", "sts:GetFederationToken", me.get_federation_token, Name="bob")
    iam.put_user_policy(UserName="ann", PolicyName="f", PolicyDocument=json.dumps(document("sts:GetFederationToken")))
    federated = me.get_federation_token(Name="bob", Policy=json.dumps(document("s3:*")))
    assert federated["FederatedUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/bob" and federated["PackedPolicySize"] > 0, federated
    refused("ValidationError", "Must specify userName", iam.list_access_keys)
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="ann", PolicyName="f")
    refused("DeleteConflict", "must remove users from group first", iam.delete_user, UserName="ann")
    iam.remove_user_from_group(GroupName="devs", UserName="ann")
    iam.delete_user(UserName="ann")
    iam.delete_group_policy(GroupName="devs", PolicyName="p")
    iam.delete_group(GroupName="devs")


toolkit_role()
policies()
pages()
details()
print("ok")
