"""What boto3 does with repositories and images. Asserts for itself."""

import base64
import hashlib
import json
import sys
import urllib.request

import boto3

ecr = boto3.client("ecr")
sts = boto3.client("sts")
account = sts.get_caller_identity()["Account"]
name = "team/story"

repo = ecr.create_repository(repositoryName=name, tags=[{"Key": "team", "Value": "a"}])["repository"]
assert repo["registryId"] == account and repo["repositoryName"] == name, repo
try:
    ecr.create_repository(repositoryName=name)
    raise SystemExit("the repository was made twice")
except ecr.exceptions.RepositoryAlreadyExistsException:
    pass
try:
    ecr.create_repository(repositoryName="Not Valid")
    raise SystemExit("a wrong name was taken")
except ecr.exceptions.InvalidParameterException:
    pass

# As the starter toolkit logs in and pushes: at proxyEndpoint, to repositoryUri.
data = ecr.get_authorization_token()["authorizationData"][0]
user, password = base64.b64decode(data["authorizationToken"]).decode().split(":")
assert user == "AWS"
endpoint = data["proxyEndpoint"]
assert repo["repositoryUri"] == endpoint.split("://")[1] + "/" + name, (repo, endpoint)
basic = "Basic " + data["authorizationToken"]


def call(method, path, body=None, status=200, **headers):
    url = path if path.startswith("http") else endpoint + path
    r = urllib.request.Request(url, data=body, method=method, headers={"Authorization": basic, **headers})
    with urllib.request.urlopen(r) as answer:
        assert answer.status == status, (method, path, answer.status)
        return answer.headers, answer.read()


def push(content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    headers, _ = call("POST", f"/v2/{name}/blobs/uploads/", b"", 202)
    call("PUT", headers["Location"] + "?digest=" + digest, content, 201)
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(content)}


manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": push(b"{}"), "layers": [push(b"one"), push(b"two")],
})
for tag in ("v1", "v2"):
    ecr.put_image(repositoryName=name, imageTag=tag, imageManifest=manifest)
try:
    ecr.put_image(repositoryName=name, imageTag="v1", imageManifest=manifest)
    raise SystemExit("the image was put twice")
except ecr.exceptions.ImageAlreadyExistsException:
    pass

listed = [i for p in ecr.get_paginator("list_images").paginate(repositoryName=name, PaginationConfig={"PageSize": 1}) for i in p["imageIds"]]
assert sorted(i["imageTag"] for i in listed) == ["v1", "v2"], listed
details = [d for p in ecr.get_paginator("describe_images").paginate(repositoryName=name) for d in p["imageDetails"]]
assert len(details) == 1 and details[0]["imageTags"] == ["v1", "v2"] and details[0]["imageSizeInBytes"] == 8, details
names = [r["repositoryName"] for p in ecr.get_paginator("describe_repositories").paginate() for r in p["repositories"]]
assert name in names, names

got = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}, {"imageTag": "none"}])
assert got["images"][0]["imageManifest"] == manifest and got["failures"][0]["failureCode"] == "ImageNotFound", got

ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
other = manifest.replace('"schemaVersion": 2', '"schemaVersion":2')
try:
    ecr.put_image(repositoryName=name, imageTag="v1", imageManifest=other)
    raise SystemExit("a tag that must not move was moved")
except ecr.exceptions.ImageTagAlreadyExistsException:
    pass

arn = repo["repositoryArn"]
ecr.tag_resource(resourceArn=arn, tags=[{"Key": "cost", "Value": "1"}])
assert len(ecr.list_tags_for_resource(resourceArn=arn)["tags"]) == 2
ecr.untag_resource(resourceArn=arn, tagKeys=["team", "cost"])
try:
    ecr.get_repository_policy(repositoryName=name)
    raise SystemExit("there is a policy")
except ecr.exceptions.RepositoryPolicyNotFoundException:
    pass
ecr.set_repository_policy(repositoryName=name, policyText=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Deny", "Principal": "*", "Action": "ecr:DeleteRepositoryPolicy"}]}))

# As the starter toolkit destroys.
try:
    ecr.delete_repository(repositoryName=name)
    raise SystemExit("a repository with images was deleted")
except ecr.exceptions.RepositoryNotEmptyException:
    pass
ids = ecr.list_images(repositoryName=name)["imageIds"]
gone = ecr.batch_delete_image(repositoryName=name, imageIds=ids)
assert len(gone["imageIds"]) == 2 and not gone["failures"], gone
ecr.delete_repository(repositoryName=name)
try:
    ecr.describe_repositories(repositoryNames=[name])
    raise SystemExit("the repository is still there")
except ecr.exceptions.RepositoryNotFoundException:
    pass
print("done")
sys.exit(0)
