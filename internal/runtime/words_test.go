package runtime

import (
	"errors"
	goruntime "runtime"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/oci"
)

// TestImageWords: AWS's for images of ECR (spec/runtime.md 5.3), since clients look
// for them, and the registry's own for others.
func TestImageWords(t *testing.T) {
	const ecr = "111122223333.dkr.ecr.us-west-2.amazonaws.com/team/agent"
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, tt := range []struct {
		uri   string
		cause error
		want  string
	}{
		{ecr, oci.ErrMissing, "The image with identifier 'ImageIdentifier(ImageTag=latest)' does not exist in the repository with name 'team/agent' in registry with id '111122223333'."},
		{ecr + ":v1", oci.ErrMissing, "The image with identifier 'ImageIdentifier(ImageTag=v1)' does not exist in the repository with name 'team/agent' in registry with id '111122223333'."},
		{ecr + digest, oci.ErrMissing, "The image with identifier 'ImageIdentifier(ImageDigest=" + digest[1:] + ")' does not exist in the repository with name 'team/agent' in registry with id '111122223333'."},
		{"public.ecr.aws/team/agent:v1", oci.ErrMissing, "said by the store"},
		{"docker.io/team/agent:v1", oci.ErrMissing, "said by the store"},
		{ecr, oci.ErrDenied, "Access denied while validating ECR URI '" + ecr + "'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations. " +
			"This server asks Amazon ECR with the credentials of its docker configuration (outcrop serve --registry-config)."},
		{"docker.io/team/agent:v1", oci.ErrDenied, "said by the store"},
		{"agent", oci.ErrPlatform, "Architecture incompatible for uri 'agent'. Supported architectures: [" + goruntime.GOARCH + "]. said by the store"},
	} {
		c := container{nil, &agentcorecontrol.ContainerConfiguration{ContainerUri: &tt.uri}}
		got := fault.From(c.refused(fault.Validation("said by the store").Because(tt.cause)))
		if got.Message != tt.want || got.Status != 400 || len(got.Fields) != 1 || got.Fields[0].Name != containerField {
			t.Errorf("%s, %v: %+v\nwant %s", tt.uri, tt.cause, got, tt.want)
		}
	}
	host := errors.New("no space left")
	if got := (container{nil, &agentcorecontrol.ContainerConfiguration{ContainerUri: new(ecr)}}).refused(host); got != host {
		t.Errorf("the host's own error became %v", got)
	}
}
