package main

var keyManagement = service{
	Model: "kms", Package: "kms", Signing: "kms", ServedShapesOnly: true,
	Groups: []group{{Name: "Keys", Doc: "keys that encrypt, sign and authenticate, and their aliases",
		Served: `CancelKeyDeletion CreateAlias CreateKey Decrypt DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation
			Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom GetKeyPolicy GetKeyRotationStatus GetPublicKey
			ListAliases ListKeyPolicies ListKeyRotations ListKeys ListResourceTags PutKeyPolicy ReEncrypt RotateKeyOnDemand
			ScheduleKeyDeletion Sign TagResource UntagResource UpdateAlias UpdateKeyDescription Verify VerifyMac`,
		Refused: map[string]string{
			noGrants: `CreateGrant ListGrants ListRetirableGrants RetireGrant RevokeGrant`,
			noKeyStores: `ConnectCustomKeyStore CreateCustomKeyStore DeleteCustomKeyStore DescribeCustomKeyStores DisconnectCustomKeyStore
				UpdateCustomKeyStore`,
			noImport:  `DeleteImportedKeyMaterial GetParametersForImport ImportKeyMaterial`,
			oneRegion: `ReplicateKey UpdatePrimaryRegion`,
			laterKMS:  `Decapsulate DeriveSharedSecret Encapsulate GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GetKeyLastUsage`,
		}}},
	Requires: keyRequirements(),
	Keys: map[string][]string{
		"CreateKey": {"kms:KeySpec KeySpec", "kms:KeyUsage KeyUsage", "kms:KeyOrigin =AWS_KMS", "kms:MultiRegion MultiRegion",
			"kms:BypassPolicyLockoutSafetyCheck BypassPolicyLockoutSafetyCheck", "aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"PutKeyPolicy":        {"kms:BypassPolicyLockoutSafetyCheck BypassPolicyLockoutSafetyCheck"},
		"TagResource":         {"aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"UntagResource":       {"aws:TagKeys TagKeys"},
		"Sign":                {"kms:SigningAlgorithm SigningAlgorithm", "kms:MessageType MessageType"},
		"Verify":              {"kms:SigningAlgorithm SigningAlgorithm", "kms:MessageType MessageType"},
		"GenerateMac":         {"kms:MacAlgorithm MacAlgorithm"},
		"VerifyMac":           {"kms:MacAlgorithm MacAlgorithm"},
		"ScheduleKeyDeletion": {"kms:ScheduleKeyDeletionPendingWindowInDays PendingWindowInDays"},
		"EnableKeyRotation":   {"kms:RotationPeriodInDays RotationPeriodInDays"},
	},
	RefusedMembers: map[string]string{
		"CreateKeyRequest.CustomKeyStoreId":                  noKeyStores,
		"CreateKeyRequest.XksKeyId":                          noKeyStores,
		"GenerateRandomRequest.CustomKeyStoreId":             noKeyStores,
		"DecryptRequest.GrantTokens":                         noGrants,
		"DescribeKeyRequest.GrantTokens":                     noGrants,
		"EncryptRequest.GrantTokens":                         noGrants,
		"GenerateDataKeyRequest.GrantTokens":                 noGrants,
		"GenerateDataKeyWithoutPlaintextRequest.GrantTokens": noGrants,
		"GenerateMacRequest.GrantTokens":                     noGrants,
		"GetPublicKeyRequest.GrantTokens":                    noGrants,
		"ReEncryptRequest.GrantTokens":                       noGrants,
		"SignRequest.GrantTokens":                            noGrants,
		"VerifyMacRequest.GrantTokens":                       noGrants,
		"VerifyRequest.GrantTokens":                          noGrants,
		"DecryptRequest.Recipient":                           noEnclaves,
		"GenerateDataKeyRequest.Recipient":                   noEnclaves,
		"GenerateRandomRequest.Recipient":                    noEnclaves,
		"DecryptRequest.DryRunModifiers":                     laterKMS,
		"ReEncryptRequest.DryRunModifiers":                   laterKMS,
	},
	RefusedValues: map[string]string{
		"OriginType=EXTERNAL":                      noImport,
		"OriginType=EXTERNAL_KEY_STORE":            noKeyStores,
		"OriginType=AWS_CLOUDHSM":                  noKeyStores,
		"ResourceOwnerType=OTHER_ACCOUNTS_VIA_RAM": "keys are not shared by RAM here",
		"KeySpec=SM2":                              noSpec,
		"KeySpec=ECC_SECG_P256K1":                  noSpec,
		"KeySpec=ECC_NIST_EDWARDS25519":            noSpec,
		"KeySpec=ML_DSA_44":                        noSpec,
		"KeySpec=ML_DSA_65":                        noSpec,
		"KeySpec=ML_DSA_87":                        noSpec,
		"KeySpec=ML_KEM_512":                       noSpec,
		"KeySpec=ML_KEM_768":                       noSpec,
		"KeySpec=ML_KEM_1024":                      noSpec,
		"CustomerMasterKeySpec=SM2":                noSpec,
		"CustomerMasterKeySpec=ECC_SECG_P256K1":    noSpec,
		"KeyUsageType=KEY_AGREEMENT":               laterKMS,
		"KeyUsageType=ENCAPSULATE_DECAPSULATE":     laterKMS,
		"MessageType=EXTERNAL_MU":                  noSpec,
	},
	Secret: "Decrypt GenerateDataKey GenerateDataKeyPair GenerateRandom DeriveSharedSecret Decapsulate Encapsulate",
}

// keyRequirements leaves most asking to the handler: a key is named by its id, its ARN
// or an alias, in some operations by the ciphertext alone, and policies know it by
// its ARN.
func keyRequirements() map[string][]string {
	const alias = "arn:aws:kms:{region}:{account}:{AliasName}"
	out := map[string][]string{
		"CreateKey":      {"kms:CreateKey *", "kms:TagResource arn:aws:kms:{region}:{account}:key/* ?Tags"},
		"ListKeys":       {"kms:ListKeys *"},
		"ListAliases":    {"kms:ListAliases *"},
		"GenerateRandom": {"kms:GenerateRandom *"},
		// The handler asks for the same on the keys.
		"CreateAlias": {"kms:CreateAlias " + alias},
		"UpdateAlias": {"kms:UpdateAlias " + alias},
		"DeleteAlias": {"kms:DeleteAlias " + alias},
		"ReEncrypt":   {"none: `kms:ReEncryptFrom` and `kms:ReEncryptTo` on the ARNs of the keys"},
	}
	for _, op := range []string{
		"CancelKeyDeletion", "Decrypt", "DescribeKey", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation", "Encrypt",
		"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "GetKeyPolicy", "GetKeyRotationStatus", "GetPublicKey",
		"ListKeyPolicies", "ListKeyRotations", "ListResourceTags", "PutKeyPolicy", "RotateKeyOnDemand", "ScheduleKeyDeletion", "Sign",
		"TagResource", "UntagResource", "UpdateKeyDescription", "Verify", "VerifyMac",
	} {
		out[op] = []string{"none: `kms:" + op + "` on the ARN of the key, whatever it is called by"}
	}
	return out
}

const (
	laterKMS    = "this part of KMS is not needed by AgentCore's clients"
	noGrants    = "there are no grants here; let the key's policy say who may use it"
	noKeyStores = "keys are kept by this server, and by no other store"
	noImport    = "key material is made here, and not brought along"
	oneRegion   = "a server is one place; a key of one region is not in another"
	noEnclaves  = "there are no Nitro enclaves here"
	noSpec      = "keys are AES-256, RSA, NIST's curves and HMAC"
)
