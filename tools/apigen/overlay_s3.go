package main

var objectStore = service{
	Model: "s3", Package: "s3", Signing: "s3", ServedShapesOnly: true,
	Groups: []group{{Name: "Objects", Doc: "buckets, objects, their versions and multipart uploads",
		Served: `AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket DeleteBucketEncryption
			DeleteBucketLifecycle DeleteBucketOwnershipControls DeleteBucketPolicy DeleteBucketTagging DeleteObject DeleteObjects DeleteObjectTagging DeletePublicAccessBlock
			GetBucketEncryption GetBucketLifecycleConfiguration GetBucketLocation GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketTagging GetBucketVersioning GetObject
			GetObjectAttributes GetObjectTagging GetPublicAccessBlock HeadBucket HeadObject ListBuckets ListMultipartUploads
			ListObjectVersions ListObjects ListObjectsV2 ListParts PutBucketLifecycleConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketTagging PutBucketVersioning
			PutObject PutObjectTagging PutPublicAccessBlock UploadPart UploadPartCopy`,
		Refused: map[string]string{
			laterS3: `CreateBucketMetadataConfiguration CreateBucketMetadataTableConfiguration CreateSession DeleteBucketAnalyticsConfiguration
			DeleteBucketCors DeleteBucketIntelligentTieringConfiguration DeleteBucketInventoryConfiguration
			DeleteBucketMetadataConfiguration DeleteBucketMetadataTableConfiguration DeleteBucketMetricsConfiguration
			DeleteBucketReplication DeleteBucketWebsite
			DeleteObjectAnnotation GetBucketAbac GetBucketAccelerateConfiguration GetBucketAcl
			GetBucketAnalyticsConfiguration GetBucketCors GetBucketIntelligentTieringConfiguration
			GetBucketInventoryConfiguration GetBucketLifecycle GetBucketLogging GetBucketMetadataConfiguration
			GetBucketMetadataTableConfiguration GetBucketMetricsConfiguration GetBucketNotification GetBucketNotificationConfiguration
			GetBucketReplication GetBucketRequestPayment
			GetBucketWebsite GetObjectAcl GetObjectAnnotation GetObjectLegalHold GetObjectLockConfiguration GetObjectRetention GetObjectTorrent ListBucketAnalyticsConfigurations
			ListBucketIntelligentTieringConfigurations ListBucketInventoryConfigurations ListBucketMetricsConfigurations ListDirectoryBuckets
			ListObjectAnnotations PutBucketAbac PutBucketAccelerateConfiguration PutBucketAcl PutBucketAnalyticsConfiguration PutBucketCors
			PutBucketIntelligentTieringConfiguration PutBucketInventoryConfiguration PutBucketLifecycle
			PutBucketLogging PutBucketMetricsConfiguration PutBucketNotification
			PutBucketNotificationConfiguration PutBucketReplication PutBucketRequestPayment
			PutBucketWebsite PutObjectAcl PutObjectAnnotation PutObjectLegalHold PutObjectLockConfiguration
			PutObjectRetention RenameObject RestoreObject SelectObjectContent
			UpdateBucketMetadataAnnotationTableConfiguration UpdateBucketMetadataInventoryTableConfiguration
			UpdateBucketMetadataJournalTableConfiguration UpdateObjectEncryption`,
			noEncryption: `PutBucketEncryption`,
			notHere:      `WriteGetObjectResponse`}}},
	Patterns: map[string]override{
		// JavaScript's encodeURIComponent leaves no slash, and S3 takes it.
		"CopySource": {`[\s\S]+`, "S3 reads it decoded, and it may be encoded whole"},
	},
	Requires: map[string][]string{
		"AbortMultipartUpload":    {"s3:AbortMultipartUpload " + objectARN},
		"CompleteMultipartUpload": {"s3:PutObject " + objectARN},
		// The copy's source is one string of bucket and key: its handler asks for s3:GetObject on it.
		// So do the tags of the source, which are copied too.
		"CopyObject":            {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
		"CreateBucket":          {"s3:CreateBucket " + bucketARN},
		"CreateMultipartUpload": {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
		"DeleteBucket":          {"s3:DeleteBucket " + bucketARN},
		// Whoever may set one of these may also take it away: AWS has one action for both.
		"DeleteBucketEncryption":        {"s3:PutEncryptionConfiguration " + bucketARN},
		"DeleteBucketLifecycle":         {"s3:PutLifecycleConfiguration " + bucketARN},
		"DeleteBucketOwnershipControls": {"s3:PutBucketOwnershipControls " + bucketARN},
		"DeleteBucketPolicy":            {"s3:DeleteBucketPolicy " + bucketARN},
		"DeleteBucketTagging":           {"s3:PutBucketTagging " + bucketARN},
		"DeletePublicAccessBlock":       {"s3:PutBucketPublicAccessBlock " + bucketARN},
		// What is done to a version asks for the version's action alone (S3 guide, "Required permissions for S3 API operations").
		"DeleteObjectTagging": {
			"s3:DeleteObjectTagging " + objectARN + " ?!VersionId",
			"s3:DeleteObjectVersionTagging " + objectARN + " ?VersionId",
		},
		"DeleteObject": {
			"s3:DeleteObject " + objectARN + " ?!VersionId",
			"s3:DeleteObjectVersion " + objectARN + " ?VersionId",
		},
		// AWS asks for nothing on the bucket: a policy for some of its keys is enough to delete those.
		"DeleteObjects":                   {"none: `s3:DeleteObject` or `s3:DeleteObjectVersion` on each object in the body, which the handler asks for"},
		"GetBucketEncryption":             {"s3:GetEncryptionConfiguration " + bucketARN},
		"GetBucketLifecycleConfiguration": {"s3:GetLifecycleConfiguration " + bucketARN},
		"GetBucketLocation":               {"s3:GetBucketLocation " + bucketARN},
		"GetBucketOwnershipControls":      {"s3:GetBucketOwnershipControls " + bucketARN},
		"GetBucketPolicy":                 {"s3:GetBucketPolicy " + bucketARN},
		"GetBucketPolicyStatus":           {"s3:GetBucketPolicyStatus " + bucketARN},
		"GetBucketTagging":                {"s3:GetBucketTagging " + bucketARN},
		"GetBucketVersioning":             {"s3:GetBucketVersioning " + bucketARN},
		"GetPublicAccessBlock":            {"s3:GetBucketPublicAccessBlock " + bucketARN},
		"GetObject": {
			"s3:GetObject " + objectARN + " ?!VersionId",
			"s3:GetObjectVersion " + objectARN + " ?VersionId",
		},
		"GetObjectAttributes": {
			"s3:GetObject " + objectARN + " ?!VersionId", "s3:GetObjectAttributes " + objectARN + " ?!VersionId",
			"s3:GetObjectVersion " + objectARN + " ?VersionId", "s3:GetObjectVersionAttributes " + objectARN + " ?VersionId",
		},
		"GetObjectTagging": {
			"s3:GetObjectTagging " + objectARN + " ?!VersionId",
			"s3:GetObjectVersionTagging " + objectARN + " ?VersionId",
		},
		"HeadBucket": {"s3:ListBucket " + bucketARN},
		"HeadObject": {
			"s3:GetObject " + objectARN + " ?!VersionId",
			"s3:GetObjectVersion " + objectARN + " ?VersionId",
		},
		"ListBuckets":                     {"s3:ListAllMyBuckets *"},
		"ListMultipartUploads":            {"s3:ListBucketMultipartUploads " + bucketARN},
		"ListObjectVersions":              {"s3:ListBucketVersions " + bucketARN},
		"ListObjects":                     {"s3:ListBucket " + bucketARN},
		"ListObjectsV2":                   {"s3:ListBucket " + bucketARN},
		"ListParts":                       {"s3:ListMultipartUploadParts " + objectARN},
		"PutBucketLifecycleConfiguration": {"s3:PutLifecycleConfiguration " + bucketARN},
		"PutBucketOwnershipControls":      {"s3:PutBucketOwnershipControls " + bucketARN},
		"PutBucketPolicy":                 {"s3:PutBucketPolicy " + bucketARN},
		"PutBucketTagging":                {"s3:PutBucketTagging " + bucketARN},
		"PutBucketVersioning":             {"s3:PutBucketVersioning " + bucketARN},
		"PutPublicAccessBlock":            {"s3:PutBucketPublicAccessBlock " + bucketARN},
		"PutObject":                       {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
		"PutObjectTagging": {
			"s3:PutObjectTagging " + objectARN + " ?!VersionId",
			"s3:PutObjectVersionTagging " + objectARN + " ?VersionId",
		},
		"UploadPart":     {"s3:PutObject " + objectARN},
		"UploadPartCopy": {"s3:PutObject " + objectARN},
	},
	Keys: map[string][]string{
		"ListObjects":          s3ListKeys,
		"ListObjectsV2":        s3ListKeys,
		"ListObjectVersions":   s3ListKeys,
		"ListMultipartUploads": {"s3:prefix Prefix", "s3:delimiter Delimiter"},
		"GetObject":            {"s3:VersionId VersionId"},
		"HeadObject":           {"s3:VersionId VersionId"},
		"DeleteObject":         {"s3:VersionId VersionId"},
		"CreateBucket":         {"s3:LocationConstraint CreateBucketConfiguration.LocationConstraint"},
		"PutBucketTagging":     {"aws:RequestTag/ Tagging.TagSet", "aws:TagKeys Tagging.TagSet"},
		"PutObjectTagging":     {"s3:RequestObjectTag/ Tagging.TagSet", "s3:RequestObjectTagKeys Tagging.TagSet"},
	},
	Roots: map[string]string{
		"ListBuckets": "ListAllMyBucketsResult", "ListObjects": "ListBucketResult", "ListObjectsV2": "ListBucketResult",
		"ListObjectVersions": "ListVersionsResult", "ListParts": "ListPartsResult", "ListMultipartUploads": "ListMultipartUploadsResult",
		"CreateMultipartUpload": "InitiateMultipartUploadResult", "CompleteMultipartUpload": "CompleteMultipartUploadResult",
		"DeleteObjects": "DeleteResult", "GetObjectTagging": "Tagging", "GetBucketTagging": "Tagging", "GetBucketVersioning": "VersioningConfiguration", "GetObjectAttributes": "GetObjectAttributesResponse",
		"GetBucketLocation": "-", "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
	},
}

var s3ListKeys = []string{"s3:prefix Prefix", "s3:delimiter Delimiter", "s3:max-keys MaxKeys"}

const (
	laterS3      = "this part of S3 is not needed by AgentCore's clients"
	noEncryption = "objects are not encrypted by the server; put its data directory on an encrypted volume"
	bucketARN    = "arn:aws:s3:::{Bucket}"
	objectARN    = "arn:aws:s3:::{Bucket}/{Key}"
)
