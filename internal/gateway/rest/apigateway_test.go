package rest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/store"
)

// zoo is an export: two operations of which the filter selects one.
const zoo = `{"openapi":"3.0.1","info":{"title":"zoo","version":"1"},"servers":[{"url":"https://elsewhere.example"}],"paths":{
	"/pets/{id}":{"get":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}},
		"delete":{"responses":{"200":{"description":"ok"}}}}}}`

// apiGateway is one with a stage, whose answers can be changed.
func apiGateway(t *testing.T, export http.HandlerFunc, change func(*rest.APIGateway)) (rest.APIGateway, target.Source) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /restapis/abc/stages/prod/exports/oas30", export)
	mux.HandleFunc("/stage/abc/prod/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"))
	})
	upstream := httptest.NewServer(mux)
	t.Cleanup(upstream.Close)
	d := rest.APIGateway{
		Config: rest.Config{
			Client:      func(target.Source) (*http.Client, error) { return upstream.Client(), nil },
			Credentials: func(target.Source) (target.Credentials, error) { return bearer("k"), nil },
		},
		Endpoint: upstream.URL, StageURL: upstream.URL + "/stage/{restApiId}/{stage}", Sign: sign,
	}
	if change != nil {
		change(&d)
	}
	return d, target.Source{
		Scope: store.Scope{Account: "111122223333", Region: "eu-west-1"}, Credential: role,
		Config: &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{ApiGateway: &agentcorecontrol.ApiGatewayTargetConfiguration{
			RestApiId: new("abc"), Stage: new("prod"), ApiGatewayToolConfiguration: &agentcorecontrol.ApiGatewayToolConfiguration{
				ToolFilters:   []agentcorecontrol.ApiGatewayToolFilter{{FilterPath: new("/pets/*"), Methods: []string{"GET"}}},
				ToolOverrides: []agentcorecontrol.ApiGatewayToolOverride{{Name: new("getPet"), Path: new("/pets/{id}"), Method: new("GET"), Description: new("One pet")}},
			},
		}}},
	}
}

// TestAPIGateway: the export is asked for as the role, and the stage called with the
// target's credential, after the endpoint itself is gone.
func TestAPIGateway(t *testing.T) {
	var asked string
	d, s := apiGateway(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Authorization") + " " + r.URL.RawQuery
		_, _ = io.WriteString(w, zoo)
	}, nil)
	c, err := d.Catalogue(t.Context(), s)
	if err != nil || len(c.Tools) != 1 || c.Tools[0].Name != "getPet" || c.Tools[0].Description != "One pet" || asked != "Signed apigateway eu-west-1 extensions=authorizers" {
		t.Fatalf("%+v %q %v", c.Tools, asked, err)
	}
	kept, err := json.Marshal(c) // as the gateway does
	if err != nil {
		t.Fatal(err)
	}
	var again target.Catalogue
	if err := json.Unmarshal(kept, &again); err != nil {
		t.Fatal(err)
	}
	asked = ""
	for credential, want := range map[*agentcorecontrol.CredentialProviderConfiguration]string{role: "Signed execute-api eu-west-1", nil: "Bearer k"} {
		s.Credential = credential
		server, err := d.Open(s, again)
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Call(t.Context(), target.Call{Tool: "getPet", Arguments: json.RawMessage(`{"id":"7"}`)})
		if err != nil || !strings.Contains(string(got.Body), "GET /stage/abc/prod/pets/7 "+want) {
			t.Errorf("%s %v", got.Body, err)
		}
		_, err = server.Call(t.Context(), target.Call{Tool: "getPet", Arguments: json.RawMessage(`{"id":1,"x":2}`)})
		if f, ok := errors.AsType[*target.Failure](err); !ok || !f.Shown {
			t.Errorf("%v", err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	if asked != "" {
		t.Errorf("an open target asked for the export: %s", asked)
	}
}

func TestAPIGatewayUnfit(t *testing.T) {
	gone := func(d *rest.APIGateway) { d.Endpoint = "" }
	guarded := func(d *rest.APIGateway) {
		d.Client = func(target.Source) (*http.Client, error) { return outbound.New(outbound.Config{}), nil }
	}
	for name, tt := range map[string]struct {
		export http.HandlerFunc
		change func(*rest.APIGateway)
		want   string
	}{
		"none":     {answer(200, "", ""), gone, "outcrop serve --api-gateway-endpoint URL"},
		"private":  {answer(200, "", ""), guarded, "is not called: "},
		"denied":   {answer(403, "", `{"message":"no"}`), nil, "needs apigateway:GET"},
		"no stage": {answer(404, "", `{"message":"no"}`), nil, "see that the REST API and the stage exist"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.example/", http.StatusFound)
		}, nil, "answers GetExport with 302"},
		"malformed": {answer(200, "application/json", `{"openapi":`), nil, "the export is no JSON object"},
		"list":      {answer(200, "application/json", `[]`), nil, "the export is no JSON object"},
		"swagger":   {answer(200, "application/json", `{"swagger":"2.0"}`), nil, "one of Swagger 2.0"},
		"other":     {answer(200, "application/json", `{"openapi":"3.0.1","info":{"title":"x","version":"1"},"paths":{"/cats":{"get":{"responses":{}}}}}`), nil, "the stage has GET /cats"},
	} {
		d, s := apiGateway(t, tt.export, tt.change)
		_, err := d.Catalogue(t.Context(), s)
		if u, ok := errors.AsType[*target.Unfit](err); !ok || !strings.Contains(strings.Join(u.Reasons, "\n"), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAPIGatewayAgain: what may be there the next time is asked for again, and says what
// was wrong if it never is.
func TestAPIGatewayAgain(t *testing.T) {
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "x")
		panic(http.ErrAbortHandler)
	}
	for name, tt := range map[string]struct {
		export http.HandlerFunc
		want   string
	}{
		"failing": {answer(503, "", "busy"), "API Gateway answers GetExport with 503"},
		"broken":  {broken, "could not be reached, or broke off its answer"},
	} {
		d, s := apiGateway(t, tt.export, nil)
		_, err := d.Catalogue(t.Context(), s)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Status < 500 || !strings.Contains(f.Message, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
