"""Makes a pool whose users sign in by SRP, and prints it."""

import json

import boto3

cognito = boto3.client("cognito-idp", region_name="us-west-2")
pool = cognito.create_user_pool(PoolName="people", UsernameConfiguration={"CaseSensitive": False})["UserPool"]["Id"]
# A client that names no flow has SRP.
client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="site")["UserPoolClient"]["ClientId"]
email = [{"Name": "email", "Value": "bob@example.com"}]
cognito.admin_create_user(UserPoolId=pool, Username="ada", MessageAction="SUPPRESS")
cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Analytical-1", Permanent=True)
cognito.admin_create_user(UserPoolId=pool, Username="bob", TemporaryPassword="Temp-0rary", UserAttributes=email)
print(json.dumps({"Pool": pool, "Client": client}))
