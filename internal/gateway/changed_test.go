package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// offers has the driver offer tools, or an error, and returns how often it was asked so far.
func (k *kit) offers(err error, names ...string) int {
	k.driver.mu.Lock()
	defer k.driver.mu.Unlock()
	k.driver.answer = func(target.Source) (target.Catalogue, error) {
		var c target.Catalogue
		for _, name := range names {
			c.Tools = append(c.Tools, tool.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)})
		}
		return c, err
	}
	return len(k.driver.asked)
}

// blocks has the driver wait until a channel is closed; nil is not at all.
func (k *kit) blocks(until chan struct{}) {
	k.driver.mu.Lock()
	defer k.driver.mu.Unlock()
	k.driver.blocked = until
}

func (k *kit) asked() int {
	k.driver.mu.Lock()
	defer k.driver.mu.Unlock()
	return len(k.driver.asked)
}

// TestAnnounced: a server that says that it offers something else is looked at once, and
// not much more often than each minute; only what it does offer counts.
func TestAnnounced(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		k.offers(nil, "a")
		tid := k.target(id, "T", server())
		announce := func() {
			for range 100 {
				k.Announced(k.Context(), scope, id, tid)
			}
		}
		look := func(after time.Duration, asked int, status, tools string) {
			k.Helper()
			before := k.asked()
			announce()
			time.Sleep(after)
			k.wait()
			if got := k.asked() - before; got != asked || k.status(id, tid) != status || k.tools(id) != tools {
				k.Errorf("asked %d times, %s with %s; want %d, %s with %s", got, k.status(id, tid), k.tools(id), asked, status, tools)
			}
		}
		synced := *k.state(id, tid).LastSynchronizedAt
		for range 3 {
			look(3*time.Second, 1, "READY", "T___a") // as it was
		}
		if !synced.Equal(*k.state(id, tid).LastSynchronizedAt) {
			t.Error("a target is synchronized that offers what it did")
		}
		k.offers(nil, "a", "b")
		look(40*time.Second, 0, "READY", "T___a") // a minute has not passed
		time.Sleep(20 * time.Second)
		k.wait()
		if got := k.tools(id); got != "T___a T___b" {
			t.Error(got)
		}
		k.offers(errors.New("it is gone"))
		look(2*time.Minute, 1, "READY", "T___a T___b")
		k.offers(target.Unfitf("it is not what it was"))
		look(2*time.Minute, 1, "READY", "T___a T___b")

		// A target that is changed is not looked at before, and none that says what it offers.
		k.offers(nil) // before it is changed, which has it asked
		_, err := k.UpdateGatewayTarget(k.ctx(), &agentcorecontrol.UpdateGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid, Name: new("T"),
			TargetConfiguration: server(func(c *agentcorecontrol.McpServerTargetConfiguration) { c.ListingMode = new("DYNAMIC") })})
		k.must(err)
		k.wait()
		look(2*time.Minute, 0, "READY", "")
		_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid})
		k.must(err)
		before := k.asked()
		announce()
		time.Sleep(2 * time.Minute)
		k.wait()
		if k.asked() != before {
			t.Error("a target is looked at that is gone")
		}
	})
}

// TestAnnouncedBySlowServers: servers that announce something and then do not say what it
// is hold up no target that its owner waits for.
func TestAnnouncedBySlowServers(t *testing.T) {
	within(t, func(k *kit) {
		slow, other := k.gateway("G"), k.gateway("H")
		k.offers(nil, "a")
		var ids []string
		for i := range 8 { // as many as are worked on at once
			ids = append(ids, k.target(slow, "T"+strconv.Itoa(i), server()))
		}
		blocked := make(chan struct{})
		k.blocks(blocked)
		for _, id := range ids {
			k.Announced(k.Context(), scope, slow, id)
		}
		time.Sleep(time.Minute)
		k.blocks(nil)
		if got := k.state(other, k.target(other, "T", server())); *got.Status != "READY" {
			t.Error(*got.Status)
		}
		close(blocked)
		k.wait()
	})
}

// TestUnasked: a server that says what it offers, and not to whom, has changed nothing. What
// was known of its tools that ask holds for as long as the target is set up as it was.
func TestUnasked(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		says := func(asking map[string][]string, unasked string) {
			k.offers(nil)
			k.driver.mu.Lock()
			defer k.driver.mu.Unlock()
			k.driver.answer = func(target.Source) (target.Catalogue, error) {
				return target.Catalogue{Tools: []tool.Tool{{Name: "a", InputSchema: json.RawMessage(`{"type":"object"}`)}}, Asking: asking, Unasked: unasked}, nil
			}
		}
		shown := func() (string, [32]byte) {
			k.Helper()
			v, err := k.View(k.Context(), id)
			k.must(err)
			return fmt.Sprint(v.Targets[0].Catalogue.Asking), v.Fingerprint()
		}
		says(nil, "")
		tid := k.target(id, "T", server())
		_, plain := shown()
		look := func(want string) (synced bool) {
			k.Helper()
			before := *k.state(id, tid).LastSynchronizedAt
			k.Announced(k.Context(), scope, id, tid)
			time.Sleep(2 * time.Minute)
			k.wait()
			if got, _ := shown(); got != want {
				k.Errorf("%s, want %s", got, want)
			}
			return !before.Equal(*k.state(id, tid).LastSynchronizedAt)
		}
		says(map[string][]string{"a": {target.Samples}}, "")
		if !look("map[a:[sampling]]") {
			t.Error("a tool that asks now is no change")
		}
		if _, print := shown(); print == plain {
			t.Error("callers are not told whom a tool is for now")
		}
		says(nil, "it is busy")
		if look("map[a:[sampling]]") {
			t.Error("a server that does not say whom its tools are for has changed them")
		}
		_, err := k.SynchronizeGatewayTargets(k.ctx(), &agentcorecontrol.SynchronizeGatewayTargetsRequest{GatewayIdentifier: &id, TargetIdList: []string{tid}})
		k.must(err)
		k.wait()
		got, _ := shown()
		if st := k.state(id, tid); got != "map[a:[sampling]]" || *st.Status != "READY" || !strings.Contains(fmt.Sprint(st.StatusReasons), "it is busy") {
			t.Errorf("%s after %s %q", got, *st.Status, st.StatusReasons)
		}
		_, err = k.UpdateGatewayTarget(k.ctx(), &agentcorecontrol.UpdateGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid, Name: new("T"),
			TargetConfiguration: server(func(c *agentcorecontrol.McpServerTargetConfiguration) {
				c.Endpoint = new("https://other.example.com/mcp")
			})})
		k.must(err)
		k.wait()
		if got, _ := shown(); got != "map[]" {
			t.Errorf("%s of another server", got)
		}
	})
}
