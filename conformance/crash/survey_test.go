package crash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// survey is everything that the API shows, named as in the journal.
type survey struct {
	// found has the state of each name; id/NAME is a runtime's id.
	found map[string]string
	// uploads are the ids of the uploads under way, by key.
	uploads map[string]string
	// segments is how many files the objects take; code are the keys of the
	// zips that the versions of runtimes need.
	segments int
	code     map[string]bool
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// smallObject is the size, in bytes, up to which an object takes no file.
const smallObject = 16 << 10

func (r *rig) survey(ctx context.Context) (*survey, error) {
	s := &survey{found: map[string]string{}, uploads: map[string]string{}, code: map[string]bool{}}
	if err := r.surveyRuntimes(ctx, s); err != nil {
		return nil, err
	}
	if err := r.surveyVault(ctx, s); err != nil {
		return nil, err
	}
	buckets, err := r.objects.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return nil, err
	}
	for _, b := range buckets.Buckets {
		if strings.HasPrefix(*b.Name, "crash-bucket-") {
			s.found["bucket/"+*b.Name] = "there"
			continue // it is empty
		}
		if err := r.surveyObjects(ctx, s, *b.Name); err != nil {
			return nil, err
		}
		if err := r.surveyUploads(ctx, s, *b.Name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// surveyRuntimes reads every runtime but the base. One in a transitional status
// is an error.
func (r *rig) surveyRuntimes(ctx context.Context, s *survey) error {
	pages := control.NewListAgentRuntimesPaginator(r.runtimes, &control.ListAgentRuntimesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, listed := range page.AgentRuntimes {
			if listed.Status != types.AgentRuntimeStatusReady {
				return fmt.Errorf("runtime %s is %s", *listed.AgentRuntimeName, listed.Status)
			}
			if err := r.surveyRuntime(ctx, s, *listed.AgentRuntimeId); err != nil {
				return err
			}
		}
	}
	return nil
}

// surveyRuntime reads a runtime and all its versions, which must be whole.
func (r *rig) surveyRuntime(ctx context.Context, s *survey, id string) error {
	got, err := r.runtimes.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
	if err != nil {
		return err
	}
	newest, err := strconv.Atoi(*got.AgentRuntimeVersion)
	if err != nil {
		return err
	}
	for n := 1; n <= newest; n++ {
		v, err := r.runtimes.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String(strconv.Itoa(n))})
		if err != nil {
			return fmt.Errorf("version %d of %s: %w", n, id, err)
		}
		if v.Status != types.AgentRuntimeStatusReady || v.EnvironmentVariables["DESCRIPTION"] != aws.ToString(v.Description) {
			return fmt.Errorf("version %d of %s is %s with description %q and environment %v",
				n, id, v.Status, aws.ToString(v.Description), v.EnvironmentVariables)
		}
		code := v.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberCodeConfiguration).Value
		s.code[*code.Code.(*types.CodeMemberS3).Value.Prefix] = true
	}
	name := *got.AgentRuntimeName
	switch name {
	case *r.base.AgentRuntimeName:
		return nil
	case rolledName:
		return r.surveyEndpoints(ctx, s, id)
	}
	if _, twice := s.found["runtime/"+name]; twice {
		return fmt.Errorf("there are two runtimes named %s", name)
	}
	s.found["runtime/"+name] = *got.AgentRuntimeVersion + ":" + aws.ToString(got.Description)
	s.found["id/"+name] = id
	return nil
}

// surveyObjects reads every version of every object, to the last byte.
func (r *rig) surveyObjects(ctx context.Context, s *survey, bucket string) error {
	pages := s3.NewListObjectVersionsPaginator(r.objects, &s3.ListObjectVersionsInput{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, v := range page.Versions {
			_, parts, multipart := strings.Cut(*v.ETag, "-")
			switch {
			case multipart:
				n, err := strconv.Atoi(strings.Trim(parts, `"`))
				if err != nil {
					return err
				}
				s.segments += n
			case *v.Size > smallObject:
				s.segments++
			}
			if bucket == codeBucket {
				continue // nobody changes it
			}
			sum, err := r.sum(ctx, bucket, v)
			if err != nil {
				return err
			}
			if bucket == versionedBucket {
				s.found["version/"+bucket+"/"+*v.Key+"/"+sum] = "there"
			}
			if *v.IsLatest {
				s.found["object/"+bucket+"/"+*v.Key] = sum
			}
		}
	}
	return nil
}

func (r *rig) sum(ctx context.Context, bucket string, v s3types.ObjectVersion) (string, error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: v.Key}
	if bucket == versionedBucket {
		in.VersionId = v.VersionId
	}
	out, err := r.objects.GetObject(ctx, in)
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, out.Body)
	if err != nil || n != *v.Size {
		return "", fmt.Errorf("read %s/%s: %d of %d bytes: %w", bucket, *v.Key, n, *v.Size, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (r *rig) surveyUploads(ctx context.Context, s *survey, bucket string) error {
	pages := s3.NewListMultipartUploadsPaginator(r.objects, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			s.found["upload/"+bucket+"/"+*u.Key] = "open"
			s.uploads[*u.Key] = *u.UploadId
			parts, err := r.objects.ListParts(ctx, &s3.ListPartsInput{Bucket: &bucket, Key: u.Key, UploadId: u.UploadId})
			if err != nil {
				return err
			}
			for _, p := range parts.Parts {
				s.segments++
				s.found[fmt.Sprintf("part/%s/%s/%d", bucket, *u.Key, *p.PartNumber)] = strconv.FormatInt(*p.Size, 10)
			}
		}
	}
	return nil
}
