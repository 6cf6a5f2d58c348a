"""Signs users in by SRP with pycognito: signin.py SERVER POOL CLIENT. What is not as it
should be is an exception."""

import os
import sys
import urllib.request

server, pool, client = sys.argv[1:]
# The keys that pycognito verifies tokens with, which it would ask AWS for.
with urllib.request.urlopen(f"{server}/{pool}/.well-known/jwks.json") as answer:
    os.environ["COGNITO_JWKS"] = answer.read().decode()

from botocore.exceptions import ClientError  # noqa: E402
from pycognito import Cognito  # noqa: E402

ada = Cognito(pool, client, username="ada")
ada.authenticate(password="Analytical-1")
assert ada.id_claims["cognito:username"] == "ada" and ada.access_claims["client_id"] == client
before = ada.access_token
ada.renew_access_token()
assert ada.access_token != before
ada.change_password("Analytical-1", "Analytical-2")
for password, error in (("Analytical-1", "NotAuthorizedException"), ("Analytical-2", None)):
    try:
        Cognito(pool, client, username="ada").authenticate(password=password)
        assert error is None, "the old password is good"
    except ClientError as e:
        assert e.response["Error"]["Code"] == error, e
print("signed in")
