package main

var imageRegistry = service{
	Model: "ecr", Package: "ecr", Signing: "ecr", ServedShapesOnly: true,
	Groups: []group{{Name: "Images", Doc: "repositories of container images, and the images in them",
		Served: `BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CreateRepository DeleteLifecyclePolicy DeleteRepository
			DeleteRepositoryPolicy DescribeImages DescribeRepositories GetAuthorizationToken GetLifecyclePolicy GetRepositoryPolicy ListImages
			ListTagsForResource PutImage PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy SetRepositoryPolicy
			TagResource UntagResource`,
		Refused: map[string]string{
			laterECR: `BatchGetRepositoryScanningConfiguration CreatePullThroughCacheRule CreateRepositoryCreationTemplate
			DeletePullThroughCacheRule DeleteRegistryPolicy DeleteRepositoryCreationTemplate DeleteSigningConfiguration
			DeregisterPullTimeUpdateExclusion DescribeImageReplicationStatus DescribeImageScanFindings DescribeImageSigningStatus
			DescribePullThroughCacheRules DescribeRegistry DescribeReplicationBackfillResults DescribeRepositoryCreationTemplates
			GetAccountSetting GetLifecyclePolicyPreview GetRegistryPolicy GetRegistryScanningConfiguration GetSigningConfiguration
			ListImageReferrers ListPullTimeUpdateExclusions ListReplicationBackfills PutAccountSetting PutRegistryPolicy
			PutRegistryScanningConfiguration PutReplicationConfiguration PutSigningConfiguration RegisterPullTimeUpdateExclusion
			StartImageScan StartLifecyclePolicyPreview StartReplicationBackfill StopReplicationBackfill UpdateImageStorageClass
			UpdatePullThroughCacheRule UpdateRepositoryCreationTemplate ValidatePullThroughCacheRule`,
			pushedAtV2: `CompleteLayerUpload GetDownloadUrlForLayer InitiateLayerUpload UploadLayerPart`}}},
	Requires: map[string][]string{
		"GetAuthorizationToken": {"ecr:GetAuthorizationToken *"},
		"CreateRepository":      {"ecr:CreateRepository " + repositoryARN},
		"DescribeRepositories":  {"ecr:DescribeRepositories arn:aws:ecr:{region}:{account}:repository/*"},
		"ListTagsForResource":   {"ecr:ListTagsForResource {resourceArn}"},
		"TagResource":           {"ecr:TagResource {resourceArn}"},
		"UntagResource":         {"ecr:UntagResource {resourceArn}"},
	},
	Keys: map[string][]string{
		"CreateRepository": tagKeys,
		"TagResource":      tagKeys,
		"UntagResource":    {"aws:TagKeys tagKeys"},
	},
	RefusedMembers: map[string]string{
		"CreateRepositoryRequest.encryptionConfiguration": "images lie in the data directory as they were pushed; encrypt the disk it is on",
	},
	Secret: "GetAuthorizationToken",
	Metadata: map[string]string{
		"no image goes by itself":  `DeleteLifecyclePolicy GetLifecyclePolicy PutLifecyclePolicy`,
		"no image is scanned here": `PutImageScanningConfiguration`,
	},
}

const (
	laterECR      = "this part of ECR is not needed by AgentCore's clients"
	pushedAtV2    = "layers are pushed and pulled at the registry of this server, under /v2/ (docs/registry.md)"
	repositoryARN = "arn:aws:ecr:{region}:{account}:repository/{repositoryName}"
)
