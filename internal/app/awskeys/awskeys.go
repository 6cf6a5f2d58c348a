// Package awskeys finds the credentials that the operator of this machine has for
// AWS: in the environment, in the files of the AWS CLI, of single sign-on, of the
// instance. Requests to Amazon Bedrock as a provider of models are signed with them.
package awskeys

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Profile returns the credentials of a profile, the default one where it is empty.
// They are looked for when they are first needed, and again while they are not found.
func Profile(name string) aws.CredentialsProvider {
	return &profile{name: name}
}

type profile struct {
	name string

	mu    sync.Mutex
	found aws.CredentialsProvider
}

// Retrieve returns credentials that are good for a while.
func (p *profile) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := p.find(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return found.Retrieve(ctx)
}

func (p *profile) find(ctx context.Context) (aws.CredentialsProvider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	var opt []func(*config.LoadOptions) error
	if p.name != "" {
		opt = append(opt, config.WithSharedConfigProfile(p.name))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opt...)
	if err != nil {
		return nil, fmt.Errorf("load AWS profile %q: %w", p.name, err)
	}
	p.found = cfg.Credentials
	return p.found, nil
}
