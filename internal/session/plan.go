package session

import (
	"context"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// Planner says what runs in a session: in that of a version, or in a new one
// when version is empty.
type Planner func(ctx context.Context, version string) (Plan, error)

// Plan says what runs in a session. It is made once, when the session starts;
// later changes of the owner reach the next session only.
type Plan struct {
	// Spec is the sandbox; its ID and Snapshot are the manager's to give, and
	// one more Volume with Storage.
	Spec sandbox.Spec
	// Port is where the guest serves HTTP on its loopback.
	Port uint16
	// Probe is asked again and again until it returns nil: the guest is ready.
	Probe func(ctx context.Context, guest http.RoundTripper) error
	// Health is asked every PollEvery while no request runs; nil: nobody is
	// asked. MaxFailures errors in a row end the session.
	Health func(ctx context.Context, guest http.RoundTripper) (Health, error)
	// StartLimit bounds the time from the start until Probe succeeds.
	StartLimit time.Duration
	// Warmup is asked once of a guest that was booted, when it is ready and before
	// it serves or is saved; nil: nothing is.
	Warmup *Warmup
	// IdleLimit ends a session without requests, MaxLife any session.
	IdleLimit, MaxLife time.Duration
	// Version is the owner's version that runs.
	Version string

	// Basis is what the guest is made from beyond what Spec says, such as the
	// digest of its code and the build of its interpreter: no guest is resumed
	// on another. It holds no secret.
	Basis string
	// Surroundings is what the guest found around it when it started, such as
	// what it reaches. A session is restored from a template of the same ones
	// only; one that hibernated comes back into those of the time. It holds no
	// secret.
	Surroundings string
	// Template says that sessions of this plan may be restored from a saved
	// guest that has not served a request; else Cold says why not.
	Template bool
	Cold     string
	// Wanted is called when a session would have been restored and there was
	// nothing to restore it from, and with a cause when what there was could not
	// be used. It does not block.
	Wanted func(cause error)
	// Spare plans a guest that belongs to nobody yet and is to fit the sessions of
	// this plan's version; its network, surroundings and outputs are not looked at,
	// and its Ended is called as soon as a session has it. Nil: none is kept ready.
	Spare func(ctx context.Context) (Plan, error)
	// Hibernate says that the session may be saved while it is idle, and its
	// memory be given back.
	Hibernate bool
	// Storage is where the guest finds the directory that outlives its session;
	// empty: it has none.
	Storage string

	// Detail is the owner's own knowledge about the session; see Use.Detail.
	Detail any
	// Note writes a line of ours into the session's log. Nil drops it.
	Note func(text string)
	// Ended is called once, when nothing is left of the sandbox: how its session
	// ended, or hibernates.
	Ended func(End)
}

// A Warmup is a POST to a guest that it answers with 2xx within Limit.
type Warmup struct {
	Port  uint16
	Path  string
	Limit time.Duration
}

// End says what became of a session whose sandbox is gone.
type End struct {
	Why        string // empty: nothing has run
	Hibernated bool   // it goes on with the next request
}

func (p *Plan) note(text string) {
	if p.Note != nil {
		p.Note(text)
	}
}

func (p *Plan) end(e End) {
	if p.Ended != nil {
		p.Ended(e)
	}
}

// Health is what a guest says of itself (spec/runtime.md 8.6).
type Health struct {
	// Busy: it works although no request runs, and must not be taken for idle.
	Busy bool
	// Changed is when that changed last, as the guest tells; zero if it does not.
	Changed time.Time
}

// PollEvery is how often a guest without requests is asked for its Health, and
// MaxFailures how often in a row it may fail (spec/runtime.md 8.6).
const (
	PollEvery   = 5 * time.Second
	MaxFailures = 3
)
