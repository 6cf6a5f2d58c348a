package cloudtrail

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/cloudtrail"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// record is a record in CloudTrail's own form, version 1.11. What a call asked and
// was answered is not kept, so both are null, as in many of AWS's.
type record struct {
	EventVersion       string     `json:"eventVersion"`
	UserIdentity       identity   `json:"userIdentity"`
	EventTime          string     `json:"eventTime"`
	EventSource        string     `json:"eventSource"`
	EventName          string     `json:"eventName"`
	AWSRegion          string     `json:"awsRegion"`
	SourceIPAddress    string     `json:"sourceIPAddress"`
	UserAgent          string     `json:"userAgent"`
	ErrorCode          string     `json:"errorCode,omitempty"`
	ErrorMessage       string     `json:"errorMessage,omitempty"`
	RequestParameters  any        `json:"requestParameters"`
	ResponseElements   any        `json:"responseElements"`
	RequestID          string     `json:"requestID"`
	EventID            string     `json:"eventID"`
	ReadOnly           bool       `json:"readOnly"`
	Resources          []resource `json:"resources,omitempty"`
	EventType          string     `json:"eventType"`
	ManagementEvent    bool       `json:"managementEvent"`
	RecipientAccountID string     `json:"recipientAccountId"`
	EventCategory      string     `json:"eventCategory"`
}

type resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId,omitempty"`
}

type identity struct {
	Type           string          `json:"type"`
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	SessionContext *sessionContext `json:"sessionContext,omitempty"`
}

type sessionContext struct {
	SessionIssuer sessionIssuer `json:"sessionIssuer"`
}

type sessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// identityOf reads who called from the ARN that a record has. It returns the name
// that Username is looked for by.
func identityOf(r *telemetry.Record) (id identity, name string) {
	id = identity{Type: "Unknown", PrincipalID: r.PrincipalID, ARN: r.Principal, AccessKeyID: r.AccessKeyID, AccountID: r.Scope.Account}
	part := strings.SplitN(r.Principal, ":", 6)
	if len(part) != 6 {
		id.AccountID = ""
		return id, ""
	}
	id.AccountID = part[4]
	kind, rest, _ := strings.Cut(part[5], "/")
	name = rest[strings.LastIndexByte(rest, '/')+1:]
	switch kind {
	case "root":
		id.Type, id.PrincipalID, name = "Root", part[4], "root"
	case "user":
		id.Type, id.UserName = "IAMUser", name
	case "assumed-role":
		role, _, _ := strings.Cut(rest, "/")
		roleID, _, _ := strings.Cut(r.PrincipalID, ":")
		id.Type = "AssumedRole"
		id.SessionContext = &sessionContext{sessionIssuer{Type: "Role", PrincipalID: roleID, ARN: "arn:" + part[1] + ":iam::" + part[4] + ":role/" + role, AccountID: part[4], UserName: role}}
	case "oidc-provider": // and for whom, of whom the token was: no credentials yet
		id.Type, id.PrincipalID, id.ARN = "WebIdentityUser", rest, ""
	case "federated-user":
		id.Type = "FederatedUser"
	}
	return id, name
}

// event is a record as LookupEvents gives it.
func (s *Service) event(r *telemetry.Record) (model.Event, error) {
	id, name := identityOf(r)
	full := record{
		EventVersion: "1.11", UserIdentity: id, EventTime: r.Time.UTC().Format(time.RFC3339), EventSource: s.host(r.Source), EventName: r.Event,
		AWSRegion: r.Scope.Region, SourceIPAddress: r.SourceIP, UserAgent: r.UserAgent, ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage,
		RequestID: r.RequestID, EventID: r.RequestID, ReadOnly: r.ReadOnly, EventType: "AwsApiCall", ManagementEvent: true,
		RecipientAccountID: r.Scope.Account, EventCategory: "Management",
	}
	out := model.Event{
		EventId: &r.RequestID, EventName: &r.Event, ReadOnly: new(strconv.FormatBool(r.ReadOnly)), EventTime: new(r.Time.Truncate(time.Second)),
		EventSource: &full.EventSource, Resources: []model.Resource{},
	}
	if r.AccessKeyID != "" {
		out.AccessKeyId = &r.AccessKeyID
	}
	if name != "" {
		out.Username = &name
	}
	for _, arn := range r.Resources {
		if arn == "*" {
			continue
		}
		one := resource{ARN: arn}
		if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
			one.AccountID = part[4]
		}
		full.Resources = append(full.Resources, one)
		out.Resources = append(out.Resources, model.Resource{ResourceName: new(arn)})
	}
	b, err := json.Marshal(full)
	out.CloudTrailEvent = new(string(b))
	return out, err
}
