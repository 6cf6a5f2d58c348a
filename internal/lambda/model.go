package lambda

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/store"
)

// The statuses of functions and their updates, as the wire has them.
const (
	pending, active, failed        = "Pending", "Active", "Failed"
	inProgress, successful, broken = "InProgress", "Successful", "Failed"
)

// The defaults of a function.
const (
	defaultTimeout  = 3   // seconds
	defaultMemory   = 128 // MB
	defaultScratch  = 512 // MB
	defaultArch     = "x86_64"
	passThrough     = "PassThrough"
	maxTimeout      = 900    // seconds
	maxMemory       = 10_240 // MB
	maxScratch      = 10_240 // MB
	maxEnvironment  = 4 << 10
	maxZip          = 50 << 20
	maxUnzipped     = 250 << 20
	maxPayload      = 6 << 20 // bytes, of a synchronous invocation, each way
	maxAsyncPayload = 1 << 20 // bytes, of an Event
	maxContext      = 3583    // bytes of a client context, as it is sent
	answerSlack     = 100     // bytes by which an answer may be larger
	timeForm        = "2006-01-02T15:04:05.000-0700"
	maxPolicy       = 20_480 // bytes
)

// functionSpec is what belongs to a function whatever its code.
type functionSpec struct {
	Tags map[string]string `json:"tags,omitempty"`
}

// functionState is our part of a function's document.
type functionState struct {
	// ID tells the function from others that had or will have its name.
	ID         string `json:"id"`
	Status     string `json:"status"`
	Reason     string `json:"reason,omitempty"`
	ReasonCode string `json:"reasonCode,omitempty"`
	// Update is what became of the last change, empty before the first.
	Update           string `json:"update,omitempty"`
	UpdateReason     string `json:"updateReason,omitempty"`
	UpdateReasonCode string `json:"updateReasonCode,omitempty"`
	// Target is what the caller asked for last, and Live what is invoked.
	Target   version   `json:"target"`
	Live     *version  `json:"live,omitempty"`
	Revision string    `json:"revision"`
	Modified time.Time `json:"modified"`
	// Statements are the function's policy.
	Statements []statement `json:"statements,omitempty"`
	Pins       pin.Pins    `json:"pins,omitempty"`
}

// version is a configuration and its code.
type version struct {
	// Number grows with each change.
	Number   int      `json:"number"`
	Settings settings `json:"settings"`
	// Digest is the code's, and Size the zip's, in bytes.
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Environment is the sealed JSON of the variables.
	Environment []byte `json:"environment,omitempty"`

	// What follows is found out when it is prepared.

	// Interpreter is the one of this machine that runs it, as package image calls it.
	Interpreter string     `json:"interpreter,omitempty"`
	Fit         *image.Fit `json:"fit,omitempty"`
	// SDK is the directory of AWS's SDK that it is given, empty for none.
	SDK string `json:"sdk,omitempty"`
	// Warnings are what differs from what was asked for.
	Warnings []string       `json:"warnings,omitempty"`
	Snapshot *snapshotState `json:"snapshot,omitempty"`
}

// settings are what a caller sets, defaults filled in.
type settings struct {
	Runtime       string   `json:"runtime"`
	Handler       string   `json:"handler"`
	Role          string   `json:"role"`
	Description   string   `json:"description,omitempty"`
	Timeout       int32    `json:"timeout"` // seconds
	Memory        int32    `json:"memory"`  // MB
	Scratch       int32    `json:"scratch"` // MB of /tmp
	Architecture  string   `json:"architecture"`
	LogGroup      string   `json:"logGroup,omitempty"`
	Logs          *jsonLog `json:"logs,omitempty"` // nil for plain text
	Subnets       []string `json:"subnets,omitempty"`
	SecurityGroup []string `json:"securityGroups,omitempty"`
}

// statement is one of a function's policy.
type statement struct {
	ID   string          `json:"id"`
	Text json.RawMessage `json:"text"`
}

// codeHash is a digest as CodeSha256 has it.
func codeHash(digest string) string {
	raw, _ := hex.DecodeString(strings.TrimPrefix(digest, "sha256:")) // written by package image
	return base64.StdEncoding.EncodeToString(raw)
}

// logGroup is where a version's output goes.
func (v *version) logGroup(name string) string {
	if v.Settings.LogGroup != "" {
		return v.Settings.LogGroup
	}
	return LogGroup(name)
}

// warning is a version's warnings in one text.
func (v *version) warning() string { return strings.Join(v.Warnings, " ") }

type (
	functions   = store.Collection[functionSpec, functionState]
	functionDoc = store.Resource[functionSpec, functionState]
)
