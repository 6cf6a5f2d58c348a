"""Sets a consent portal up as AWS's guide says, with boto3 alone, and prints what it made.

  portal.py setup          a pool with people, a gateway that takes its tokens, and its portal
  portal.py target NAME    a target that wants its users' own tokens, and that finds out itself
                           what the service offers
"""

import json
import os
import sys
import time
import urllib.request

import boto3

url, issuer, service = os.environ["URL"], os.environ["ISSUER"], os.environ["SERVICE"]
region = "us-east-1"
cognito, iam, sts = (boto3.client(name, region_name=region) for name in ("cognito-idp", "iam", "sts"))
control = boto3.client("bedrock-agentcore-control", region_name=region)
account = sts.get_caller_identity()["Account"]
ours = f"arn:aws:bedrock-agentcore:{region}:{account}:"


def until(status, get, **names):
    for _ in range(1200):
        got = get(**names)
        if got["status"] == status:
            return got
        if "FAIL" in got["status"]:
            sys.exit(f"{got['status']}: {got.get('statusReason') or got.get('statusReasons')}")
        time.sleep(0.05)
    sys.exit(f"{names} is {got['status']}")


def allow(actions, resources, **more):
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def trust(**condition):
    return json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "bedrock-agentcore.amazonaws.com"}, "Action": "sts:AssumeRole", **condition}]})


def role(name, *statements):
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    return made["Role"]["Arn"]


def provider(call, name, at, client, password):
    return call(name=name, credentialProviderVendor="CustomOauth2", oauth2ProviderConfigInput={"customOauth2ProviderConfig": {
        "oauthDiscovery": {"discoveryUrl": at + "/.well-known/openid-configuration"}, "clientId": client, "clientSecret": password}})


def target(gateway, portal, name, schema):
    # The service has to know where its users come from, and the provider who it is there.
    made = provider(control.create_oauth2_credential_provider, name, issuer, "unknown", "unknown")
    wanted = {"redirect_uris": [made["callbackUrl"]], "scope": "openid api offline_access", "grant_types": ["authorization_code", "refresh_token"]}
    ask = urllib.request.Request(issuer + "/reg", json.dumps(wanted).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask) as answer:
        client = json.load(answer)
    provider(control.update_oauth2_credential_provider, name, issuer, client["client_id"], client["client_secret"])
    server = {"endpoint": service + "/mcp"}
    if schema:
        server["mcpToolSchema"] = {"inlinePayload": json.dumps(schema)}
    out = control.create_gateway_target(
        gatewayIdentifier=gateway, name=name, targetConfiguration={"mcp": {"mcpServer": server}},
        credentialProviderConfigurations=[{"credentialProviderType": "OAUTH", "credentialProvider": {"oauthCredentialProvider": {
            "providerArn": made["credentialProviderArn"], "scopes": ["openid", "api"], "grantType": "AUTHORIZATION_CODE",
            "defaultReturnUrl": portal + "/connect/callback"}}}])
    return {"Target": out["targetId"], "Client": client["client_id"], "Password": client["client_secret"]}


def setup():
    pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
    people = {"ada": "Analytical-1", "bob": "Bob-12345"}
    for name, password in people.items():
        cognito.admin_create_user(UserPoolId=pool, Username=name)
        cognito.admin_set_user_password(UserPoolId=pool, Username=name, Password=password, Permanent=True)
    page = {"AllowedOAuthFlowsUserPoolClient": True, "AllowedOAuthFlows": ["code"], "AllowedOAuthScopes": ["openid", "email"], "SupportedIdentityProviders": ["COGNITO"]}
    # Nobody knows the portal's URL yet.
    client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="portal", GenerateSecret=True, CallbackURLs=["http://localhost:1/later"], **page)["UserPoolClient"]
    cli = cognito.create_user_pool_client(UserPoolId=pool, ClientName="cli", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["UserPoolClient"]["ClientId"]

    gateway = control.create_gateway(
        name="team-tools", protocolType="MCP", authorizerType="CUSTOM_JWT",
        authorizerConfiguration={"customJWTAuthorizer": {"discoveryUrl": f"{url}/{pool}/.well-known/openid-configuration", "allowedClients": [cli]}},
        roleArn=role("gateway", allow(["bedrock-agentcore:GetWorkloadAccessToken", "bedrock-agentcore:GetResourceOauth2Token"],
                                      [ours + "workload-identity-directory/default*", ours + "token-vault/default*"]),
                     allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:bedrock-agentcore-identity!default/*")))
    until("READY", control.get_gateway, gatewayIdentifier=gateway["gatewayId"])

    # The policy is the guide's ("Consent portal execution role").
    execution = role(
        "portal",
        allow(["bedrock-agentcore:GetGateway", "bedrock-agentcore:GetGatewayTarget", "bedrock-agentcore:ListGatewayTargets"], ours + "gateway/" + gateway["gatewayId"]),
        allow(["bedrock-agentcore:GetOauth2CredentialProvider", "bedrock-agentcore:ListOauth2CredentialProviders"],
              [ours + "token-vault/default/oauth2credentialprovider/*", ours + "token-vault/default"]),
        allow(["bedrock-agentcore:CompleteResourceTokenAuth", "bedrock-agentcore:GetResourceOauth2Token", "bedrock-agentcore:GetWorkloadAccessTokenForJWT"], "*"),
        allow("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{account}:secret:bedrock-agentcore-identity!default/oauth2/*",
              Condition={"StringEquals": {"aws:ResourceTag/aws:secretsmanager:owningService": "bedrock-agentcore-identity"}}))
    signs_in = provider(control.create_oauth2_credential_provider, "people", f"{url}/{pool}", client["ClientId"], client["ClientSecret"])
    made = control.create_consent_portal(
        name="Team_Portal", executionRoleArn=execution, sources=[{"identifier": gateway["gatewayId"], "type": "agentcore-gateway"}],
        idpConfig={"credentialProviderArn": signs_in["credentialProviderArn"], "scopes": ["openid", "email"]}, tags={"team": "a"})
    assert made["status"] == "CREATING" and "portalUrl" not in made, made
    portal = until("ACTIVE", control.get_consent_portal, consentPortalIdentifier=made["consentPortalArn"])
    cognito.update_user_pool_client(UserPoolId=pool, ClientId=client["ClientId"], CallbackURLs=[portal["portalUrl"] + "/callback"], **page)
    iam.update_assume_role_policy(RoleName="portal", PolicyDocument=trust(Condition={
        "StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": portal["consentPortalArn"]}}))

    tool = {"name": "tell", "description": "Tells whose notes these are", "inputSchema": {"type": "object"}}
    out = target(gateway["gatewayId"], portal["portalUrl"], "notes", {"tools": [tool]})
    until("READY", control.get_gateway_target, gatewayIdentifier=gateway["gatewayId"], targetId=out["Target"])
    tokens = {name: cognito.initiate_auth(ClientId=cli, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": name, "PASSWORD": password})
              ["AuthenticationResult"]["AccessToken"] for name, password in people.items()}
    return {**out, "Pool": pool, "Secret": client["ClientSecret"], "Gateway": gateway["gatewayId"], "GatewayURL": gateway["gatewayUrl"],
            "Portal": portal["portalUrl"], "PortalID": portal["consentPortalId"], "Tokens": tokens}


if sys.argv[1] == "setup":
    print(json.dumps(setup()))
else:
    print(json.dumps(target(os.environ["GATEWAY"], os.environ["PORTAL"], sys.argv[2], None)))
