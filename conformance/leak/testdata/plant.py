"""Gives the server one secret of each kind to keep, uses it, and prints them all as JSON:
texts, what is no text in base64, and a canary that the server may keep in the clear. PRIME is
that of SRP."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import secrets as chance

import boto3
from botocore.exceptions import ClientError

endpoint, region = os.environ["ENDPOINT"], "us-west-2"
iam, sts = boto3.client("iam"), boto3.client("sts", region_name=region)
kms, manager = boto3.client("kms", region_name=region), boto3.client("secretsmanager", region_name=region)
cognito = boto3.client("cognito-idp", region_name=region)
control, data = boto3.client("bedrock-agentcore-control", region_name=region), boto3.client("bedrock-agentcore", region_name=region)
texts, raw = {}, {}
canary = "canary-" + chance.token_hex(16)


def new(name):
    texts[name] = name.title().replace(" ", "-").replace("'", "") + "-1-" + chance.token_hex(8)
    return texts[name]


def keep(name, got):
    texts[name + "'s secret key"] = got["SecretAccessKey"]
    if "SessionToken" in got:
        texts[name + "'s session token"] = got["SessionToken"]


def broken(call, **arguments):
    """What is refused is told of, and its secret is not."""
    try:
        call(**arguments)
    except ClientError as e:
        for name, value in texts.items():
            assert value not in str(e), name
        return
    raise AssertionError(f"{call} was not refused")


# IAM and STS.
iam.create_user(UserName="ann")
keep("ann", iam.create_access_key(UserName="ann")["AccessKey"])

# A user pool: passwords, of which one is signed in with SRP, a client's secret, tokens.
pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
host = f"cognito-idp.{region}.amazonaws.com/{pool}"
cognito.create_resource_server(UserPoolId=pool, Identifier="agents", Name="agents", Scopes=[{"ScopeName": "call", "ScopeDescription": "Call agents"}])
app = cognito.create_user_pool_client(UserPoolId=pool, ClientName="app", ExplicitAuthFlows=[
    "ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"])["UserPoolClient"]["ClientId"]
machine = cognito.create_user_pool_client(
    UserPoolId=pool, ClientName="machine", GenerateSecret=True, AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["agents/call"],
    AllowedOAuthFlowsUserPoolClient=True)["UserPoolClient"]
texts["the pool client's secret"] = machine["ClientSecret"]
cognito.admin_create_user(UserPoolId=pool, Username="ann", TemporaryPassword=new("the temporary password"), MessageAction="SUPPRESS")
cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password=new("the first password"), Permanent=True)
cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password=new("the password"), Permanent=True)


def sign_in(password):
    return cognito.initiate_auth(ClientId=app, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ann", "PASSWORD": password})


broken(sign_in, password=new("a wrong password"))
tokens = sign_in(texts["the password"])["AuthenticationResult"]
again = cognito.initiate_auth(ClientId=app, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]})["AuthenticationResult"]
texts.update({"the refresh token": tokens["RefreshToken"], "the id token": tokens["IdToken"], "the access token": tokens["AccessToken"],
              "the refreshed access token": again["AccessToken"]})


def by_srp(password):
    """The client's half of SRP, as Amazon's libraries do it. The random number is 1."""
    prime, name = int(os.environ["PRIME"], 16), pool.split("_")[1] + "ann"
    asked = cognito.initiate_auth(ClientId=app, AuthFlow="USER_SRP_AUTH", AuthParameters={"USERNAME": "ann", "SRP_A": "2"})["ChallengeParameters"]
    salt, public = int(asked["SALT"], 16), int(asked["SRP_B"], 16)
    x = number(padded(salt), hashlib.sha256(f"{name}:{password}".encode()).digest())
    verifier, u = pow(2, x, prime), number(padded(2), padded(public))
    shared = pow((public - number(padded(prime), padded(2)) * verifier) % prime, 1 + u * x, prime)
    key = hmac.digest(hmac.digest(padded(u), padded(shared), "sha256"), b"Caldera Derived Key\x01", "sha256")[:16]
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = f"{now:%a %b} {now.day} {now:%H:%M:%S} UTC {now:%Y}"
    signed = hmac.digest(key, name.encode() + base64.b64decode(asked["SECRET_BLOCK"]) + stamp.encode(), "sha256")
    cognito.respond_to_auth_challenge(ClientId=app, ChallengeName="PASSWORD_VERIFIER", ChallengeResponses={
        "USERNAME": "ann", "TIMESTAMP": stamp, "PASSWORD_CLAIM_SECRET_BLOCK": asked["SECRET_BLOCK"], "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(signed).decode()})
    return verifier.to_bytes(384, "big").lstrip(b"\x00")


def padded(n):
    return n.to_bytes(n.bit_length() // 8 + 1, "big")


def number(*parts):
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


raw["the verifier"] = by_srp(texts["the password"])

# Web identity: the pool's token for a role's session, and a token of the account's own.
people = iam.create_open_id_connect_provider(Url="https://" + host, ClientIDList=[app])["OpenIDConnectProviderArn"]
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": people}, "Action": "sts:AssumeRoleWithWebIdentity"}]}
role = iam.create_role(RoleName="people", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
keep("the role", sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="ann", WebIdentityToken=tokens["IdToken"])["Credentials"])
broken(sts.assume_role_with_web_identity, RoleArn=role, RoleSessionName="ann", WebIdentityToken=tokens["AccessToken"])
iam.enable_outbound_web_identity_federation()
texts["the web identity token"] = sts.get_web_identity_token(Audience=["jobs"], SigningAlgorithm="ES384")["WebIdentityToken"]

# KMS: what is sealed, and keys for others to seal with.
key = kms.create_key(Description=canary)["KeyMetadata"]["KeyId"]
kms.encrypt(KeyId=key, Plaintext=new("a plaintext").encode())
made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
raw["the data key"] = made["Plaintext"]
assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
raw["random bytes"] = kms.generate_random(NumberOfBytes=32)["Plaintext"]

# Secrets Manager: values now and before, a text and bytes.
manager.create_secret(Name="text", SecretString=new("a secret's first value"))
manager.put_secret_value(SecretId="text", SecretString=new("a secret's value"))
manager.create_secret(Name="sealed", KmsKeyId=key, SecretString=new("a value under a key"))
raw["a secret's bytes"] = chance.token_bytes(32)
manager.create_secret(Name="bytes", SecretBinary=raw["a secret's bytes"])
broken(manager.create_secret, Name="text", SecretString=new("the value of a refused secret"))
assert manager.get_secret_value(SecretId="text")["SecretString"] == texts["a secret's value"]
manager.create_secret(Name="gone", SecretString=new("a deleted value"))
manager.delete_secret(SecretId="gone", ForceDeleteWithoutRecovery=True)

# The token vault: API keys and clients' secrets, and the tokens that are got with them.
control.create_workload_identity(name="agent")
agent = data.get_workload_access_token(workloadName="agent")["workloadAccessToken"]
texts["the workload's token"] = agent
control.create_api_key_credential_provider(name="maps", apiKey=new("the first api key"))
control.update_api_key_credential_provider(name="maps", apiKey=new("the api key"))
assert data.get_resource_api_key(workloadIdentityToken=agent, resourceCredentialProviderName="maps")["apiKey"] == texts["the api key"]
broken(control.create_api_key_credential_provider, name="maps", apiKey=new("the key of a refused provider"))


def provider(client, secret):
    return {"customOauth2ProviderConfig": {"oauthDiscovery": {"discoveryUrl": f"{endpoint}/{pool}/.well-known/openid-configuration"}, "clientId": client, "clientSecret": secret}}


def machine_token():
    return data.get_resource_oauth2_token(workloadIdentityToken=agent, resourceCredentialProviderName="svc", scopes=["agents/call"], oauth2Flow="M2M")["accessToken"]


control.create_oauth2_credential_provider(name="svc", credentialProviderVendor="CustomOauth2", oauth2ProviderConfigInput=provider(machine["ClientId"], new("a provider's client secret")))
broken(machine_token)
control.update_oauth2_credential_provider(name="svc", credentialProviderVendor="CustomOauth2", oauth2ProviderConfigInput=provider(machine["ClientId"], machine["ClientSecret"]))
texts["the service's token"] = machine_token()

print(json.dumps({"Secrets": texts, "Bytes": {k: base64.b64encode(v).decode() for k, v in raw.items()}, "Canary": canary}))
