package main

var functions = service{
	Model: "lambda", Package: "lambda", Signing: "lambda", ServedShapesOnly: true,
	Groups: []group{{Name: "Functions", Doc: "functions, their policies and their invocations",
		Served: `AddPermission CreateFunction DeleteFunction GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration GetPolicy Invoke
			InvokeWithResponseStream ListFunctions ListTags ListVersionsByFunction RemovePermission TagResource UntagResource
			UpdateFunctionCode UpdateFunctionConfiguration`,
		Refused: map[string]string{
			noVersions: `CreateAlias DeleteAlias GetAlias ListAliases PublishVersion UpdateAlias`,
			noLayers: `AddLayerVersionPermission DeleteLayerVersion GetLayerVersion GetLayerVersionByArn GetLayerVersionPolicy ListLayerVersions
				ListLayers PublishLayerVersion RemoveLayerVersionPermission`,
			noConcurrency: `DeleteFunctionConcurrency DeleteProvisionedConcurrencyConfig GetAccountSettings GetFunctionConcurrency
				GetFunctionScalingConfig GetProvisionedConcurrencyConfig ListProvisionedConcurrencyConfigs PutFunctionConcurrency
				PutFunctionScalingConfig PutProvisionedConcurrencyConfig`,
			noProviders: `CreateCapacityProvider DeleteCapacityProvider GetCapacityProvider ListCapacityProviders
				ListFunctionVersionsByCapacityProvider UpdateCapacityProvider`,
			noSigning: `CreateCodeSigningConfig DeleteCodeSigningConfig DeleteFunctionCodeSigningConfig GetCodeSigningConfig
				ListCodeSigningConfigs ListFunctionsByCodeSigningConfig PutFunctionCodeSigningConfig UpdateCodeSigningConfig`,
			noSources: `CreateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping ListEventSourceMappings
				UpdateEventSourceMapping`,
			noURLs: `CreateFunctionUrlConfig DeleteFunctionUrlConfig GetFunctionUrlConfig ListFunctionUrlConfigs UpdateFunctionUrlConfig`,
			noDurable: `CheckpointDurableExecution DeleteDurableExecution GetDurableExecution GetDurableExecutionHistory GetDurableExecutionState
				ListDurableExecutionsByFunction PauseDurableExecution ResumeDurableExecution SendDurableExecutionCallbackFailure
				SendDurableExecutionCallbackHeartbeat SendDurableExecutionCallbackSuccess StopDurableExecution`,
			noDestinations: `DeleteFunctionEventInvokeConfig GetFunctionEventInvokeConfig ListFunctionEventInvokeConfigs
				PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig`,
			onePolicyOfFunction: `DeleteResourcePolicy GetResourcePolicy PutResourcePolicy`,
			invokeEvent:         `InvokeAsync`,
			ownRuntimes:         `GetFunctionRecursionConfig GetRuntimeManagementConfig PutFunctionRecursionConfig PutRuntimeManagementConfig`,
		}}},
	Requires: functionRequirements(),
	Bodies:   map[string]int64{"CreateFunction": zipBody, "UpdateFunctionCode": zipBody},
	Patterns: map[string]override{
		"S3Bucket": {`[0-9A-Za-z._-]*`, "S3 says itself what the name of a bucket is"},
	},
	Keys: map[string][]string{
		"CreateFunction":              {"aws:RequestTag/ Tags", "aws:TagKeys Tags", "iam:PassedToService =lambda.amazonaws.com"},
		"UpdateFunctionConfiguration": {"iam:PassedToService =lambda.amazonaws.com"},
		"TagResource":                 {"aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"UntagResource":               {"aws:TagKeys TagKeys"},
		"AddPermission":               {"lambda:Principal Principal"},
		"RemovePermission":            {},
	},
	RefusedMembers: map[string]string{
		"CreateFunctionRequest.AcceleratorConfig":                   noAccelerators,
		"CreateFunctionRequest.RuntimeConfig":                       ownRuntimes,
		"CreateFunctionRequest.CapacityProviderConfig":              noProviders,
		"CreateFunctionRequest.CodeSigningConfigArn":                noSigning,
		"DeadLetterConfig.TargetArn":                                noDestinations,
		"CreateFunctionRequest.DurableConfig":                       noDurable,
		"CreateFunctionRequest.FileSystemConfigs":                   noFileSystems,
		"CreateFunctionRequest.ImageConfig":                         noImages,
		"CreateFunctionRequest.Layers":                              noLayers,
		"CreateFunctionRequest.PublishTo":                           noVersions,
		"CreateFunctionRequest.TenancyConfig":                       noTenancy,
		"FunctionCode.ImageUri":                                     noImages,
		"FunctionCode.SourceKMSKeyArn":                              noCodeKeys,
		"UpdateFunctionCodeRequest.ImageUri":                        noImages,
		"UpdateFunctionCodeRequest.PublishTo":                       noVersions,
		"UpdateFunctionCodeRequest.SourceKMSKeyArn":                 noCodeKeys,
		"UpdateFunctionConfigurationRequest.AcceleratorConfig":      noAccelerators,
		"UpdateFunctionConfigurationRequest.RuntimeConfig":          ownRuntimes,
		"UpdateFunctionConfigurationRequest.CapacityProviderConfig": noProviders,
		"UpdateFunctionConfigurationRequest.DurableConfig":          noDurable,
		"UpdateFunctionConfigurationRequest.FileSystemConfigs":      noFileSystems,
		"UpdateFunctionConfigurationRequest.ImageConfig":            noImages,
		"UpdateFunctionConfigurationRequest.Layers":                 noLayers,
		"InvocationRequest.DurableExecutionName":                    noDurable,
		"InvocationRequest.TenantId":                                noTenancy,
		"InvokeWithResponseStreamRequest.TenantId":                  noTenancy,
	},
	RefusedValues: map[string]string{
		"PackageType=Image":                  noImages,
		"S3ObjectStorageMode=REFERENCE":      noReference,
		"SnapStartApplyOn=PublishedVersions": noSnapStart,
		"TracingMode=Active":                 noTracing,
	},
}

// functionRequirements leaves most asking to the handler: a function is named by its
// name, its ARN or a part of that, with or without a qualifier, and policies know it by
// the ARN.
func functionRequirements() map[string][]string {
	out := map[string][]string{
		"ListFunctions": {"lambda:ListFunctions *"},
		"ListTags":      {"lambda:ListTags {Resource}"},
		"TagResource":   {"lambda:TagResource {Resource}"},
		"UntagResource": {"lambda:UntagResource {Resource}"},
	}
	for _, op := range []string{
		"AddPermission", "DeleteFunction", "GetFunction", "GetFunctionCodeSigningConfig", "GetFunctionConfiguration", "GetPolicy",
		"ListVersionsByFunction", "RemovePermission",
	} {
		out[op] = []string{"none: `lambda:" + op + "` on the ARN of the function, whatever it is called by"}
	}
	for _, op := range []string{"Invoke", "InvokeWithResponseStream"} {
		out[op] = []string{"none: `lambda:InvokeFunction` on the ARN of the function, with the qualifier where the caller gives one"}
	}
	const named = "arn:aws:lambda:{region}:{account}:function:{FunctionName}"
	out["CreateFunction"] = []string{
		"lambda:CreateFunction " + named,
		"lambda:TagResource " + named + " ?Tags",
		"iam:PassRole {Role}",
		"s3:GetObject arn:aws:s3:::{Code.S3Bucket}/{Code.S3Key} ?Code.S3Key ?!Code.S3ObjectVersion",
		"s3:GetObjectVersion arn:aws:s3:::{Code.S3Bucket}/{Code.S3Key} ?Code.S3ObjectVersion",
	}
	out["UpdateFunctionCode"] = []string{
		"lambda:UpdateFunctionCode " + named,
		"s3:GetObject arn:aws:s3:::{S3Bucket}/{S3Key} ?S3Key ?!S3ObjectVersion",
		"s3:GetObjectVersion arn:aws:s3:::{S3Bucket}/{S3Key} ?S3ObjectVersion",
	}
	out["UpdateFunctionConfiguration"] = []string{"lambda:UpdateFunctionConfiguration " + named, "iam:PassRole {Role} ?Role"}
	return out
}

// zipBody is AWS's bound of a request that has a zip of 50 MB in base64, in bytes.
const zipBody = 70_167_211

const (
	noVersions          = "functions have no published versions and no aliases here; $LATEST is what is invoked"
	noLayers            = "functions have no layers here; put what they need into the zip"
	noConcurrency       = "how many environments a function may have is the operator's choice here"
	noProviders         = "functions run on this machine, and on no instances of the account's"
	noSigning           = "code is not signed here; a digest pins it"
	noSources           = "nothing here sends events to functions by itself; invoke them"
	noURLs              = "functions have no URLs here; invoke them, or put a gateway in front"
	noDurable           = "there are no durable executions here"
	noDestinations      = "the results of asynchronous invocations go nowhere here; read the function's log"
	onePolicyOfFunction = "a function's policy is made with AddPermission and RemovePermission"
	invokeEvent         = "AWS has replaced it: use Invoke with the invocation type Event"
	ownRuntimes         = "the interpreters are this machine's"
	noImages            = "functions are code zips here; use PackageType Zip"
	noFileSystems       = "functions have no file systems of their own here"
	noTenancy           = "functions are not told apart by tenants here"
	noAccelerators      = "functions have no accelerators here"
	noReference         = "the code of functions is copied here; use COPY"
	noSnapStart         = "functions have no published versions here, and every function begins from a snapshot; leave it out, or use None"
	noTracing           = "functions are not traced here; leave it out, or use PassThrough"
	noCodeKeys          = "the code of functions is not encrypted with a key of the account's"
)
