package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// What must stand in no file in the clear: what an agent's environment has, and
// what it is told.
const (
	environmentCanary = "environment-canary-5d1f0c"
	promptCanary      = "prompt-canary-77ab31"
)

// createKeeper makes a runtime whose sessions remember, have storage, and are
// restored from a snapshot.
func (r *rig) createKeeper(t *testing.T, name string) *control.GetAgentRuntimeOutput {
	t.Helper()
	in := r.account.Input(codeBucket, name, r.python())
	in.FilesystemConfigurations, in.EnvironmentVariables = keeperFiles(), keeperEnvironment("0")
	got, err := r.account.Create(t.Context(), in)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
	return got
}

func keeperFiles() []types.FilesystemConfiguration {
	return []types.FilesystemConfiguration{
		&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/work")}},
	}
}

// keeperEnvironment differs by its roll, and so do the snapshots.
func keeperEnvironment(roll string) map[string]string {
	return map[string]string{"OUTCROP_SNAPSHOT": "safe", "SECRET": environmentCanary, "ROLL": roll}
}

// keeper is what a client knows of one session: what it remembers, and what it has
// stored.
type keeper struct {
	arn, runtime *string
	id           string
	said, kept   []string
	// open is what a call without an answer may have stored.
	open string
	n    int
	// asked counts the calls that were begun.
	asked atomic.Int64
}

func newKeeper(of *control.GetAgentRuntimeOutput, id string) *keeper {
	return &keeper{arn: of.AgentRuntimeArn, runtime: of.AgentRuntimeId, id: id}
}

// turn asks once. What was acknowledged must be stored, and nothing else; what was
// said must be remembered, or nothing of it where the guest may have begun anew,
// and did.
func (k *keeper) turn(ctx context.Context, r *rig, mayBegin bool) (began bool, err error) {
	k.asked.Add(1)
	word := fmt.Sprintf("%d", k.n)
	k.n++
	a, err := r.askOf(ctx, k.arn, k.id, question{Keep: word, Say: promptCanary + word})
	if err != nil {
		k.open = word
		return false, fmt.Errorf("ask session %s: %w", k.id, err)
	}
	want := [][]string{append(slices.Clone(k.kept), word)}
	if k.open != "" {
		want = append(want, append(slices.Clone(k.kept), k.open, word))
	}
	if !slices.ContainsFunc(want, func(w []string) bool { return slices.Equal(w, a.Kept) }) {
		return false, fmt.Errorf("session %s has stored %v, want one of %v", k.id, a.Kept, want)
	}
	goesOn := append(slices.Clone(k.said), promptCanary+word)
	switch {
	case slices.Equal(a.Said, goesOn):
	case mayBegin && len(a.Said) == 1 && a.Said[0] == promptCanary+word:
		began = true
	default:
		return false, fmt.Errorf("session %s remembers %v, want %v; it may have begun anew: %v", k.id, a.Said, goesOn, mayBegin)
	}
	k.kept, k.said, k.open = a.Kept, a.Said, ""
	return began, nil
}

// explained wants the session's log to say that it began anew.
func (k *keeper) explained(ctx context.Context, r *rig) error {
	log, err := r.own.Logs(ctx, outcrop.GetRuntimeLogsRequest{AgentRuntimeId: k.runtime, SessionId: &k.id, Last: aws.Int32(20)})
	if err != nil {
		return err
	}
	var lines []string
	for _, e := range log.Events {
		lines = append(lines, aws.ToString(e.Message))
	}
	all := strings.Join(lines, "\n")
	if strings.Contains(all, "starts afresh") || strings.Contains(all, "the server that ran it ended") {
		return nil
	}
	return fmt.Errorf("session %s has begun anew and its log does not say so:\n%s", k.id, all)
}

// sessions are all that are live or hibernate, by id.
func (r *rig) sessions(ctx context.Context) (map[string]outcrop.Session, error) {
	all := map[string]outcrop.Session{}
	for token := (*string)(nil); ; {
		page, err := r.own.Sessions(ctx, outcrop.ListSessionsRequest{NextToken: token})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Sessions {
			if _, twice := all[*s.SessionId]; twice {
				return nil, fmt.Errorf("session %s is listed twice", *s.SessionId)
			}
			all[*s.SessionId] = s
		}
		if token = page.NextToken; token == nil {
			return all, nil
		}
	}
}

// hibernating counts those of a listing that hibernate.
func hibernating(all map[string]outcrop.Session) int {
	n := 0
	for _, s := range all {
		if asleep(s) {
			n++
		}
	}
	return n
}

func asleep(s outcrop.Session) bool { return aws.ToString(s.Status) == outcrop.SessionStatusHIBERNATED }

// sealed are the files of a kind of snapshots, and their size in bytes.
func (r *rig) sealed(kind string) (files int, size int64, err error) {
	found, err := filepath.Glob(filepath.Join(r.DataDir, "snapshots", kind, "*.sealed"))
	for _, path := range found {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		files++
		size += info.Size()
	}
	return files, size, err
}

// haveSnapshots waits until so many runtimes have one.
func (r *rig) haveSnapshots(t *testing.T, want int) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if n, _, err := r.sealed("versions"); n != want {
			return errors.Join(fmt.Errorf("there are %d snapshots, want %d", n, want), err)
		}
		return nil
	})
}

// inTheClear looks for the canaries in every file of the data directory.
func (r *rig) inTheClear() error {
	return filepath.WalkDir(r.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "outcrop-sandbox-") {
			return err
		}
		body, err := os.ReadFile(path)
		for _, canary := range []string{environmentCanary, promptCanary} {
			if bytes.Contains(body, []byte(canary)) {
				err = errors.Join(err, fmt.Errorf("%s holds %s in the clear", path, canary))
			}
		}
		return err
	})
}

// sandboxes counts the sandboxes that run.
func (r *rig) sandboxes() int {
	n := 0
	for _, p := range below(r.Cmd.Process.Pid) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid)) // it may have ended
		if bytes.HasPrefix(line, []byte("runsc-sandbox\x00")) {
			n++
		}
	}
	return n
}
