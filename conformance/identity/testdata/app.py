"""Makes a pool with users, an application of each kind and a domain, and prints them."""

import json
import os
import uuid

import boto3

cognito = boto3.client("cognito-idp", region_name="us-east-1")
callback = os.environ["CALLBACK"]
pool = cognito.create_user_pool(PoolName="people", DcrConfiguration={"EnableStatus": "Enabled", "OpenDcrEnabled": True})["UserPool"]["Id"]
domain = "people-" + uuid.uuid4().hex[:8]
cognito.create_user_pool_domain(UserPoolId=pool, Domain=domain)
cognito.create_resource_server(UserPoolId=pool, Identifier="https://api.example/jobs", Name="jobs", Scopes=[{"ScopeName": "run", "ScopeDescription": "Run jobs"}])
cognito.create_resource_server(UserPoolId=pool, Identifier="tools", Name="tools", Scopes=[{"ScopeName": "invoke", "ScopeDescription": "Call tools"}])
cognito.admin_create_user(UserPoolId=pool, Username="ada", TemporaryPassword="Temp-0rary",
                          UserAttributes=[{"Name": "email", "Value": "ada@example.com"}, {"Name": "email_verified", "Value": "true"}])
cognito.admin_create_user(UserPoolId=pool, Username="bob")
cognito.admin_set_user_password(UserPoolId=pool, Username="bob", Password="Bob-12345", Permanent=True)
code = {"AllowedOAuthFlowsUserPoolClient": True, "AllowedOAuthFlows": ["code"], "AllowedOAuthScopes": ["openid", "email", "profile"],
        "CallbackURLs": [callback], "SupportedIdentityProviders": ["COGNITO"]}
public = cognito.create_user_pool_client(UserPoolId=pool, ClientName="public", **code)["UserPoolClient"]
private = cognito.create_user_pool_client(UserPoolId=pool, ClientName="private", GenerateSecret=True, **code)["UserPoolClient"]
machine = cognito.create_user_pool_client(
    UserPoolId=pool, ClientName="machine", GenerateSecret=True, AllowedOAuthFlowsUserPoolClient=True,
    AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["tools/invoke", "https://api.example/jobs/run"])["UserPoolClient"]
print(json.dumps({
    "Pool": pool, "Domain": domain, "Region": "us-east-1", "Scope": "tools/invoke", "Public": public["ClientId"],
    "Private": private["ClientId"], "PrivateSecret": private["ClientSecret"],
    "Machine": machine["ClientId"], "MachineSecret": machine["ClientSecret"],
}))
