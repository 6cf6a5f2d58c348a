package route_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/route"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// BenchmarkHandle is what a request costs here, with a rate limit, but without a network.
func BenchmarkHandle(b *testing.B) {
	d := passthrough.Driver{Config: passthrough.Config{Client: func(target.Source) (*http.Client, error) { return &http.Client{Transport: &recorder{}}, nil }}}
	s := target.Source{Name: "api", Config: &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{Passthrough: &model.PassthroughTargetConfiguration{Endpoint: p("https://api.example/base")}}}}
	server, err := d.Open(s, target.Catalogue{})
	if err != nil {
		b.Fatal(err)
	}
	v := &gateway.View{ID: "g-0123456789", Targets: []*gateway.Target{{Source: s, Server: server}}, Limits: []gateway.Limit{limit("l", []string{"targetName"}, map[string]string{"targetName": "*"}, 1e7)}}
	r := route.New(route.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	h := http.Header{"Accept": {"*/*"}, "Content-Type": {"application/json"}}
	b.ReportAllocs()
	for b.Loop() {
		answer, err := r.Handle(b.Context(), route.Request{View: v, ID: "r", Method: "GET", Path: "/api/a/b", Query: "q=1", Header: h, Body: target.NewBody(nil, 0)})
		if err != nil {
			b.Fatal(err)
		}
		answer.ServeHTTP(httptest.NewRecorder(), nil)
	}
}
