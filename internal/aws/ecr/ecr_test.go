package ecr_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/validation"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/aws/ecr"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
)

func testTime() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

// oneLogin hands out one password.
type oneLogin struct{}

func (oneLogin) MakeLogin(_ context.Context, p auth.Principal, region string) (secret.String, time.Time, error) {
	return secret.NewString("password of " + p.ID + " in " + region), testTime().Add(12 * time.Hour), nil
}

// UniqueID knows one role.
func (oneLogin) UniqueID(_ context.Context, principal string) (string, bool, error) {
	if principal == "arn:aws:iam::"+account+":role/puller" {
		return "AROAAAAAAAAAAAAAAAAAP", true, nil
	}
	return "", strings.Contains(principal, account), nil
}

// ARN knows no role any more.
func (oneLogin) ARN(context.Context, string) (string, error) { return "", nil }

// kit is the front over a registry, called with the JSON of the wire.
type kit struct {
	t        testing.TB
	images   *registry.Storage
	handlers map[string]schema.Handler
	baseURL  string
}

func newKit(t testing.TB) *kit {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	images, err := registry.New(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry"), Store: db})
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{t: t, images: images, handlers: map[string]schema.Handler{}, baseURL: "http://127.0.0.1:8642"}
	for _, h := range model.ImagesHandlers(ecr.New(images, oneLogin{})) {
		k.handlers[h.Operation.Name] = h
	}
	return k
}

// call returns the answer, or the refusal as "CODE: text".
func (k *kit) call(operation, in string) string {
	k.t.Helper()
	h, ok := k.handlers[operation]
	if !ok {
		k.t.Fatalf("%s is not served", operation)
	}
	out, err := func() (any, error) {
		input := h.Operation.NewInput()
		if err := protocol.UnmarshalJSON(h.Service, h.Operation.Input, []byte(in), input); err != nil {
			return nil, err
		}
		if err := validation.Check(h.Service, h.Operation, input, "0.0.0"); err != nil {
			return nil, err
		}
		return h.Serve(pipeline.WithCall(k.t.Context(), &pipeline.Call{
			Principal: auth.Principal{Account: account, ID: "AKIAEXAMPLE", ARN: auth.RootARN(account), Kind: auth.Root},
			Scope:     store.Scope{Account: account, Region: region}, BaseURL: k.baseURL,
		}), input)
	}()
	if f, refused := errors.AsType[*fault.Error](err); refused {
		return f.Code + ": " + f.Message
	}
	if err != nil {
		k.t.Fatalf("%s %s: %v", operation, in, err)
	}
	raw, err := protocol.MarshalJSON(h.Service, h.Operation.Output, out, false)
	if err != nil {
		k.t.Fatal(err)
	}
	return string(raw)
}

func digest(content string) registry.Digest {
	return registry.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))))
}

// push uploads layers and returns the manifest of an image of them.
func (k *kit) push(repository string, layers ...string) string {
	k.t.Helper()
	n := registry.Name{Scope: store.Scope{Account: account, Region: region}, Repository: repository}
	list := []any{}
	describe := func(content string) map[string]any {
		return map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(content), "size": len(content)}
	}
	for _, l := range append([]string{"{}"}, layers...) {
		u, err := k.images.StartUpload(k.t.Context(), n)
		if err == nil {
			_, err = k.images.Finish(k.t.Context(), n, u.ID, digest(l), registry.Part{Reader: strings.NewReader(l), At: -1, Size: -1})
		}
		if err != nil {
			k.t.Fatal(err)
		}
		if l != "{}" {
			list = append(list, describe(l))
		}
	}
	return encode(k.t, map[string]any{"schemaVersion": 2, "mediaType": registry.TypeOCIManifest, "config": describe("{}"), "layers": list})
}

func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var update = flag.Bool("update", false, "write golden files")

// TestConversation holds what the front says, call by call.
func TestConversation(t *testing.T) {
	k := newKit(t)
	var out strings.Builder
	say := func(operation, in string) {
		fmt.Fprintf(&out, "%s %s\n%s\n\n", operation, in, k.call(operation, in))
	}
	put := func(tag, manifest string) {
		say("PutImage", encode(t, map[string]any{"repositoryName": "team/agent", "imageTag": tag, "imageManifest": manifest}))
	}
	const repo = `{"repositoryName":"team/agent"}`
	say("CreateRepository", `{"repositoryName":"team/agent","tags":[{"Key":"team","Value":"a"}],"imageScanningConfiguration":{"scanOnPush":true}}`)
	say("CreateRepository", repo)
	say("CreateRepository", `{"repositoryName":"Team"}`)
	say("CreateRepository", `{"repositoryName":"other","registryId":"999999999999"}`)
	say("CreateRepository", `{"repositoryName":"other","encryptionConfiguration":{"encryptionType":"KMS"}}`)
	say("CreateRepository", `{"repositoryName":"other","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION"}`)
	say("CreateRepository", `{"repositoryName":"other","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION","imageTagMutabilityExclusionFilters":[{"filterType":"WILDCARD","filter":"dev-*"}]}`)
	say("DescribeRepositories", `{"maxResults":1}`)
	say("DescribeRepositories", `{"nextToken":"x"}`)
	say("DescribeRepositories", `{"repositoryNames":["other","team/agent"]}`)
	say("DescribeRepositories", `{"repositoryNames":["none"]}`)
	say("DescribeRepositories", `{"repositoryNames":["other"],"maxResults":1}`)

	one, two := k.push("team/agent", "one"), k.push("team/agent", "two")
	put("v1", one)
	put("v1", one)
	put("v2", one)
	put("v2", two)
	put("v3", strings.Replace(one, `"size":3`, `"size":4`, 1))
	put(".v", one)
	say("PutImage", encode(t, map[string]any{"repositoryName": "other", "imageTag": "v1", "imageManifest": one}))
	say("PutImage", encode(t, map[string]any{"repositoryName": "team/agent", "imageDigest": digest("x"), "imageManifest": one}))
	say("ListImages", `{"repositoryName":"team/agent","maxResults":1}`)
	say("ListImages", `{"repositoryName":"team/agent","filter":{"tagStatus":"UNTAGGED"}}`)
	say("ListImages", `{"repositoryName":"team/agent","filter":{"imageStatus":"ARCHIVED"}}`)
	say("ListImages", `{"repositoryName":"team/agent","nextToken":"x"}`)
	say("DescribeImages", `{"repositoryName":"team/agent","imageIds":[{"imageTag":"v2"}]}`)
	say("DescribeImages", `{"repositoryName":"team/agent","imageIds":[{"imageTag":"none"}]}`)
	say("DescribeImages", `{"repositoryName":"team/agent","imageIds":[{"imageTag":"v1","imageDigest":"`+string(digest(two))+`"}]}`)
	say("DescribeImages", `{"repositoryName":"team/agent","imageIds":[{}]}`)
	say("DescribeImages", `{"repositoryName":"team/agent","filter":{"tagStatus":"TAGGED"}}`)
	say("BatchGetImage", `{"repositoryName":"team/agent","imageIds":[{"imageTag":"v1"},{"imageTag":"none"},{"imageDigest":"x"},{}]}`)
	say("BatchCheckLayerAvailability", `{"repositoryName":"team/agent","layerDigests":["`+string(digest("one"))+`","`+string(digest("three"))+`","x"]}`)

	say("PutImageTagMutability", `{"repositoryName":"team/agent","imageTagMutability":"IMMUTABLE"}`)
	put("v1", two)
	say("PutImageScanningConfiguration", `{"repositoryName":"team/agent","imageScanningConfiguration":{"scanOnPush":false}}`)

	say("GetRepositoryPolicy", repo)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"no"}`)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}`)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"{\"Statement\":{\"Effect\":\"Deny\"}}"}`)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:role/none\"},\"Action\":\"ecr:BatchDeleteImage\"}]}"}`)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:role/puller\"},\"Action\":\"ecr:BatchDeleteImage\"}]}"}`)
	say("GetRepositoryPolicy", `{"repositoryName":"team/agent"}`)
	say("SetRepositoryPolicy", `{"repositoryName":"team/agent","policyText":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"ecr:BatchDeleteImage\"}]}"}`)
	say("GetRepositoryPolicy", repo)
	say("DeleteRepositoryPolicy", repo)
	say("DeleteRepositoryPolicy", repo)
	lifecycle := `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
	say("PutLifecyclePolicy", encode(t, map[string]string{"repositoryName": "team/agent", "lifecyclePolicyText": lifecycle}))
	say("PutLifecyclePolicy", encode(t, map[string]string{"repositoryName": "team/agent", "lifecyclePolicyText": `{"rules":[]}` + strings.Repeat(" ", 100)}))
	say("GetLifecyclePolicy", repo)
	say("DeleteLifecyclePolicy", repo)
	say("GetLifecyclePolicy", repo)

	arn := `{"resourceArn":"arn:aws:ecr:eu-west-1:111122223333:repository/team/agent"`
	say("TagResource", arn+`,"tags":[{"Key":"team","Value":"b"},{"Key":"cost","Value":"1"}]}`)
	say("TagResource", arn+`,"tags":[{"Key":"a","Value":"b"},{"Key":"a","Value":"c"}]}`)
	say("TagResource", arn+`,"tags":[{"Key":"aws:a","Value":"b"}]}`)
	say("UntagResource", arn+`,"tagKeys":["cost","none"]}`)
	say("ListTagsForResource", arn+`}`)
	say("ListTagsForResource", `{"resourceArn":"arn:aws:ecr:us-east-1:111122223333:repository/team/agent"}`)
	say("ListTagsForResource", `{"resourceArn":"team/agent"}`)

	say("DeleteRepository", repo)
	say("BatchDeleteImage", `{"repositoryName":"team/agent","imageIds":[{"imageTag":"v1"},{"imageTag":"none"},{"imageDigest":"`+string(digest(two))+`"}]}`)
	say("ListImages", repo)
	say("DeleteRepository", repo)
	say("DeleteRepository", `{"repositoryName":"team/agent","force":true}`)
	say("ListImages", repo)

	say("GetAuthorizationToken", `{}`)
	say("GetAuthorizationToken", `{"registryIds":["999999999999"]}`)

	const path = "testdata/conversation.golden"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || out.String() != string(want) {
		t.Errorf("%v\n%s", err, &out)
	}
}

// TestAddress: login and repositories say where this caller reaches the registry.
func TestAddress(t *testing.T) {
	k := newKit(t)
	k.call("CreateRepository", `{"repositoryName":"agent"}`)
	for base, want := range map[string]struct{ endpoint, uri string }{
		"http://127.0.0.1:8642":                       {"http://127.0.0.1:8642", "127.0.0.1:8642/agent"},
		"https://outcrop.example":                     {"https://outcrop.example", "outcrop.example/agent"},
		"https://api.ecr.eu-west-1.amazonaws.com":     {"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/agent"},
		"https://api.ecr.eu-west-1.amazonaws.com:443": {"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/agent"},
		"https://ecr.eu-west-1.api.aws":               {"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/agent"},
	} {
		k.baseURL = base
		if got := k.call("GetAuthorizationToken", "{}"); !strings.Contains(got, `"proxyEndpoint":"`+want.endpoint+`"`) {
			t.Errorf("%s: %s", base, got)
		}
		if got := k.call("DescribeRepositories", "{}"); !strings.Contains(got, `"repositoryUri":"`+want.uri+`"`) {
			t.Errorf("%s: %s", base, got)
		}
	}
}

// TestPages goes through many images and repositories a few at a time.
func TestPages(t *testing.T) {
	k := newKit(t)
	for i := range 5 {
		k.call("CreateRepository", fmt.Sprintf(`{"repositoryName":"agent-%d"}`, i))
		m := k.push("agent-0", fmt.Sprint("layer", i))
		k.call("PutImage", encode(t, map[string]any{"repositoryName": "agent-0", "imageTag": fmt.Sprint("v", i), "imageManifest": m}))
	}
	for operation, more := range map[string]string{"DescribeRepositories": "", "ListImages": `,"repositoryName":"agent-0"`, "DescribeImages": `,"repositoryName":"agent-0"`} {
		seen, pages := 0, 0
		for token := ""; pages < 10; pages++ {
			in := `{"maxResults":2` + more
			if token != "" {
				in += `,"nextToken":"` + token + `"`
			}
			var page struct {
				NextToken              string
				Repositories, ImageIds []any
				ImageDetails           []any
			}
			if err := json.Unmarshal([]byte(k.call(operation, in+"}")), &page); err != nil {
				t.Fatal(err)
			}
			seen += len(page.Repositories) + len(page.ImageIds) + len(page.ImageDetails)
			if token = page.NextToken; token == "" {
				break
			}
		}
		if seen != 5 || pages != 2 {
			t.Errorf("%s: %d in %d pages", operation, seen, pages+1)
		}
	}
}
