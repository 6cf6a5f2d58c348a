package lambda

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/wire"
)

// jsonLog says that a function's log is JSON, and how much of it there is. Nil is a log of
// plain text, which has no levels.
type jsonLog struct {
	Application string `json:"application"` // what the function's own loggers leave out is below it
	System      string `json:"system"`
}

// checkLogging refuses levels that nothing would heed.
func checkLogging(in *lambda.LoggingConfig) error {
	if in != nil && wire.Text(in.LogFormat) != lambda.LogFormatJSON && (in.ApplicationLogLevel != nil || in.SystemLogLevel != nil) {
		return invalidParameter("LoggingConfig: ApplicationLogLevel and SystemLogLevel need LogFormat JSON; logs of plain text have no levels")
	}
	return nil
}

func jsonLogOf(in *lambda.LoggingConfig) *jsonLog {
	if wire.Text(in.LogFormat) != lambda.LogFormatJSON {
		return nil
	}
	out := &jsonLog{lambda.ApplicationLogLevelINFO, lambda.SystemLogLevelINFO}
	if in.ApplicationLogLevel != nil {
		out.Application = *in.ApplicationLogLevel
	}
	if in.SystemLogLevel != nil {
		out.System = *in.SystemLogLevel
	}
	return out
}

// logging is a version's logging as the wire has it.
func (v *version) logging(name string) *lambda.LoggingConfig {
	out := &lambda.LoggingConfig{LogFormat: new(lambda.LogFormatText), LogGroup: new(v.logGroup(name))}
	if l := v.Settings.Logs; l != nil {
		out.LogFormat, out.ApplicationLogLevel, out.SystemLogLevel = new(lambda.LogFormatJSON), &l.Application, &l.System
	}
	return out
}

// env tells the program in a guest, and the libraries of functions.
func (l *jsonLog) env() []string {
	if l == nil {
		return nil
	}
	return []string{"AWS_LAMBDA_LOG_FORMAT=" + lambda.LogFormatJSON, "AWS_LAMBDA_LOG_LEVEL=" + l.Application}
}

const logTime = "2006-01-02T15:04:05.000Z"

// platformEvent is a line of a JSON log that is Lambda's own.
type platformEvent struct {
	Time   string         `json:"time"`
	Type   string         `json:"type"`
	Record platformRecord `json:"record"`
}

type platformRecord struct {
	RequestID string           `json:"requestId"`
	Version   string           `json:"version,omitempty"`
	Status    string           `json:"status,omitempty"`
	ErrorType string           `json:"errorType,omitempty"`
	Metrics   *platformMetrics `json:"metrics,omitempty"`
}

type platformMetrics struct {
	Duration float64 `json:"durationMs"`
	Billed   int64   `json:"billedDurationMs"`
	Size     int32   `json:"memorySizeMB"`
	Used     int     `json:"maxMemoryUsedMB"`
	Init     float64 `json:"initDurationMs,omitempty"`
}

func platformLine(now time.Time, kind string, record platformRecord) []string {
	b, _ := json.Marshal(platformEvent{now.UTC().Format(logTime), kind, record}) // texts and numbers
	return []string{string(b)}
}

// start are the lines that an invocation's log begins with.
func (l *jsonLog) start(now time.Time, id string) []string {
	switch {
	case l == nil:
		return []string{"START RequestId: " + id + " Version: " + Latest}
	case l.System == lambda.SystemLogLevelWARN:
		return nil
	}
	return platformLine(now, "platform.start", platformRecord{RequestID: id, Version: Latest})
}

// report are those that it ends with.
func (l *jsonLog) report(now time.Time, c *call, res answer, text string) []string {
	ms := func(d time.Duration) float64 {
		return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	}
	took, id := now.Sub(c.begun), c.in.RequestID
	billed := int64((took + time.Millisecond - 1) / time.Millisecond)
	if l == nil {
		var lines []string
		switch {
		case res.kind == timedOut:
			lines = append(lines, now.UTC().Format(logTime)+" "+id+" "+text)
		case res.kind != "":
			lines = append(lines, "RequestId: "+id+" Error: "+text)
		}
		report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
			id, ms(took), billed, c.v.Settings.Memory, res.memory)
		if c.initialised > 0 {
			report += fmt.Sprintf("Init Duration: %.2f ms\t", ms(c.initialised))
		}
		return append(lines, "END RequestId: "+id, report)
	}
	status := "success"
	switch {
	case res.kind == timedOut:
		status = "timeout"
	case res.kind != "":
		status = "failure"
	case res.FunctionError != "":
		status = "error"
	}
	if l.System == lambda.SystemLogLevelWARN && status == "success" {
		return nil
	}
	return platformLine(now, "platform.report", platformRecord{RequestID: id, Status: status, ErrorType: res.kind, Metrics: &platformMetrics{
		Duration: ms(took), Billed: billed, Size: c.v.Settings.Memory, Used: res.memory, Init: ms(c.initialised),
	}})
}
