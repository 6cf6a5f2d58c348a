"""Drives user pools with boto3; what is not as it should be is an exception."""

import base64
import json
import os
import sys
import uuid

import boto3

state = os.environ["STATE"]
cognito = boto3.client("cognito-idp", region_name="us-east-1")


def refused(code, text, call, **arguments):
    try:
        call(**arguments)
    except cognito.exceptions.ClientError as e:
        got = e.response["Error"]
        assert got["Code"] == code and text in got["Message"], (call, got)
        return
    raise AssertionError(f"{call} was not refused with {code}")


def gateway_authorizer():
    """The calls of the starter toolkit's create_oauth_authorizer_with_cognito."""
    name, suffix = "TestGateway", uuid.uuid4().hex[:8]
    pool = cognito.create_user_pool(
        PoolName=f"agentcore-gateway-{suffix}", AdminCreateUserConfig={"AllowAdminCreateUserOnly": True}
    )["UserPool"]["Id"]
    domain = f"agentcore-{suffix}"
    cognito.create_user_pool_domain(Domain=domain, UserPoolId=pool)
    assert cognito.describe_user_pool_domain(Domain=domain)["DomainDescription"]["Status"] == "ACTIVE"
    cognito.create_resource_server(
        UserPoolId=pool, Identifier=name, Name=name,
        Scopes=[{"ScopeName": "invoke", "ScopeDescription": "Scope for invoking the agentcore gateway"}],
    )
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName=f"agentcore-client-{suffix}", GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=[f"{name}/invoke"],
        AllowedOAuthFlowsUserPoolClient=True, SupportedIdentityProviders=["COGNITO"],
    )["UserPoolClient"]
    assert len(client["ClientId"]) == 26 and client["ClientSecret"], client
    refused("InvalidParameterException", "deleted first", cognito.delete_user_pool, UserPoolId=pool)
    cognito.delete_user_pool_domain(UserPoolId=pool, Domain=domain)
    cognito.delete_user_pool(UserPoolId=pool)
    refused("ResourceNotFoundException", "does not exist", cognito.describe_user_pool, UserPoolId=pool)
    refused("ResourceNotFoundException", "does not exist", cognito.initiate_auth, ClientId=client["ClientId"],
            AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "a", "PASSWORD": "b"})


def users():
    pool = cognito.create_user_pool(PoolName="people", UserPoolTags={"team": "a"})["UserPool"]
    assert pool["Policies"]["PasswordPolicy"]["RequireSymbols"] and pool["Arn"].endswith(":userpool/" + pool["Id"])
    pid = pool["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pid, ClientName="app", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    made = cognito.admin_create_user(
        UserPoolId=pid, Username="ada", TemporaryPassword="Temp-0rary", MessageAction="SUPPRESS",
        UserAttributes=[{"Name": "email", "Value": "ada@example.com"}, {"Name": "email_verified", "Value": "true"}],
    )["User"]
    assert made["UserStatus"] == "FORCE_CHANGE_PASSWORD", made
    refused("UsernameExistsException", "already exists", cognito.admin_create_user, UserPoolId=pid, Username="ada")
    refused("UserNotFoundException", "User does not exist.", cognito.admin_get_user, UserPoolId=pid, Username="eve")

    def sign_in(name, password):
        return cognito.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
                                     AuthParameters={"USERNAME": name, "PASSWORD": password})

    for name in ("ada", "nobody"):
        refused("NotAuthorizedException", "Incorrect username or password.", sign_in, name=name, password="wrong")
    challenge = sign_in("ada", "Temp-0rary")
    assert challenge["ChallengeName"] == "NEW_PASSWORD_REQUIRED", challenge
    answer = {"ClientId": client, "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": challenge["Session"]}
    refused("InvalidPasswordException", "policy", cognito.respond_to_auth_challenge, **answer,
            ChallengeResponses={"USERNAME": "ada", "NEW_PASSWORD": "short"})
    tokens = cognito.respond_to_auth_challenge(
        **answer, ChallengeResponses={"USERNAME": "ada", "NEW_PASSWORD": "Analytical-1"})["AuthenticationResult"]
    refused("NotAuthorizedException", "session", cognito.respond_to_auth_challenge, **answer,
            ChallengeResponses={"USERNAME": "ada", "NEW_PASSWORD": "Analytical-2"})
    me = cognito.get_user(AccessToken=tokens["AccessToken"])
    assert me["Username"] == "ada" and {"Name": "email", "Value": "ada@example.com"} in me["UserAttributes"], me
    refused("NotAuthorizedException", "", cognito.get_user, AccessToken=tokens["IdToken"])
    refused("InvalidParameterException", "not enabled", cognito.admin_initiate_auth, UserPoolId=pid, ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ada", "PASSWORD": "x"})
    refused("InvalidParameterException", "not supported", cognito.initiate_auth, ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ada", "PASSWORD": "x"})
    cognito.add_custom_attributes(UserPoolId=pid, CustomAttributes=[
        {"Name": "tier", "AttributeDataType": "String", "Mutable": True, "StringAttributeConstraints": {"MaxLength": "5"}}])
    refused("InvalidParameterException", "at most 5 characters", cognito.admin_update_user_attributes, UserPoolId=pid, Username="ada",
            UserAttributes=[{"Name": "custom:tier", "Value": "platinum"}])
    cognito.tag_resource(ResourceArn=pool["Arn"], Tags={"stage": "dev"})
    assert cognito.list_tags_for_resource(ResourceArn=pool["Arn"])["Tags"] == {"team": "a", "stage": "dev"}
    with open(state, "w") as f:
        json.dump({"pool": pid, "client": client, "tokens": tokens}, f)


def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def groups(pid, client):
    """Groups, and what tokens say of them."""
    for name, more in (("readers", {}), ("writers", {"Precedence": 1, "RoleArn": "arn:aws:iam::111122223333:role/writers"})):
        cognito.create_group(UserPoolId=pid, GroupName=name, **more)
        cognito.admin_add_user_to_group(UserPoolId=pid, GroupName=name, Username="ada")
    refused("GroupExistsException", "already exists", cognito.create_group, UserPoolId=pid, GroupName="readers")
    refused("ResourceNotFoundException", "Group not found", cognito.admin_add_user_to_group, UserPoolId=pid, GroupName="x", Username="ada")
    refused("UserNotFoundException", "", cognito.admin_add_user_to_group, UserPoolId=pid, GroupName="readers", Username="x")
    tokens = cognito.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
                                   AuthParameters={"USERNAME": "ada", "PASSWORD": "Analytical-2"})["AuthenticationResult"]
    said, access = claims(tokens["IdToken"]), claims(tokens["AccessToken"])
    assert said["cognito:groups"] == access["cognito:groups"] == ["writers", "readers"], said
    assert said["cognito:roles"] == ["arn:aws:iam::111122223333:role/writers"] == [said["cognito:preferred_role"]], said
    of = [g["GroupName"] for page in cognito.get_paginator("admin_list_groups_for_user").paginate(
        UserPoolId=pid, Username="ada", PaginationConfig={"PageSize": 1}) for g in page["Groups"]]
    all_ = [g["GroupName"] for page in cognito.get_paginator("list_groups").paginate(UserPoolId=pid) for g in page["Groups"]]
    assert of == ["writers", "readers"] and sorted(all_) == ["readers", "writers"], (of, all_)
    users = [u["Username"] for page in cognito.get_paginator("list_users_in_group").paginate(UserPoolId=pid, GroupName="readers") for u in page["Users"]]
    assert users == ["ada"], users
    cognito.admin_remove_user_from_group(UserPoolId=pid, GroupName="readers", Username="ada")
    cognito.delete_group(UserPoolId=pid, GroupName="writers")
    again = cognito.initiate_auth(ClientId=client, AuthFlow="REFRESH_TOKEN_AUTH",
                                  AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]})["AuthenticationResult"]
    assert "cognito:groups" not in claims(again["AccessToken"]), again


def after():
    with open(state) as f:
        held = json.load(f)
    pid, client, tokens = held["pool"], held["client"], held["tokens"]
    assert cognito.get_user(AccessToken=tokens["AccessToken"])["Username"] == "ada"
    again = cognito.initiate_auth(ClientId=client, AuthFlow="REFRESH_TOKEN_AUTH",
                                  AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]})["AuthenticationResult"]
    assert again["AccessToken"] != tokens["AccessToken"] and "RefreshToken" not in again
    cognito.change_password(AccessToken=again["AccessToken"], PreviousPassword="Analytical-1", ProposedPassword="Analytical-2")
    refused("NotAuthorizedException", "Incorrect", cognito.initiate_auth, ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ada", "PASSWORD": "Analytical-1"})
    cognito.revoke_token(Token=tokens["RefreshToken"], ClientId=client)
    refused("NotAuthorizedException", "Refresh Token has been revoked", cognito.initiate_auth, ClientId=client,
            AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]})
    refused("NotAuthorizedException", "revoked", cognito.get_user, AccessToken=again["AccessToken"])
    fresh = cognito.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
                                  AuthParameters={"USERNAME": "ada", "PASSWORD": "Analytical-2"})["AuthenticationResult"]
    cognito.global_sign_out(AccessToken=fresh["AccessToken"])
    refused("NotAuthorizedException", "revoked", cognito.get_user, AccessToken=fresh["AccessToken"])
    groups(pid, client)
    sign_up = {"ClientId": client, "Username": "bob", "Password": "Bob-12345"}
    cognito.sign_up(**sign_up)
    bob = {"ClientId": client, "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": {"USERNAME": "bob", "PASSWORD": "Bob-12345"}}
    refused("UserNotConfirmedException", "", cognito.initiate_auth, **bob)
    cognito.admin_confirm_sign_up(UserPoolId=pid, Username="bob")
    assert cognito.initiate_auth(**bob)["AuthenticationResult"]["IdToken"]
    names = [u["Username"] for page in cognito.get_paginator("list_users").paginate(UserPoolId=pid, PaginationConfig={"PageSize": 1}) for u in page["Users"]]
    assert names == ["ada", "bob"], names
    found = cognito.list_users(UserPoolId=pid, Filter='email ^= "ada@"')["Users"]
    assert [u["Username"] for u in found] == ["ada"], found
    secret = cognito.create_user_pool_client(UserPoolId=pid, ClientName="sealed", GenerateSecret=True, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["UserPoolClient"]
    refused("NotAuthorizedException", "SECRET_HASH was not received", cognito.initiate_auth, **{**bob, "ClientId": secret["ClientId"]})
    cognito.admin_delete_user(UserPoolId=pid, Username="bob")
    refused("NotAuthorizedException", "Incorrect username or password.", cognito.initiate_auth, **bob)
    refused("ValidationException", "is not available", cognito.forgot_password, ClientId=client, Username="ada")


if sys.argv[1] == "before":
    gateway_authorizer()
    users()
else:
    after()
