package resource_test

import (
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// one owns every runtime there is.
type one struct{}

func (one) Tags(store.Reader, store.Scope, string) (map[string]string, error) {
	return map[string]string{"team": "a"}, nil
}

func (one) SetTags(store.Tx, store.Scope, string, map[string]string) error { return nil }

func (one) PolicyNames(store.Scope, string) []string { return []string{"*"} }

// TestNames: a resource goes by its own ARN alone; a policy that is kept under another
// one would never be asked, and who may write that one is another.
func TestNames(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := resource.New(st, map[string]resource.Owner{"runtime": one{}}, nil)
	ctx := pipeline.WithCall(t.Context(), &pipeline.Call{Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}})
	for _, tt := range []struct {
		arn   string
		there bool
	}{
		{"arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/r", true},
		{"arn:aws:s3:us-west-2:111122223333:runtime/r", false},
		{"arn:aws::us-west-2:111122223333:runtime/r", false},
		{"arn:aws-cn:bedrock-agentcore:us-west-2:111122223333:runtime/r", false},
		{"arn:aws:bedrock-agentcore:eu-west-1:111122223333:runtime/r", false},
		{"arn:aws:bedrock-agentcore:us-west-2:444455556666:runtime/r", false},
		{"arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/r", false},
	} {
		_, tags := s.ListTagsForResource(ctx, &agentcorecontrol.ListTagsForResourceRequest{ResourceArn: &tt.arn})
		_, policy := s.GetResourcePolicy(ctx, &agentcorecontrol.GetResourcePolicyRequest{ResourceArn: &tt.arn})
		for _, err := range []error{tags, policy} {
			if tt.there && err != nil || !tt.there && !fault.Is(err, "ResourceNotFoundException") {
				t.Errorf("%s: %v", tt.arn, err)
			}
		}
	}
}
