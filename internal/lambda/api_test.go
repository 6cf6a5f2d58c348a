package lambda

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
)

// TestRefusals has a function be refused for each of what is wrong with it.
func TestRefusals(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("taken")
		manyTags := map[string]string{}
		for i := range 51 {
			manyTags["k"+strconv.Itoa(i)] = "v"
		}
		for _, one := range []struct {
			change     func(in *lambda.CreateFunctionRequest)
			code, part string
		}{
			{func(in *lambda.CreateFunctionRequest) { in.FunctionName = new("taken") }, "ResourceConflictException", "Function already exist: taken"},
			{func(in *lambda.CreateFunctionRequest) { in.FunctionName = new("a.b") }, "InvalidParameterValueException", "must have 1 to 64"},
			{func(in *lambda.CreateFunctionRequest) { in.FunctionName = new("f:live") }, "InvalidParameterValueException", "must not have a qualifier"},
			{func(in *lambda.CreateFunctionRequest) { in.Runtime = nil }, "InvalidParameterValueException", "Runtime is required"},
			{func(in *lambda.CreateFunctionRequest) { in.Runtime = new("ruby3.4") }, "InvalidParameterValueException", "ruby3.4 is not run here"},
			{func(in *lambda.CreateFunctionRequest) { in.Handler = nil }, "InvalidParameterValueException", "Handler is required"},
			{func(in *lambda.CreateFunctionRequest) { in.Handler = new("handler") }, "InvalidParameterValueException", "such as lambda_function.lambda_handler"},
			{func(in *lambda.CreateFunctionRequest) { in.Publish = new(true) }, "InvalidParameterValueException", "no published versions"},
			{func(in *lambda.CreateFunctionRequest) { in.Timeout = new(int32(901)) }, "InvalidParameterValueException", "the limit is 900"},
			{func(in *lambda.CreateFunctionRequest) { in.MemorySize = new(int32(20000)) }, "InvalidParameterValueException", "less than or equal to 10240"},
			{func(in *lambda.CreateFunctionRequest) { in.Tags = map[string]string{"aws:x": "y"} }, "ValidationException", "reserved"},
			{func(in *lambda.CreateFunctionRequest) { in.Tags = manyTags }, "InvalidParameterValueException", "Tags has 51 tags"},
			{func(in *lambda.CreateFunctionRequest) { in.KMSKeyArn = new("arn:aws:kms:us-west-2:111122223333:key/k") }, "InvalidParameterValueException", "KMSKeyArn: the variables of functions are sealed"},
			{func(in *lambda.CreateFunctionRequest) {
				in.EphemeralStorage = &lambda.EphemeralStorage{Size: new(int32(10_241))}
			}, "InvalidParameterValueException", "EphemeralStorage.Size is 10241 MB; the limit is 10240"},
			{func(in *lambda.CreateFunctionRequest) { in.Code = &lambda.FunctionCode{} }, "InvalidParameterValueException", "Please provide a source"},
			{func(in *lambda.CreateFunctionRequest) { in.Code = &lambda.FunctionCode{ZipFile: []byte("PK no zip")} }, "InvalidParameterValueException", "Could not unzip uploaded file."},
			{func(in *lambda.CreateFunctionRequest) { in.Code.S3Bucket = new("b") }, "InvalidParameterValueException", "and not both"},
			{func(in *lambda.CreateFunctionRequest) {
				in.Environment = &lambda.Environment{Variables: map[string]string{"AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y"}}
			}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"},
			{func(in *lambda.CreateFunctionRequest) {
				in.Environment = &lambda.Environment{Variables: map[string]string{"A": strings.Repeat("x", 5000)}}
			}, "InvalidParameterValueException", "exceeded the 4KB limit"},
		} {
			in := request(r, "new")
			one.change(in)
			_, err := r.api.CreateFunction(r.root(), in)
			refused(r, err, one.code, one.part)
		}
		if list, err := r.api.ListFunctions(r.root(), &lambda.ListFunctionsRequest{}); err != nil || len(list.Functions) != 1 {
			r.Errorf("%s, %v", text(list), err)
		}
	})
}

// TestNobody is told nothing of functions.
func TestNobody(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		nobody := pipeline.WithCall(r.Context(), &pipeline.Call{Scope: here, Principal: auth.Principal{Account: here.Account, ARN: "arn:aws:iam::111122223333:user/u"}})
		for what, call := range map[string]func(context.Context, string) error{
			"Invoke": func(ctx context.Context, name string) error {
				_, err := r.api.Invoke(ctx, &lambda.InvocationRequest{FunctionName: &name})
				return err
			},
			"InvokeWithResponseStream": func(ctx context.Context, name string) error {
				_, err := r.api.InvokeWithResponseStream(ctx, &lambda.InvokeWithResponseStreamRequest{FunctionName: &name})
				return err
			},
			"GetFunction": func(ctx context.Context, name string) error {
				_, err := r.api.GetFunction(ctx, &lambda.GetFunctionRequest{FunctionName: &name})
				return err
			},
			"GetPolicy": func(ctx context.Context, name string) error {
				_, err := r.api.GetPolicy(ctx, &lambda.GetPolicyRequest{FunctionName: &name})
				return err
			},
			"AddPermission": func(ctx context.Context, name string) error {
				_, err := r.api.AddPermission(ctx, &lambda.AddPermissionRequest{FunctionName: &name, StatementId: new("s"), Action: new("lambda:InvokeFunction"), Principal: new("*")})
				return err
			},
			"DeleteFunction": func(ctx context.Context, name string) error {
				_, err := r.api.DeleteFunction(ctx, &lambda.DeleteFunctionRequest{FunctionName: &name})
				return err
			},
		} {
			for _, name := range []string{"f", "none", "f:$LATEST"} {
				if err := call(nobody, name); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
					r.Errorf("%s of %s: %v", what, name, err)
				}
			}
		}
	})
}

// TestPolicy writes statements down as AWS does.
func TestPolicy(t *testing.T) {
	with(t, nil, func(r *rig) {
		r.create("f")
		for _, one := range []struct {
			in   lambda.AddPermissionRequest
			want string
		}{
			{lambda.AddPermissionRequest{StatementId: new("a"), Principal: new("444455556666")},
				`{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-west-2:111122223333:function:f"}`},
			{lambda.AddPermissionRequest{StatementId: new("b"), Principal: new("bedrock-agentcore.amazonaws.com"), SourceArn: new("arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/*"), SourceAccount: new("111122223333")},
				`{"Sid":"b","Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-west-2:111122223333:function:f","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/*"},"StringEquals":{"AWS:SourceAccount":"111122223333"}}}`},
			{lambda.AddPermissionRequest{StatementId: new("c"), Principal: new("*")},
				`{"Sid":"c","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-west-2:111122223333:function:f"}`},
		} {
			one.in.FunctionName, one.in.Action = new("f"), new("lambda:InvokeFunction")
			out, err := r.api.AddPermission(r.root(), &one.in)
			must(r, err)
			if *out.Statement != one.want {
				r.Errorf("%s, want %s", *out.Statement, one.want)
			}
		}
		a, there, err := r.Attached(r.Context(), ARN(here, "f")+":$LATEST")
		if err != nil || !there || strings.Count(a.Policy, `"Sid"`) != 3 {
			r.Errorf("%+v %v %v", a, there, err)
		}
		_, err = r.api.AddPermission(r.root(), &lambda.AddPermissionRequest{FunctionName: new("f"), StatementId: new("d"), Action: new("lambda:InvokeFunction"), Principal: new("somebody")})
		refused(r, err, "InvalidParameterValueException", "The provided principal was invalid.")
		for _, in := range []lambda.AddPermissionRequest{{FunctionName: new("f"), Qualifier: new("$LATEST")}, {FunctionName: new("f:$LATEST")}} {
			in.StatementId, in.Action, in.Principal = new("e"), new("lambda:InvokeFunction"), new("*")
			_, err = r.api.AddPermission(r.root(), &in)
			refused(r, err, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST.")
		}
		_, err = r.api.RemovePermission(r.root(), &lambda.RemovePermissionRequest{FunctionName: new("f"), StatementId: new("a"), RevisionId: new("other")})
		refused(r, err, "PreconditionFailedException", "")
	})
}
