package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// serveEndpoints answers for versions and endpoints. What changes has settled at
// the second look, as the script says.
func (f *fake) serveEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("POST /runtimes/{id}/versions/{$}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		runtime := f.runtimes[r.PathValue("id")]
		_ = json.NewEncoder(w).Encode(map[string]any{"agentRuntimes": []any{runtime}})
	})
	mux.HandleFunc("POST /runtimes/{id}/runtime-endpoints/{$}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		runtime := f.runtimes[r.PathValue("id")]
		all := append([]map[string]any{f.endpoint(r.PathValue("id"), "DEFAULT", runtime["agentRuntimeVersion"].(string))}, f.endpoints...)
		_ = json.NewEncoder(w).Encode(map[string]any{"runtimeEndpoints": all})
	})
	mux.HandleFunc("PUT /runtimes/{id}/runtime-endpoints/{$}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		in := f.body(r)
		version, _ := in["agentRuntimeVersion"].(string)
		if version == "" {
			version = "1"
		}
		e := f.endpoint(r.PathValue("id"), in["name"].(string), version)
		e["status"] = "CREATING"
		if d, ok := in["description"]; ok {
			e["description"] = d
		}
		delete(e, "liveVersion")
		f.endpoints = append(f.endpoints, e)
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(e)
	})
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		mux.HandleFunc(method+" /runtimes/{id}/runtime-endpoints/{name}/{$}", f.oneEndpoint)
	}
}

func (f *fake) endpoint(id, name, version string) map[string]any {
	arn := f.runtimes[id]["agentRuntimeArn"].(string)
	return map[string]any{
		"name": name, "id": name, "status": "READY", "liveVersion": version, "targetVersion": version, "agentRuntimeArn": arn,
		"agentRuntimeEndpointArn": arn + "/runtime-endpoint/" + name, "createdAt": "2026-01-01T00:00:00Z",
		"lastUpdatedAt": time.Now().Add(-time.Hour - time.Second).UTC().Format(time.RFC3339),
	}
}

func (f *fake) oneEndpoint(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.endpoints, func(e map[string]any) bool { return e["name"] == r.PathValue("name") })
	if i < 0 {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "No endpoint '"+r.PathValue("name")+"' found for agent runtime 'hello-0123456789'")
		return
	}
	e := f.endpoints[i]
	switch r.Method {
	case http.MethodPut:
		maps.Copy(e, map[string]any{"status": "UPDATING", "targetVersion": f.body(r)["agentRuntimeVersion"]})
	case http.MethodDelete:
		e["status"] = "DELETING"
	default:
		was := maps.Clone(e)
		switch {
		case e["status"] == "DELETING":
			f.endpoints = slices.Delete(f.endpoints, i, i+1)
		case e["status"] != "READY" && f.fails != "":
			e["status"], e["failureReason"] = strings.TrimSuffix(e["status"].(string), "ING")+"E_FAILED", f.fails
		case e["status"] != "READY":
			e["status"], e["liveVersion"] = "READY", e["targetVersion"]
		}
		e = was
	}
	_ = json.NewEncoder(w).Encode(e)
}

func TestEndpointHelp(t *testing.T) {
	for _, name := range []string{"list", "create", "update", "delete"} {
		u := newUser(t)
		u.golden("help/endpoint_"+name, u.run("endpoint", name, "--help"))
	}
}

func TestEndpoints(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	u.golden("endpoint/create", u.run("endpoint", "create", "hello", "prod", "--version", "1", "--description", "what customers use"))
	u.golden("endpoint/list", u.run("endpoint", "list", "hello"))
	if r := u.run("endpoint", "list", "hello", "--json"); !json.Valid([]byte(r.stdout)) || !strings.Contains(r.stdout, `"description": "what customers use"`) {
		t.Errorf("%s", r)
	}
	u.golden("ls/endpoints", u.run("ls", "hello"))
	u.golden("endpoint/update-absent", u.run("endpoint", "update", "hello", "nowhere", "--version", "1"))
	u.golden("endpoint/delete-absent", u.run("endpoint", "delete", "hello", "nowhere"))
	u.golden("endpoint/update", u.run("endpoint", "update", "hello", "prod", "--version", "2"))
	u.golden("endpoint/no-wait", u.run("endpoint", "update", "hello", "prod", "--version", "1", "--wait=false"))
	f.fails = "Version '9' of agent runtime 'hello-0123456789' is CREATE_FAILED and cannot be run: no"
	u.golden("endpoint/update-fails", u.run("endpoint", "update", "hello", "prod", "--version", "9"))
	u.golden("endpoint/create-fails", u.run("endpoint", "create", "hello", "test", "--version", "9"))
	u.golden("endpoint/in-the-way", u.run("delete", "hello"))
	u.golden("endpoint/version", u.run("delete", "hello", "--version", "1"))
	u.golden("endpoint/delete", u.run("endpoint", "delete", "hello", "prod"))
	u.golden("endpoint/delete-none", u.run("endpoint", "delete", "hello", "prod"))
}

// TestVersionLine: runs of versions are drawn together, and what failed is said.
func TestVersionLine(t *testing.T) {
	rows := func(pairs ...string) (out []versionRow) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, versionRow{Version: pairs[i], Status: pairs[i+1]})
		}
		return out
	}
	for want, rows := range map[string][]versionRow{
		"":                           nil,
		"1":                          rows("1", "READY"),
		"1-3, 5":                     rows("1", "READY", "2", "READY", "3", "READY", "5", "READY"),
		"1, 2 CREATE_FAILED, 3":      rows("1", "READY", "2", "CREATE_FAILED", "3", "READY"),
		"9, 10-11 CREATE_FAILED, 12": rows("9", "READY", "10", "CREATE_FAILED", "11", "CREATE_FAILED", "12", "READY"),
	} {
		if got := versionLine(rows); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
