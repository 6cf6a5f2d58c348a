"""Drives KMS with boto3; what is not as it should be is an exception."""

import base64
import hashlib
import json
import os
import sys

import boto3

kms = boto3.client("kms", region_name="us-east-1")
state = os.environ["STATE"]


def refused(code, text, call, **arguments):
    try:
        call(**arguments)
    except kms.exceptions.ClientError as e:
        got = e.response["Error"]
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, (call, e.response)
        assert got["Code"] == code and text in got["Message"], (call, got)
        return
    raise AssertionError(f"{call} was not refused with {code}")


def symmetric():
    made = kms.create_key(Description="for secrets", Tags=[{"TagKey": "team", "TagValue": "a"}])["KeyMetadata"]
    assert made["KeyState"] == "Enabled" and made["KeySpec"] == "SYMMETRIC_DEFAULT" and made["KeyManager"] == "CUSTOMER", made
    kid, arn = made["KeyId"], made["Arn"]
    kms.create_alias(AliasName="alias/app", TargetKeyId=kid)
    refused("AlreadyExistsException", "alias/app already exists", kms.create_alias, AliasName="alias/app", TargetKeyId=kid)
    assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["Arn"] == arn
    about = {"tenant": "blue"}
    out = kms.encrypt(KeyId="alias/app", Plaintext=b"attack at dawn", EncryptionContext=about)
    assert out["KeyId"] == arn and out["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    blob = out["CiphertextBlob"]
    got = kms.decrypt(CiphertextBlob=blob, EncryptionContext=about)
    assert got["Plaintext"] == b"attack at dawn" and got["KeyId"] == arn, got
    refused("InvalidCiphertextException", "", kms.decrypt, CiphertextBlob=blob)
    refused("InvalidCiphertextException", "", kms.decrypt, CiphertextBlob=b"x" * 200)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    refused("IncorrectKeyException", "does not identify", kms.decrypt, CiphertextBlob=blob, KeyId=other, EncryptionContext=about)
    moved = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=about, DestinationKeyId=other)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["KeyId"].endswith(other)
    data = kms.generate_data_key(KeyId=kid, KeySpec="AES_256", EncryptionContext=about)
    assert len(data["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"], EncryptionContext=about)["Plaintext"] == data["Plaintext"]
    without = kms.generate_data_key_without_plaintext(KeyId=kid, NumberOfBytes=64)
    assert len(kms.decrypt(CiphertextBlob=without["CiphertextBlob"])["Plaintext"]) == 64
    assert len(kms.generate_random(NumberOfBytes=17)["Plaintext"]) == 17
    refused("DryRunOperationException", "would have succeeded", kms.encrypt, KeyId=kid, Plaintext=b"x", DryRun=True)
    rotation(kid, blob, about)
    lists(kid, arn)
    kms.disable_key(KeyId=other)
    refused("DisabledException", "is disabled", kms.encrypt, KeyId=other, Plaintext=b"x")
    kms.enable_key(KeyId=other)
    refused("ValidationException", "", kms.schedule_key_deletion, KeyId=other, PendingWindowInDays=3)
    gone = kms.schedule_key_deletion(KeyId=other, PendingWindowInDays=7)
    assert gone["KeyState"] == "PendingDeletion" and gone["DeletionDate"]
    refused("KMSInvalidStateException", "is pending deletion", kms.encrypt, KeyId=other, Plaintext=b"x")
    kms.cancel_key_deletion(KeyId=other)
    assert kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Disabled"
    refused("ValidationException", "4096", kms.encrypt, KeyId=kid, Plaintext=b"x" * 4097)
    refused("NotFoundException", "alias/none is not found", kms.describe_key, KeyId="alias/none")
    refused("NotFoundException", "does not exist", kms.describe_key, KeyId="00000000-0000-4000-8000-000000000000")
    for name in ("create_grant",):
        refused("ValidationException", "there are no grants here", kms.create_grant, KeyId=kid, GranteePrincipal="arn:aws:iam::111122223333:root", Operations=["Decrypt"])
    return {"arn": arn, "blob": base64.b64encode(blob).decode(), "context": about}


def rotation(kid, blob, about):
    assert not kms.get_key_rotation_status(KeyId=kid)["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=kid, RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=kid)
    assert status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 180 and status["NextRotationDate"], status
    before = kms.describe_key(KeyId=kid)["KeyMetadata"]["CurrentKeyMaterialId"]
    kms.rotate_key_on_demand(KeyId=kid)
    assert kms.describe_key(KeyId=kid)["KeyMetadata"]["CurrentKeyMaterialId"] != before
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=about)["KeyMaterialId"] == before
    rotations = kms.list_key_rotations(KeyId=kid)["Rotations"]
    assert [r["RotationType"] for r in rotations] == ["ON_DEMAND"], rotations
    kms.disable_key_rotation(KeyId=kid)


def lists(kid, arn):
    assert arn in [k["KeyArn"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in page["Keys"]]
    aliases = [a for page in kms.get_paginator("list_aliases").paginate(KeyId=kid) for a in page["Aliases"]]
    assert [a["AliasName"] for a in aliases] == ["alias/app"] and aliases[0]["TargetKeyId"] == kid, aliases
    kms.tag_resource(KeyId=kid, Tags=[{"TagKey": "b", "TagValue": "2"}, {"TagKey": "c", "TagValue": ""}])
    kms.untag_resource(KeyId=kid, TagKeys=["team"])
    tags = [t for page in kms.get_paginator("list_resource_tags").paginate(KeyId=kid, PaginationConfig={"PageSize": 1}) for t in page["Tags"]]
    assert tags == [{"TagKey": "b", "TagValue": "2"}, {"TagKey": "c", "TagValue": ""}], tags
    kms.update_key_description(KeyId=kid, Description="changed")
    assert kms.describe_key(KeyId=kid)["KeyMetadata"]["Description"] == "changed"
    policy = json.loads(kms.get_key_policy(KeyId=kid)["Policy"])
    assert policy["Statement"][0]["Action"] == "kms:*", policy
    assert kms.list_key_policies(KeyId=kid)["PolicyNames"] == ["default"]
    refused("MalformedPolicyDocumentException", "will not allow you to update", kms.put_key_policy, KeyId=kid, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Encrypt", "Resource": "*"}]}))
    policy["Statement"].append({"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "kms:GenerateMac", "Resource": "*"})
    kms.put_key_policy(KeyId=kid, PolicyName="default", Policy=json.dumps(policy))
    refused("AccessDeniedException", "explicit deny in a resource-based policy", kms.generate_mac, KeyId=kid, Message=b"x", MacAlgorithm="HMAC_SHA_256")


def asymmetric():
    out = {}
    for spec, algorithm in (("RSA_2048", "RSASSA_PSS_SHA_256"), ("ECC_NIST_P256", "ECDSA_SHA_256")):
        kid = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        digest = hashlib.sha256(b"message").digest()
        signed = kms.sign(KeyId=kid, Message=digest, MessageType="DIGEST", SigningAlgorithm=algorithm)["Signature"]
        assert kms.verify(KeyId=kid, Message=b"message", Signature=signed, SigningAlgorithm=algorithm)["SignatureValid"]
        refused("KMSInvalidSignatureException", "", kms.verify, KeyId=kid, Message=b"other", Signature=signed, SigningAlgorithm=algorithm)
        refused("InvalidKeyUsageException", "SIGN_VERIFY", kms.encrypt, KeyId=kid, Plaintext=b"x")
        public = kms.get_public_key(KeyId=kid)
        assert public["KeyUsage"] == "SIGN_VERIFY" and len(public["PublicKey"]) > 80
        out[spec] = [kid, base64.b64encode(signed).decode(), algorithm]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    code = kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert kms.verify_mac(KeyId=mac, Message=b"m", Mac=code, MacAlgorithm="HMAC_SHA_256")["MacValid"]
    refused("KMSInvalidMacException", "", kms.verify_mac, KeyId=mac, Message=b"n", Mac=code, MacAlgorithm="HMAC_SHA_256")
    return out


if sys.argv[1] == "before":
    with open(state, "w") as f:
        json.dump({"symmetric": symmetric(), "asymmetric": asymmetric()}, f)
else:
    with open(state) as f:
        was = json.load(f)
    s = was["symmetric"]
    got = kms.decrypt(CiphertextBlob=base64.b64decode(s["blob"]), EncryptionContext=s["context"])
    assert got["Plaintext"] == b"attack at dawn" and got["KeyId"] == s["arn"], got
    for kid, signed, algorithm in was["asymmetric"].values():
        assert kms.verify(KeyId=kid, Message=b"message", Signature=base64.b64decode(signed), SigningAlgorithm=algorithm)["SignatureValid"]
print("ok", sys.argv[1])
