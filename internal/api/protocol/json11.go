package protocol

import (
	"bytes"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// json11 is the protocol of ECR, KMS and others: all of a call in one JSON object, posted to "/"
// under a header that names the operation.
type json11 struct{}

const json11Type = "application/x-amz-json-1.1"

func (json11) Decode(c Call, r *http.Request, _ []Label, in any) error {
	sh, v := c.input(in)
	body, err := readBody(c, r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	if err := checkContentType(sh, r); err != nil {
		return err
	}
	return decodeJSON(c.Service, sh, body, v, false)
}

func (json11) Encode(c Call, w http.ResponseWriter, out any) error {
	sh, v := c.output(out)
	if !v.IsValid() {
		return writeBody(c, w, http.StatusOK, json11Type, []byte("{}"))
	}
	var b bytes.Buffer
	e := newJSONEncoder(c.Service, &b)
	if err := e.structure(sh, v, false); err != nil {
		return err
	}
	return writeBody(c, w, http.StatusOK, json11Type, bytes.TrimRight(b.Bytes(), "\n"))
}

// EncodeError answers whatever the caller may not do with 400, as services of this
// protocol do; the name of the error tells the rest.
func (json11) EncodeError(c Call, w http.ResponseWriter, f *fault.Error) error {
	if f.Status == http.StatusForbidden || f.Status == http.StatusUnauthorized {
		bad := *f
		bad.Status = http.StatusBadRequest
		f = &bad
	}
	return writeJSONError(c, w, f, json11Type)
}

// TargetHeader names the operation of a JSON 1.1 call.
const TargetHeader = "X-Amz-Target"

// Target is what that header says for an operation.
func Target(svc *schema.Service, op *schema.Operation) string { return svc.Target + "." + op.Name }
