package rules

import "strings"

// awsPartition is what regions of one kind have in common.
type awsPartition struct {
	name, suffix, dualStackSuffix, global string
	// regions are the prefixes of its regions' names, which go on with a place and a number.
	regions []string
}

// partitions are AWS's, the one of unknown regions first.
func partitions() []awsPartition {
	return []awsPartition{
		{"aws", "amazonaws.com", "api.aws", "us-east-1", []string{"us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"}},
		{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-northwest-1", []string{"cn-"}},
		{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1", []string{"eusc-de-"}},
		{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1", []string{"us-iso-"}},
		{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1", []string{"us-isob-"}},
		{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1", []string{"eu-isoe-"}},
		{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1", []string{"us-isof-"}},
		{"aws-us-gov", "amazonaws.com", "api.aws", "us-gov-west-1", []string{"us-gov-"}},
	}
}

// partition is that of a region; an unknown region is one of the partition aws, as AWS's
// SDKs have it.
func partition(region string) any {
	all := partitions()
	found := all[0]
	for _, p := range all {
		if p.has(region) {
			found = p
			break
		}
	}
	return map[string]any{
		"name": found.name, "dnsSuffix": found.suffix, "dualStackDnsSuffix": found.dualStackSuffix,
		"implicitGlobalRegion": found.global, "supportsFIPS": true, "supportsDualStack": true,
	}
}

func (p awsPartition) has(region string) bool {
	if region == p.name+"-global" {
		return true
	}
	for _, prefix := range p.regions {
		place, ok := strings.CutPrefix(region, prefix)
		if !ok {
			continue
		}
		word, number, ok := strings.Cut(place, "-")
		if ok && word != "" && number != "" && !strings.ContainsFunc(word, notWord) && !strings.ContainsFunc(number, notDigit) {
			return true
		}
	}
	return false
}

func notWord(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
