package issuer

import (
	"bytes"
	"encoding/json"
)

// What was stored before attributes were bound to a schema and to clients' lists has
// these in the members that the front keeps alone (Extra), under the names of
// cognito-idp. It reads as what is made of the same members now. Members that say
// nothing are the defaults, then and now: standard attributes, of which clients see all
// and set the standard ones.

// olderPool fills in the schema of such a pool.
func olderPool(s Settings) Settings {
	if s.Schema != nil || !bytes.Contains(s.Extra, []byte(`"SchemaAttributes":[`)) {
		return s
	}
	var extra struct {
		SchemaAttributes []struct {
			Name                            string
			Mutable, DeveloperOnlyAttribute *bool
		}
	}
	if json.Unmarshal(s.Extra, &extra) != nil {
		return s // the front, whose it is, says so
	}
	s.Schema = map[string]Attribute{}
	for _, a := range extra.SchemaAttributes {
		standard := Standard(a.Name)
		fixed := !standard
		if a.Mutable != nil {
			fixed = !*a.Mutable
		}
		name := a.Name
		switch {
		case name == "sub" || standard && !fixed:
			continue
		case !standard && a.DeveloperOnlyAttribute != nil && *a.DeveloperOnlyAttribute:
			name = "dev:custom:" + name
		case !standard:
			name = "custom:" + name
		}
		s.Schema[name] = Attribute{Fixed: fixed}
	}
	return s
}

// olderClient fills in the lists of such a client.
func olderClient(s ClientSettings) ClientSettings {
	if s.Reads != nil || s.Writes != nil || !bytes.Contains(s.Extra, []byte(`Attributes":[`)) {
		return s
	}
	var extra struct{ ReadAttributes, WriteAttributes []string }
	if json.Unmarshal(s.Extra, &extra) == nil {
		s.Reads, s.Writes = extra.ReadAttributes, extra.WriteAttributes
	}
	return s
}
