"""What people do with S3 in boto3, each step asserted. Arguments: a bucket that
is there and empty, and a directory for files."""

import hashlib
import io
import os
import sys
import threading
import urllib.error
import urllib.request

import boto3
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

bucket, folder = sys.argv[1:3]
s3 = boto3.client("s3")
region = s3.meta.region_name


def code(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it succeeded")


# Buckets.
assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == region
assert code(s3.head_bucket, Bucket="no-such-bucket") == ("404", 404)
assert (s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1") == region

# One object and all its headers.
put = s3.put_object(
    Bucket=bucket, Key="dir/ünï +%.txt", Body=b"hello world", ContentType="text/plain; charset=utf-8",
    Metadata={"color": "blue", "Mixed-Case": "Value"}, CacheControl="no-cache", ContentDisposition="inline",
)
assert put["ETag"] == '"5eb63bbbe01eeed093cb22bb8f5acdc3"' and put["ChecksumCRC32"] and put["ChecksumType"] == "FULL_OBJECT"
got = s3.get_object(Bucket=bucket, Key="dir/ünï +%.txt")
assert got["Body"].read() == b"hello world"
assert got["Metadata"] == {"color": "blue", "mixed-case": "Value"}, got["Metadata"]
assert got["ContentType"] == "text/plain; charset=utf-8" and got["CacheControl"] == "no-cache" and got["ContentLength"] == 11
assert got["ResponseMetadata"]["RequestId"]
ranged = s3.get_object(Bucket=bucket, Key="dir/ünï +%.txt", Range="bytes=6-")
assert ranged["Body"].read() == b"world" and ranged["ContentRange"] == "bytes 6-10/11"
assert ranged["ResponseMetadata"]["HTTPStatusCode"] == 206
assert code(s3.get_object, Bucket=bucket, Key="dir/ünï +%.txt", Range="bytes=99-") == ("InvalidRange", 416)
assert code(s3.get_object, Bucket=bucket, Key="missing") == ("NoSuchKey", 404)
assert code(s3.head_object, Bucket=bucket, Key="missing") == ("404", 404)
assert code(s3.get_object, Bucket=bucket, Key="dir/ünï +%.txt", IfNoneMatch=put["ETag"]) == ("304", 304)
assert code(s3.put_object, Bucket=bucket, Key="dir/ünï +%.txt", IfNoneMatch="*", Body=b"") == ("PreconditionFailed", 412)
assert code(s3.put_object, Bucket=bucket, Key="x", Body=b"", ServerSideEncryption="AES256") == ("NotImplemented", 400)
assert code(s3.get_bucket_acl, Bucket=bucket) == ("NotImplemented", 400)

# Checksums of the client's choice.
for algorithm in "CRC32", "SHA1", "SHA256":
    s3.put_object(Bucket=bucket, Key="sum", Body=b"x" * 100_000, ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    assert head["Checksum" + algorithm], head
    assert s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")["Body"].read() == b"x" * 100_000

# Managed transfers: parts, threads, callbacks.
path = os.path.join(folder, "file")
with open(path, "wb") as file:
    for number in range(40):
        file.write(hashlib.sha256(bytes([number])).digest() * (1 << 14))
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=6 << 20, max_concurrency=4)
moved, lock = [], threading.Lock()


def progress(count):
    with lock:
        moved.append(count)


s3.upload_file(path, bucket, "big", Config=config, Callback=progress, ExtraArgs={"Metadata": {"a": "b"}})
assert sum(moved) == os.path.getsize(path)
head = s3.head_object(Bucket=bucket, Key="big", PartNumber=1)
assert head["PartsCount"] == 4 and head["ContentLength"] == 6 << 20, head
s3.download_file(bucket, "big", path + ".back", Config=config)
with open(path, "rb") as one, open(path + ".back", "rb") as two:
    assert one.read() == two.read()
s3.upload_fileobj(io.BytesIO(b"z" * (11 << 20)), bucket, "stream", Config=config)
assert s3.head_object(Bucket=bucket, Key="stream")["ContentLength"] == 11 << 20
s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "big copy +", Config=config)
attributes = s3.get_object_attributes(
    Bucket=bucket, Key="big copy +", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
)
assert attributes["ObjectSize"] == os.path.getsize(path) and attributes["ObjectParts"]["TotalPartsCount"] == 4, attributes
again = hashlib.sha256()
for chunk in s3.get_object(Bucket=bucket, Key="big copy +")["Body"].iter_chunks(1 << 20):
    again.update(chunk)
with open(path, "rb") as file:
    assert again.hexdigest() == hashlib.sha256(file.read()).hexdigest()
s3.copy_object(Bucket=bucket, Key="replaced", CopySource={"Bucket": bucket, "Key": "dir/ünï +%.txt"},
               MetadataDirective="REPLACE", Metadata={"new": "1"})
assert s3.head_object(Bucket=bucket, Key="replaced")["Metadata"] == {"new": "1"}

# An upload that is given up.
upload = s3.create_multipart_upload(Bucket=bucket, Key="given up")["UploadId"]
s3.upload_part(Bucket=bucket, Key="given up", UploadId=upload, PartNumber=1, Body=b"x")
assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
assert len(s3.list_parts(Bucket=bucket, Key="given up", UploadId=upload)["Parts"]) == 1
s3.abort_multipart_upload(Bucket=bucket, Key="given up", UploadId=upload)
assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)

# Presigned URLs: as boto3 makes them by default (version 2 in older regions),
# and in version 4.
for signer in s3, boto3.client("s3", config=Config(signature_version="s3v4")):
    arguments = {"Bucket": bucket, "Key": "by url", "ContentType": "text/x"}
    url = signer.generate_presigned_url("put_object", Params=arguments, ExpiresIn=60)
    request = urllib.request.Request(url, data=b"by url", method="PUT", headers={"Content-Type": "text/x"})
    assert urllib.request.urlopen(request).status == 200
    arguments = {"Bucket": bucket, "Key": "by url", "ResponseContentDisposition": 'attachment; filename="a.txt"'}
    url = signer.generate_presigned_url("get_object", Params=arguments, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"by url" and answer.headers["Content-Type"] == "text/x"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    try:
        urllib.request.urlopen(url.replace("by%20url", "dir"))
    except urllib.error.HTTPError as error:
        assert error.code == 403
    else:
        raise AssertionError("a URL opens another object")

# Listing.
for number in range(25):
    s3.put_object(Bucket=bucket, Key=f"list/{number % 5}/ä {number:02}", Body=b"")
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 10}))
keys = [o["Key"] for page in pages for o in page["Contents"]]
assert len(pages) == 3 and len(keys) == 25 and keys == sorted(keys) and keys[0] == "list/0/ä 00", keys
folders = s3.list_objects_v2(Bucket=bucket, Prefix="list/", Delimiter="/")
assert [p["Prefix"] for p in folders["CommonPrefixes"]] == [f"list/{n}/" for n in range(5)] and folders["KeyCount"] == 5
first = s3.list_objects(Bucket=bucket, Prefix="list/", Delimiter="/", MaxKeys=2)
assert first["NextMarker"] == "list/1/"
assert len(s3.list_objects(Bucket=bucket, Prefix="list/", Delimiter="/", Marker=first["NextMarker"])["CommonPrefixes"]) == 3

# Tags.
s3.put_object(Bucket=bucket, Key="tagged", Body=b"x", Tagging="team=blue&note=a%20b")
assert s3.head_object(Bucket=bucket, Key="tagged").get("TagCount") == 2
s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging={"TagSet": [{"Key": "team", "Value": "grün"}]})
assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == [{"Key": "team", "Value": "grün"}]
s3.delete_object_tagging(Bucket=bucket, Key="tagged")
assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == []
assert code(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": str(n), "Value": ""} for n in range(50)]})
assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50
assert code(s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": [{"Key": str(n), "Value": ""} for n in range(51)]}) == ("BadRequest", 400)

# Versions, by the resource interface.
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
one = s3.put_object(Bucket=bucket, Key="versioned", Body=b"one")["VersionId"]
s3.put_object(Bucket=bucket, Key="versioned", Body=b"two")
assert s3.get_object(Bucket=bucket, Key="versioned", VersionId=one)["Body"].read() == b"one"
marker = s3.delete_object(Bucket=bucket, Key="versioned")
assert marker["DeleteMarker"] is True
assert code(s3.get_object, Bucket=bucket, Key="versioned") == ("NoSuchKey", 404)
assert code(s3.get_object, Bucket=bucket, Key="versioned", VersionId=marker["VersionId"]) == ("MethodNotAllowed", 405)
everything = boto3.resource("s3").Bucket(bucket)
assert len(list(everything.object_versions.filter(Prefix="versioned"))) == 3
errors = [e for batch in everything.object_versions.delete() for e in batch.get("Errors", [])]
assert not errors and not list(everything.object_versions.all()), errors
s3.delete_bucket(Bucket=bucket)
s3.get_waiter("bucket_not_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 2})
print("done")
