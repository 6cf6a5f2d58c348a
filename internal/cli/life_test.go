package cli

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func TestInUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 8 * time.Hour: "8h", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 36 * time.Hour: "36h",
		14 * 24 * time.Hour: "14d", 10*time.Hour + time.Second: "10h0m1s", -time.Minute: "-1m", 1500 * time.Millisecond: "1.5s",
	} {
		got := inUnits(d)
		var again timeSpan
		if err := again.Set(got); got != want || err != nil || time.Duration(again) != d {
			t.Errorf("%v is %q, want %q; read again it is %v, %v", d, got, want, time.Duration(again), err)
		}
	}
}

// TestCheckLife holds the rule that the server has, with what is not said.
func TestCheckLife(t *testing.T) {
	old := func(idle, most int32) *types.LifecycleConfiguration {
		return &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: aws.Int32(idle), MaxLifetime: aws.Int32(most)}
	}
	for name, test := range map[string]struct {
		idle, lifetime time.Duration
		old            *types.LifecycleConfiguration
		want           string
	}{
		"nothing":        {},
		"short life":     {lifetime: 5 * time.Minute},
		"long idle":      {idle: 10 * time.Hour, want: "--idle-timeout 10h is longer than the 8h that a session of hello lasts at most; add --max-lifetime 10h"},
		"long idle, had": {idle: 10 * time.Hour, old: old(60, 86400)},
		"short, had":     {lifetime: 5 * time.Minute, old: old(900, 28800), want: "--max-lifetime 5m is shorter than the idle timeout of hello, 15m; add --idle-timeout 5m"},
		"both":           {idle: 2 * time.Minute, lifetime: 2 * time.Minute, old: old(900, 28800)},
		"contradict":     {idle: 2 * time.Minute, lifetime: time.Minute, want: "--idle-timeout 2m is longer than --max-lifetime 1m, with which a session ends whatever it does; lower the one or raise the other"},
	} {
		s := surroundings{idle: test.idle, lifetime: test.lifetime}
		err, got := s.checkLife("hello", test.old), ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
