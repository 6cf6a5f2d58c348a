// Package s3 is the front of Amazon S3: from the generated shapes to the object
// storage. It serves what AgentCore's clients and the AWS SDKs use to put and
// get objects; docs/s3.md says what and what not.
//
// What a client can demand and this server cannot do (encryption, ACLs, object
// locks ...) is refused by name, never ignored: see refuse.go.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// Service implements the generated interface over one object storage.
type Service struct {
	objects   *object.Storage
	directory pin.Directory
}

var _ model.Objects = (*Service)(nil)

// New returns the front of objects. The directory, which may be nil, knows whom
// policies of buckets name.
func New(objects *object.Storage, directory pin.Directory) *Service {
	return &Service{objects: objects, directory: directory}
}

// call is what every operation needs to know of its caller.
type call struct {
	*pipeline.Call
	account string
}

// begin refuses what no operation does, and a bucket owner other than the
// caller: buckets of other accounts are never served.
func begin(ctx context.Context, expectedOwner *string) (call, error) {
	c := call{Call: pipeline.From(ctx)}
	c.account = c.Scope.Account
	if err := refuseHeaders(c.Header); err != nil {
		return c, err
	}
	return c, c.checkOwner(expectedOwner)
}

func (c call) checkOwner(expected *string) error {
	switch {
	case expected == nil || *expected == c.account:
		return nil
	case len(*expected) != 12 || strings.Trim(*expected, "0123456789") != "":
		return fault.New("InvalidBucketOwnerAWSAccountID", http.StatusBadRequest,
			"The value of the expected bucket owner parameter must be an AWS account ID")
	}
	return fault.New("AccessDenied", http.StatusForbidden, "Access Denied")
}

// id names an object of the caller's.
func (c call) id(bucket, key *string) object.ID {
	return object.ID{Account: c.account, Bucket: wire.Text(bucket), Key: wire.Text(key)}
}

// owner is the caller's account as S3 names it: an opaque canonical id.
func (c call) owner() *model.Owner {
	return &model.Owner{ID: new(canonicalID(c.account))}
}

func canonicalID(account string) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}

// quoted is an ETag as HTTP writes it.
func quoted(etag string) *string { return new(`"` + etag + `"`) }

func invalidArgument(name, value, format string, args ...any) *fault.Error {
	e := fault.BadRequest("InvalidArgument", format, args...)
	e.Members = map[string]string{"ArgumentName": name, "ArgumentValue": value}
	return e
}

func invalidRequest(format string, args ...any) *fault.Error {
	return fault.BadRequest("InvalidRequest", format, args...)
}
