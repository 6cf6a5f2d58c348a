package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// Network tells what sandboxes reach beyond the internet.
func (c *Client) Network(ctx context.Context) (*outcrop.Network, error) {
	out := new(outcrop.Network)
	return out, c.get(ctx, "network", nil, out)
}

// PutNetworkProfile makes a profile, or replaces its rules and name servers.
func (c *Client) PutNetworkProfile(ctx context.Context, in outcrop.PutNetworkProfileRequest) (*outcrop.Network, error) {
	return c.changeNetwork(ctx, http.MethodPut, "profiles/"+url.PathEscape(aws.ToString(in.ProfileName)), "PutNetworkProfileRequest", &in)
}

// DeleteNetworkProfile removes a profile that no subnet is mapped to.
func (c *Client) DeleteNetworkProfile(ctx context.Context, name string) (*outcrop.Network, error) {
	out := new(outcrop.Network)
	return out, c.call(ctx, c.http, http.MethodDelete, "network/profiles/"+url.PathEscape(name), nil, nil, out)
}

// MapSubnets leads subnets to a profile.
func (c *Client) MapSubnets(ctx context.Context, in outcrop.MapSubnetsRequest) (*outcrop.Network, error) {
	return c.changeNetwork(ctx, http.MethodPost, "subnets/map", "MapSubnetsRequest", &in)
}

// UnmapSubnets takes subnets away from their profiles.
func (c *Client) UnmapSubnets(ctx context.Context, in outcrop.UnmapSubnetsRequest) (*outcrop.Network, error) {
	return c.changeNetwork(ctx, http.MethodPost, "subnets/unmap", "UnmapSubnetsRequest", &in)
}

// UpdatePublicNetwork changes what network mode PUBLIC reaches.
func (c *Client) UpdatePublicNetwork(ctx context.Context, in outcrop.UpdatePublicNetworkRequest) (*outcrop.Network, error) {
	return c.changeNetwork(ctx, http.MethodPost, "public", "UpdatePublicNetworkRequest", &in)
}

// changeNetwork sends a change whose body is a shape of the model; path is escaped
// and below that of the network.
func (c *Client) changeNetwork(ctx context.Context, method, path, shape string, in any) (*outcrop.Network, error) {
	out := new(outcrop.Network)
	return out, c.send(ctx, c.http, method, "network/"+path, shape, in, out)
}
