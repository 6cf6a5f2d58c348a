package lambda

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// nameRule is what a new function may be called.
var nameRule = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// checkCreate refuses what only a new function can ask for.
func checkCreate(n Name, in *lambda.CreateFunctionRequest) error {
	switch {
	case n.Qualifier != "":
		return invalidParameter("FunctionName must not have a qualifier; it has '%s'", n.Qualifier)
	case !nameRule.MatchString(n.Function):
		return invalidParameter("The function name '%s' must have 1 to 64 letters, digits, hyphens and underscores", fault.Clip(n.Function, 80))
	case wire.True(in.Publish):
		return invalidParameter("Publish: functions have no published versions here; leave it out and invoke $LATEST")
	case in.Runtime == nil:
		return invalidParameter("Runtime is required for PackageType Zip")
	case in.Handler == nil:
		return invalidParameter("Handler is required for PackageType Zip")
	case len(in.Architectures) > 1:
		return invalidParameter("Architectures must have one entry")
	case len(in.Tags) > tag.Max:
		return invalidParameter("Tags has %d tags; a function may have at most %d", len(in.Tags), tag.Max)
	}
	return checkNew(in.LoggingConfig, in.KMSKeyArn)
}

// checkNew refuses what neither a new function nor a changed one can have.
func checkNew(logging *lambda.LoggingConfig, key *string) error {
	if wire.Text(key) != "" {
		return invalidParameter("KMSKeyArn: the variables of functions are sealed by this server, and with no key of the account's; leave it out")
	}
	return checkLogging(logging)
}

// settingsOf are the settings of a new function, defaults filled in.
func settingsOf(in *lambda.CreateFunctionRequest) settings {
	out := settings{Timeout: defaultTimeout, Memory: defaultMemory, Scratch: defaultScratch, Architecture: defaultArch}
	out.change(&lambda.UpdateFunctionConfigurationRequest{
		Role: in.Role, Handler: in.Handler, Description: in.Description, Timeout: in.Timeout, MemorySize: in.MemorySize, VpcConfig: in.VpcConfig,
		Runtime: in.Runtime, EphemeralStorage: in.EphemeralStorage, LoggingConfig: in.LoggingConfig,
	})
	if len(in.Architectures) > 0 {
		out.Architecture = in.Architectures[0]
	}
	return out
}

// change sets what is given, and leaves the rest.
func (v *settings) change(in *lambda.UpdateFunctionConfigurationRequest) {
	for to, from := range map[*string]*string{&v.Role: in.Role, &v.Handler: in.Handler, &v.Description: in.Description, &v.Runtime: in.Runtime} {
		if from != nil {
			*to = *from
		}
	}
	for to, from := range map[*int32]*int32{&v.Timeout: in.Timeout, &v.Memory: in.MemorySize} {
		if from != nil {
			*to = *from
		}
	}
	if in.EphemeralStorage != nil && in.EphemeralStorage.Size != nil {
		v.Scratch = *in.EphemeralStorage.Size
	}
	if in.LoggingConfig != nil {
		v.LogGroup, v.Logs = wire.Text(in.LoggingConfig.LogGroup), jsonLogOf(in.LoggingConfig)
	}
	if in.VpcConfig != nil {
		v.Subnets, v.SecurityGroup = in.VpcConfig.SubnetIds, in.VpcConfig.SecurityGroupIds
	}
}

// check holds settings against the rules that the model does not express, and their
// role against who may have it.
func (s *Service) check(ctx context.Context, n Name, v *settings) error {
	language, _, ok := languageOf(v.Runtime)
	switch {
	case !ok:
		return invalidParameter("The runtime %s is not run here: functions are Python (python3.x) and Node.js (nodejs20.x and the like)", v.Runtime)
	case v.Timeout > maxTimeout:
		return invalidParameter("Timeout is %d seconds; the limit is %d", v.Timeout, maxTimeout)
	case v.Memory > maxMemory:
		return invalidParameter("'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to %d", maxMemory)
	case v.Scratch > maxScratch:
		return invalidParameter("EphemeralStorage.Size is %d MB; the limit is %d", v.Scratch, maxScratch)
	}
	if _, _, found := strings.Cut(v.Handler, "."); !found {
		return invalidParameter("Handler '%s' must name a file and a function in it, such as %s", fault.Clip(v.Handler, 100), exampleHandler(language))
	}
	if s.cfg.Guests == nil {
		return nil
	}
	return s.cfg.Guests.CheckRole(ctx, v.Role, ARN(n.Scope, n.Function))
}

func exampleHandler(l image.Language) string {
	if l == image.Node {
		return "index.handler"
	}
	return "lambda_function.lambda_handler"
}

// RoleFault is the refusal of a role, in words that clients try again for a while.
func RoleFault(cause error) error {
	return invalidParameter("The role defined for the function cannot be assumed by Lambda.").Because(cause)
}

// languageOf splits python3.13 into Python and 3.13, nodejs22.x into Node and 22.
func languageOf(runtime string) (l image.Language, version string, ok bool) {
	if v, found := strings.CutPrefix(runtime, "python3."); found {
		return image.Python, "3." + v, v != ""
	}
	if v, found := strings.CutPrefix(runtime, "nodejs"); found {
		v, found = strings.CutSuffix(v, ".x")
		return image.Node, v, found && v != ""
	}
	return "", "", false
}

// reserved are the variables that belong to the platform.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
	"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// sealed checks a function's variables and seals them.
func (s *Service) sealed(ctx context.Context, scope store.Scope, name, id string, env *lambda.Environment) ([]byte, error) {
	if env == nil || len(env.Variables) == 0 {
		return nil, nil
	}
	const unable = "Lambda was unable to configure your environment variables because the environment variables you have provided "
	size := 0
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(env.Variables)) {
		size += len(key) + len(env.Variables[key])
		if slices.Contains(reserved, key) {
			bad = append(bad, key)
		}
	}
	if len(bad) > 0 {
		return nil, invalidParameter("%s", unable+"contains reserved keys that are currently not supported for modification. Reserved keys used in this request: "+strings.Join(bad, ", "))
	}
	if size > maxEnvironment {
		return nil, invalidParameter("%s", unable+fmt.Sprintf("exceeded the 4KB limit. They have %d bytes", size))
	}
	return s.seal(ctx, scope, name, id, env.Variables)
}

// describe is a function as the wire has it.
func (s *Service) describe(ctx context.Context, doc functionDoc) (*lambda.FunctionConfiguration, error) {
	st, v := &doc.State, &doc.State.Target
	env, err := s.environment(ctx, doc, v)
	if err != nil {
		return nil, err
	}
	out := &lambda.FunctionConfiguration{
		FunctionName: &doc.ID, FunctionArn: new(ARN(doc.Scope, doc.ID)), Runtime: &v.Settings.Runtime, Role: &v.Settings.Role, Handler: &v.Settings.Handler,
		CodeSize: &v.Size, Description: &v.Settings.Description, Timeout: &v.Settings.Timeout, MemorySize: &v.Settings.Memory,
		LastModified: new(st.Modified.UTC().Format(timeForm)), CodeSha256: new(codeHash(v.Digest)), Version: new(Latest), RevisionId: &st.Revision,
		State: &st.Status, StateReason: wire.Optional(st.Reason), StateReasonCode: wire.Optional(st.ReasonCode),
		LastUpdateStatus: wire.Optional(st.Update), LastUpdateStatusReason: wire.Optional(st.UpdateReason), LastUpdateStatusReasonCode: wire.Optional(st.UpdateReasonCode),
		PackageType: new(lambda.PackageTypeZip), Architectures: []string{v.Settings.Architecture},
		EphemeralStorage: &lambda.EphemeralStorage{Size: &v.Settings.Scratch}, TracingConfig: &lambda.TracingConfigResponse{Mode: new(passThrough)},
		SnapStart:     &lambda.SnapStartResponse{ApplyOn: new(lambda.SnapStartApplyOnNone), OptimizationStatus: new(lambda.SnapStartOptimizationStatusOff)},
		LoggingConfig: v.logging(doc.ID),
	}
	if st.Status == active && st.Reason == "" { // what a person should know of a function that runs
		out.StateReason = wire.Optional(v.warning())
	}
	if env != nil {
		out.Environment = &lambda.EnvironmentResponse{Variables: env}
	}
	if len(v.Settings.Subnets) > 0 {
		out.VpcConfig = &lambda.VpcConfigResponse{SubnetIds: v.Settings.Subnets, SecurityGroupIds: v.Settings.SecurityGroup, VpcId: new("")}
	}
	return out, nil
}
