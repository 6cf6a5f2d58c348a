package protocol

import (
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// TestNullEntries: in JSON 1.1 an entry of a map that is null is none, and one of a
// list is refused.
func TestNullEntries(t *testing.T) {
	decode := func(operation, body string, in any) error {
		t.Helper()
		for i, op := range cognito.Service.Operations {
			if op.Name == operation {
				call := Call{Service: &cognito.Service, Operation: &cognito.Service.Operations[i]}
				return For(schema.JSON11).Decode(call, httptest.NewRequest("POST", "/", strings.NewReader(body)), nil, in)
			}
		}
		t.Fatalf("there is no %s", operation)
		return nil
	}
	var in cognito.InitiateAuthRequest
	err := decode("InitiateAuth", `{"AuthParameters":{"A":null,"USERNAME":"ada","DEVICE_KEY":null}}`, &in)
	if want := map[string]string{"USERNAME": "ada"}; err != nil || !maps.Equal(in.AuthParameters, want) {
		t.Errorf("%v, %v", in.AuthParameters, err)
	}
	if err := decode("InitiateAuth", `{"AuthParameters":{"A":null,}}`, &in); err == nil {
		t.Error("what is no JSON is taken")
	}
	var tags cognito.UntagResourceRequest
	if err := decode("UntagResource", `{"TagKeys":["a",null]}`, &tags); err == nil {
		t.Error("null in a list is taken")
	}
}
