package operator_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func newNetworks(t *testing.T) *operator.Service {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return operator.New(operator.Config{Networks: netprofile.New(db)})
}

// TestNetwork: every change answers with all that is configured then.
func TestNetwork(t *testing.T) {
	s, ctx := newNetworks(t), t.Context()
	want := &outcrop.Network{Profiles: []outcrop.NetworkProfile{}, AllowedRanges: []string{}, AllowedHosts: []string{}}
	check := func(step string, got *outcrop.Network, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v, %v; want %+v", step, got, err, want)
		}
		if read, err := s.GetNetwork(ctx, &outcrop.GetNetworkRequest{}); err != nil || !reflect.DeepEqual(read, got) {
			t.Fatalf("%s: read %+v, %v", step, read, err)
		}
	}
	got, err := s.GetNetwork(ctx, &outcrop.GetNetworkRequest{})
	check("empty", got, err)

	want.Profiles = []outcrop.NetworkProfile{{ProfileName: ptr("office"), Rules: []string{"10.1.0.0/16:443"}, DnsServers: []string{"10.1.0.2:53"}, SubnetIds: []string{}}}
	got, err = s.PutNetworkProfile(ctx, &outcrop.PutNetworkProfileRequest{ProfileName: ptr("office"), Rules: []string{"10.1.0.0/16:443-443"}, DnsServers: []string{"10.1.0.2"}})
	check("put", got, err)
	want.Profiles[0].SubnetIds = []string{"subnet-00000001", "subnet-00000002"}
	got, err = s.MapSubnets(ctx, &outcrop.MapSubnetsRequest{ProfileName: ptr("office"), SubnetIds: []string{"subnet-00000002", "subnet-00000001"}})
	check("map", got, err)
	want.AllowedRanges, want.AllowedHosts = []string{"10.2.0.0/16", "10.3.0.1/32"}, []string{"*.example.com"}
	got, err = s.UpdatePublicNetwork(ctx, &outcrop.UpdatePublicNetworkRequest{AddRanges: []string{"10.3.0.1", "10.2.0.0/16"}, AddHosts: []string{"*.example.com"}})
	check("add", got, err)

	for _, refused := range []struct {
		code, field, text string
		do                func() (*outcrop.Network, error)
	}{
		{"ValidationException", "rules", `Rule "10.0.0.0/8:x"`, func() (*outcrop.Network, error) {
			return s.PutNetworkProfile(ctx, &outcrop.PutNetworkProfileRequest{ProfileName: ptr("office"), Rules: []string{"10.1.0.0/16", "10.0.0.0/8:x"}})
		}},
		{"ValidationException", "dnsServers", `DNS server "ns"`, func() (*outcrop.Network, error) {
			return s.PutNetworkProfile(ctx, &outcrop.PutNetworkProfileRequest{ProfileName: ptr("office"), Rules: []string{"10.1.0.0/16"}, DnsServers: []string{"ns"}})
		}},
		{"ValidationException", "addRanges", `Range "x"`, func() (*outcrop.Network, error) {
			return s.UpdatePublicNetwork(ctx, &outcrop.UpdatePublicNetworkRequest{AddRanges: []string{"x"}})
		}},
		{"ValidationException", "removeRanges", `Range "y"`, func() (*outcrop.Network, error) {
			return s.UpdatePublicNetwork(ctx, &outcrop.UpdatePublicNetworkRequest{RemoveRanges: []string{"y"}})
		}},
		{"ConflictException", "", "unmap them first", func() (*outcrop.Network, error) {
			return s.DeleteNetworkProfile(ctx, &outcrop.DeleteNetworkProfileRequest{ProfileName: ptr("office")})
		}},
	} {
		_, err := refused.do()
		f := fault.From(err)
		if f.Code != refused.code || !strings.Contains(f.Message, refused.text) || refused.field != "" && (len(f.Fields) != 1 || f.Fields[0].Name != refused.field) {
			t.Errorf("%+v; want %s of %q: %q", f, refused.code, refused.field, refused.text)
		}
	}
	got, err = s.GetNetwork(ctx, &outcrop.GetNetworkRequest{})
	check("after refusals", got, err)

	want.AllowedRanges, want.AllowedHosts = []string{"10.2.0.0/16"}, []string{}
	got, err = s.UpdatePublicNetwork(ctx, &outcrop.UpdatePublicNetworkRequest{RemoveRanges: []string{"10.3.0.1/32"}, RemoveHosts: []string{"*.example.com"}})
	check("remove", got, err)
	want.Profiles[0].SubnetIds = []string{}
	got, err = s.UnmapSubnets(ctx, &outcrop.UnmapSubnetsRequest{SubnetIds: []string{"subnet-00000002", "subnet-00000001"}})
	check("unmap", got, err)
	want.Profiles = []outcrop.NetworkProfile{}
	got, err = s.DeleteNetworkProfile(ctx, &outcrop.DeleteNetworkProfileRequest{ProfileName: ptr("office")})
	check("delete", got, err)
}
