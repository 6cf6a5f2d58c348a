// Package endpoint reads the URL at which functions are invoked that this server does
// not have (outcrop serve --lambda-endpoint).
package endpoint

import (
	"errors"
	"net/url"
)

// Parse reads the URL of an endpoint: http or https, a host, perhaps a path, and nothing
// else.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("it is no URL of a scheme, a host and perhaps a path, such as http://127.0.0.1:4566")
	}
	return u, nil
}
