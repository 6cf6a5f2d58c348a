package main

var secretsManager = service{
	Model: "secretsmanager", Package: "secretsmanager", Signing: "secretsmanager", ServedShapesOnly: true,
	Groups: []group{{Name: "Secrets", Doc: "secrets, their versions and their policies",
		Served: `BatchGetSecretValue CreateSecret DeleteResourcePolicy DeleteSecret DescribeSecret GetRandomPassword GetResourcePolicy GetSecretValue
			ListSecretVersionIds ListSecrets PutResourcePolicy PutSecretValue RestoreSecret TagResource UntagResource UpdateSecret
			UpdateSecretVersionStage ValidateResourcePolicy`,
		Refused: map[string]string{
			noRotation: `CancelRotateSecret RotateSecret`,
			oneSecret: `AssociateCrossAccountReplica DisassociateCrossAccountReplica RemoveRegionsFromReplication ReplicateSecretToRegions
				StopReplicationToReplica`,
			onePolicy: `ListResourcePolicies`,
		}}},
	Requires: secretRequirements(),
	Keys: map[string][]string{
		"CreateSecret": {"secretsmanager:Name Name", "secretsmanager:Description Description", "secretsmanager:KmsKeyId KmsKeyId",
			"aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"UpdateSecret":             {secretIDKey, "secretsmanager:Description Description", "secretsmanager:KmsKeyId KmsKeyId"},
		"GetSecretValue":           {secretIDKey, "secretsmanager:VersionId VersionId", "secretsmanager:VersionStage VersionStage"},
		"UpdateSecretVersionStage": {secretIDKey, "secretsmanager:VersionStage VersionStage"},
		"DeleteSecret": {secretIDKey, "secretsmanager:RecoveryWindowInDays RecoveryWindowInDays",
			"secretsmanager:ForceDeleteWithoutRecovery ForceDeleteWithoutRecovery"},
		"PutResourcePolicy":      {secretIDKey, "secretsmanager:BlockPublicPolicy BlockPublicPolicy"},
		"TagResource":            {secretIDKey, "aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"UntagResource":          {secretIDKey, "aws:TagKeys TagKeys"},
		"DeleteResourcePolicy":   {secretIDKey},
		"DescribeSecret":         {secretIDKey},
		"GetResourcePolicy":      {secretIDKey},
		"ListSecretVersionIds":   {secretIDKey},
		"PutSecretValue":         {secretIDKey},
		"RestoreSecret":          {secretIDKey},
		"ValidateResourcePolicy": {secretIDKey},
	},
	RefusedMembers: map[string]string{
		"CreateSecretRequest.AddReplicaRegions":      oneSecret,
		"CreateSecretRequest.CrossAccountPrimaryARN": oneSecret,
		"CreateSecretRequest.Type":                   "secrets are rotated by nobody's software here",
		"UpdateSecretRequest.Type":                   "secrets are rotated by nobody's software here",
		"PutSecretValueRequest.RotationToken":        noRotation,
		"DeleteResourcePolicyRequest.PolicyName":     onePolicy,
		"GetResourcePolicyRequest.PolicyName":        onePolicy,
		"PutResourcePolicyRequest.PolicyName":        onePolicy,
	},
	Secret: "BatchGetSecretValue GetRandomPassword GetSecretValue",
}

// secretRequirements leaves most asking to the handler: a secret is named by its
// name, or its ARN with or without the letters at the end, and policies know it by
// the whole ARN.
func secretRequirements() map[string][]string {
	const created = "arn:aws:secretsmanager:{region}:{account}:secret:{Name}-??????"
	out := map[string][]string{
		"CreateSecret":      {"secretsmanager:CreateSecret " + created, "secretsmanager:TagResource " + created + " ?Tags"},
		"ListSecrets":       {"secretsmanager:ListSecrets *"},
		"GetRandomPassword": {"secretsmanager:GetRandomPassword *"},
		// The handler asks for secretsmanager:GetSecretValue on each.
		"BatchGetSecretValue": {"secretsmanager:BatchGetSecretValue *"},
	}
	for _, op := range []string{
		"DeleteResourcePolicy", "DeleteSecret", "DescribeSecret", "GetResourcePolicy", "GetSecretValue", "ListSecretVersionIds",
		"PutResourcePolicy", "PutSecretValue", "RestoreSecret", "TagResource", "UntagResource", "UpdateSecret", "UpdateSecretVersionStage",
		"ValidateResourcePolicy",
	} {
		out[op] = []string{"none: `secretsmanager:" + op + "` on the ARN of the secret, whatever it is called by"}
	}
	return out
}

const (
	noRotation  = "no rotation function is called here; put the new value with PutSecretValue"
	oneSecret   = "a server is one place; a secret of one region is not in another"
	onePolicy   = "a secret has one policy, without a name"
	secretIDKey = "secretsmanager:SecretId SecretId"
)
