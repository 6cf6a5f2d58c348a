package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/outcrop/outcrop/internal/client"
)

// userPools lists user pools, one on a page, and makes them: as many of a name as are wanted.
func (f *fake) userPools(w http.ResponseWriter, r *http.Request, operation string) {
	in := f.body(r)
	if operation == "CreateUserPool" {
		made := client.Pool{ID: fmt.Sprintf("us-east-1_made%05d", len(f.pools)), Name: in["PoolName"].(string)}
		f.pools = append(f.pools, made)
		_ = json.NewEncoder(w).Encode(map[string]any{"UserPool": made}) // the client reads it or fails
		return
	}
	at := 0
	if token, ok := in["NextToken"].(string); ok {
		_, _ = fmt.Sscan(token, &at) // it is ours
	}
	out := map[string]any{"UserPools": []client.Pool{}}
	if at < len(f.pools) {
		out["UserPools"], out["NextToken"] = f.pools[at:at+1], fmt.Sprint(at+1)
	}
	_ = json.NewEncoder(w).Encode(out) // the client reads it or fails
}

// TestPoolCreate makes no second pool of a name unless it is told to.
func TestPoolCreate(t *testing.T) {
	u, f := withServer(t)
	names := func(want string) {
		t.Helper()
		got := ""
		for _, p := range f.pools {
			got += p.Name + " "
		}
		if got != want {
			t.Errorf("pools %q, want %q", got, want)
		}
	}
	f.pools = []client.Pool{{ID: "us-east-1_other0000", Name: "others"}}
	u.golden("pool/create", u.run("pool", "create", "people"))
	names("others people ")
	u.golden("pool/create_again", u.run("pool", "create", "people"))
	u.golden("pool/create_again_register", u.run("pool", "create", "people", "--register", "--region", "us-east-1"))
	names("others people ")
	u.golden("pool/create_another", u.run("pool", "create", "people", "--another"))
	names("others people people ")
	u.golden("pool/create_third", u.run("pool", "create", "people"))
	names("others people people ")
}
