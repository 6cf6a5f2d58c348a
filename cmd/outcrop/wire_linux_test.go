package main

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
)

func TestCaptureStandardLog(t *testing.T) {
	flags, output := log.Flags(), log.Writer()
	defer func() { log.SetFlags(flags); log.SetOutput(output) }()
	for level, want := range map[slog.Level]string{slog.LevelInfo: "", slog.LevelDebug: `"level":"DEBUG","msg":"said \"out of turn\""`} {
		var out bytes.Buffer
		captureStandardLog(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level})))
		log.Printf("said %q", "out of turn")
		if got := out.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("level %v: %q", level, got)
		}
	}
}
