package cli

import (
	"fmt"

	"github.com/outcrop/outcrop/internal/awshost"
)

// regionName is the name of a region that a flag gives. A server takes any that
// looks like one: none of them is a place.
type regionName string

func (r *regionName) String() string { return string(*r) }

func (r *regionName) Set(text string) error {
	if !awshost.IsRegion(text) {
		return fmt.Errorf("%q is no region's name, such as us-east-1; leave the flag out for the account's own", text)
	}
	*r = regionName(text)
	return nil
}

func (*regionName) Type() string { return "string" }

// shellsRegion is the region that this shell's variables name; "" is none.
func (p *Program) shellsRegion() (string, error) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		switch region := p.env(name); {
		case region == "":
		case !awshost.IsRegion(region):
			return "", misuse("%s is %q, which is no region's name, such as us-east-1; set it to the server's, or give --region", name, region)
		default:
			return region, nil
		}
	}
	return "", nil
}
