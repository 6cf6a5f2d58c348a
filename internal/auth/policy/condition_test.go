package policy_test

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// A conditionCase asks whether one Condition holds of a request in which the
// key k:x has the given values. The rule is the page of the IAM User Guide, by
// the names of the package's documentation.
type conditionCase struct {
	name, rule string
	condition  string
	values     []string // nil: the key is absent
	holds      bool
}

func v(values ...string) []string { return values }

// context is what else the requests of these cases have.
func context(values []string) policy.Map {
	m := policy.Map{"aws:username": v("bob"), "k:many": v("a", "b"), "k:star": v("a*"), "k:arn": v("arn:aws:s3:::b/k"), "k:true": v("true")}
	if values != nil {
		m["k:x"] = values
	}
	return m
}

var stringCases = []conditionCase{
	{"equal text", "operators: String", `{"StringEquals":{"k:x":"a"}}`, v("a"), true},
	{"other text", "operators: String", `{"StringEquals":{"k:x":"a"}}`, v("b"), false},
	{"case counts", "operators: String", `{"StringEquals":{"k:x":"a"}}`, v("A"), false},
	{"a star is a star", "operators: String", `{"StringEquals":{"k:x":"a*"}}`, v("ab"), false},
	{"a star equals a star", "operators: String", `{"StringEquals":{"k:x":"a*"}}`, v("a*"), true},
	{"absent", "operators: key not present", `{"StringEquals":{"k:x":"a"}}`, nil, false},
	{"no values", "operators: key not present", `{"StringEquals":{"k:x":"a"}}`, v(), false},
	{"empty text is a value", "operators: String, s3:prefix", `{"StringEquals":{"k:x":["","home/"]}}`, v(""), true},
	{"several in the policy are OR", "multi-value: OR", `{"StringEquals":{"k:x":["a","b"]}}`, v("b"), true},
	{"several in the policy, none fits", "multi-value: OR", `{"StringEquals":{"k:x":["a","b"]}}`, v("c"), false},
	{"several in the request need a set operator", "multi-value: set operator", `{"StringEquals":{"k:x":["a","b"]}}`, v("a", "b"), false},
	{"an empty list fits nothing", "multi-value: OR", `{"StringEquals":{"k:x":[]}}`, v("a"), false},
	{"key names have no case", "variables: key names", `{"StringEquals":{"K:X":"a"}}`, v("a"), true},
	{"if exists, absent", "operators: IfExists", `{"StringEqualsIfExists":{"k:x":"a"}}`, nil, true},
	{"if exists, fits", "operators: IfExists", `{"StringEqualsIfExists":{"k:x":"a"}}`, v("a"), true},
	{"if exists, does not fit", "operators: IfExists", `{"StringEqualsIfExists":{"k:x":"a"}}`, v("b"), false},

	{"not equal", "operators: String", `{"StringNotEquals":{"k:x":"a"}}`, v("b"), true},
	{"not equal, equal", "operators: String", `{"StringNotEquals":{"k:x":"a"}}`, v("a"), false},
	{"not equal, absent", "operators: key not present, negated", `{"StringNotEquals":{"k:x":"a"}}`, nil, true},
	{"not equal is NOR, none", "multi-value: NOR", `{"StringNotEquals":{"k:x":["a","b"]}}`, v("c"), true},
	{"not equal is NOR, one", "multi-value: NOR", `{"StringNotEquals":{"k:x":["a","b"]}}`, v("b"), false},
	{"not equal, several in the request", "multi-value: set operator", `{"StringNotEquals":{"k:x":"c"}}`, v("a", "b"), false},
	{"not equal if exists, absent", "operators: IfExists", `{"StringNotEqualsIfExists":{"k:x":"a"}}`, nil, true},
	{"not equal if exists, equal", "operators: IfExists", `{"StringNotEqualsIfExists":{"k:x":"a"}}`, v("a"), false},

	{"any case", "operators: String", `{"StringEqualsIgnoreCase":{"k:x":"Straße"}}`, v("sTRASSE"), false},
	{"any case, equal", "operators: String", `{"StringEqualsIgnoreCase":{"k:x":"BoB"}}`, v("bOb"), true},
	{"any case, absent", "operators: key not present", `{"StringEqualsIgnoreCase":{"k:x":"a"}}`, nil, false},
	{"any case if exists, absent", "operators: IfExists", `{"StringEqualsIgnoreCaseIfExists":{"k:x":"a"}}`, nil, true},
	{"not any case", "operators: String", `{"StringNotEqualsIgnoreCase":{"k:x":"BoB"}}`, v("bOb"), false},
	{"not any case, other", "operators: String", `{"StringNotEqualsIgnoreCase":{"k:x":"BoB"}}`, v("eve"), true},
	{"not any case, absent", "operators: key not present, negated", `{"StringNotEqualsIgnoreCase":{"k:x":"a"}}`, nil, true},

	{"like, star", "operators: String", `{"StringLike":{"k:x":"a*c"}}`, v("abbbc"), true},
	{"like, star is also nothing", "operators: String", `{"StringLike":{"k:x":"a*c"}}`, v("ac"), true},
	{"like, to the end", "operators: String", `{"StringLike":{"k:x":"a*c"}}`, v("abcd"), false},
	{"like, mark", "operators: String", `{"StringLike":{"k:x":"a?c"}}`, v("abc"), true},
	{"like, mark is not nothing", "operators: String", `{"StringLike":{"k:x":"a?c"}}`, v("ac"), false},
	{"like, mark is a character, not a byte", "operators: String", `{"StringLike":{"k:x":"a?c"}}`, v("aßc"), true},
	{"like, the last star decides", "operators: String", `{"StringLike":{"k:x":"*ab*ab"}}`, v("abxabyab"), true},
	{"like, stars overlap", "operators: String", `{"StringLike":{"k:x":"*ab*ab"}}`, v("xab"), false},
	{"like, the first place does not fit", "operators: String", `{"StringLike":{"k:x":"*a?c*"}}`, v("abxaxcz"), true},
	{"like, no place fits", "operators: String", `{"StringLike":{"k:x":"*a?c*"}}`, v("abxaxa"), false},
	{"like, marks between stars", "operators: String", `{"StringLike":{"k:x":"*??*"}}`, v("a"), false},
	{"like, case counts", "operators: String", `{"StringLike":{"k:x":"A*"}}`, v("ab"), false},
	{"like, a wildcard in the request is a character", "operators: String", `{"StringLike":{"k:x":"ab"}}`, v("a*"), false},
	{"like, absent", "operators: key not present", `{"StringLike":{"k:x":"*"}}`, nil, false},
	{"like if exists, absent", "operators: IfExists", `{"StringLikeIfExists":{"k:x":"t2.*"}}`, nil, true},
	{"not like", "operators: String", `{"StringNotLike":{"k:x":["a*","b*"]}}`, v("c"), true},
	{"not like, like", "operators: String", `{"StringNotLike":{"k:x":["a*","b*"]}}`, v("bc"), false},
	{"not like, absent", "operators: key not present, negated", `{"StringNotLike":{"k:x":"a*"}}`, nil, true},
	{"not like if exists, like", "operators: IfExists", `{"StringNotLikeIfExists":{"k:x":"a*"}}`, v("ab"), false},

	{"two operators are AND", "multi-value: AND", `{"StringEquals":{"k:x":"a"},"StringLike":{"aws:username":"eve"}}`, v("a"), false},
	{"two operators, both", "multi-value: AND", `{"StringEquals":{"k:x":"a"},"StringLike":{"aws:username":"b*"}}`, v("a"), true},
	{"two keys are AND", "multi-value: AND", `{"StringEquals":{"k:x":"a","aws:username":"eve"}}`, v("a"), false},
	{"two keys, both", "multi-value: AND", `{"StringEquals":{"k:x":"a","aws:username":"bob"}}`, v("a"), true},
	{"no operator", "grammar", `{}`, v("a"), true},
	{"no key", "grammar", `{"StringEquals":{}}`, v("a"), true},
}

var setCases = []conditionCase{
	{"all fit", "multi-value: ForAllValues", `{"ForAllValues:StringEquals":{"k:x":["a","b"]}}`, v("a", "b"), true},
	{"all but one fit", "multi-value: ForAllValues", `{"ForAllValues:StringEquals":{"k:x":["a","b"]}}`, v("a", "c"), false},
	{"all of one", "multi-value: ForAllValues", `{"ForAllValues:StringEquals":{"k:x":["a","b"]}}`, v("a"), true},
	{"all of none", "multi-value: ForAllValues, no keys", `{"ForAllValues:StringEquals":{"k:x":"a"}}`, nil, true},
	{"all of empty text", "multi-value: ForAllValues, null data set", `{"ForAllValues:StringEquals":{"k:x":"a"}}`, v(""), true},
	{"all like", "multi-value: ForAllValues", `{"ForAllValues:StringLike":{"k:x":["key?*"]}}`, v("key1", "key2"), true},
	{"all like, one is not", "multi-value: ForAllValues", `{"ForAllValues:StringLike":{"k:x":["key?*"]}}`, v("key1", "other"), false},
	{"all are not", "multi-value: ForAllValues, negated", `{"ForAllValues:StringNotEquals":{"k:x":["a","b"]}}`, v("c", "d"), true},
	{"all are not, one is", "multi-value: ForAllValues, negated", `{"ForAllValues:StringNotEquals":{"k:x":["a","b"]}}`, v("c", "b"), false},
	{"all are not, of none", "multi-value: ForAllValues, no keys", `{"ForAllValues:StringNotEquals":{"k:x":"a"}}`, nil, true},
	{"all not like", "multi-value: ForAllValues, negated", `{"ForAllValues:StringNotLike":{"k:x":"a*"}}`, v("b", "ab"), false},
	{"all if exists, absent", "operators: IfExists", `{"ForAllValues:StringEqualsIfExists":{"k:x":"a"}}`, nil, true},
	{"all numbers", "multi-value: ForAllValues", `{"ForAllValues:NumericLessThan":{"k:x":"10"}}`, v("9", "8.5"), true},
	{"all numbers, one text", "multi-value: ForAllValues", `{"ForAllValues:NumericLessThan":{"k:x":"10"}}`, v("9", "x"), false},
	{"all addresses", "multi-value: ForAllValues", `{"ForAllValues:IpAddress":{"k:x":"10.0.0.0/8"}}`, v("10.1.2.3", "11.0.0.1"), false},
	{"all ARNs", "multi-value: ForAllValues", `{"ForAllValues:ArnLike":{"k:x":"arn:aws:s3:::b/*"}}`, v("arn:aws:s3:::b/1", "arn:aws:s3:::b/2"), true},

	{"any fits", "multi-value: ForAnyValue", `{"ForAnyValue:StringEquals":{"k:x":["a","b"]}}`, v("c", "b"), true},
	{"any, none fits", "multi-value: ForAnyValue", `{"ForAnyValue:StringEquals":{"k:x":["a","b"]}}`, v("c", "d"), false},
	{"any of none", "multi-value: ForAnyValue, no keys", `{"ForAnyValue:StringEquals":{"k:x":"a"}}`, nil, false},
	{"any of empty text", "multi-value: ForAnyValue, null data set", `{"ForAnyValue:StringEquals":{"k:x":""}}`, v(""), false},
	{"any is not", "multi-value: ForAnyValue, negated", `{"ForAnyValue:StringNotEquals":{"k:x":["a","b"]}}`, v("a", "c"), true},
	{"any is not, all are", "multi-value: ForAnyValue, negated", `{"ForAnyValue:StringNotEquals":{"k:x":["a","b"]}}`, v("a", "b"), false},
	{"any is not, of none", "multi-value: ForAnyValue, no keys", `{"ForAnyValue:StringNotEquals":{"k:x":"a"}}`, nil, false},
	{"any like", "multi-value: ForAnyValue", `{"ForAnyValue:StringLike":{"k:x":"key1*"}}`, v("x", "key17"), true},
	{"any if exists, absent", "operators: IfExists", `{"ForAnyValue:StringEqualsIfExists":{"k:x":"a"}}`, nil, true},
	{"any if exists, none fits", "operators: IfExists", `{"ForAnyValue:StringEqualsIfExists":{"k:x":"a"}}`, v("b"), false},
	{"any true", "multi-value: ForAnyValue", `{"ForAnyValue:Bool":{"k:x":"true"}}`, v("false", "true"), true},
	{"any date", "multi-value: ForAnyValue", `{"ForAnyValue:DateLessThan":{"k:x":"2026-01-01"}}`, v("2027-01-01", "2025-12-31"), true},
}

var numberCases = []conditionCase{
	{"equal", "operators: Numeric", `{"NumericEquals":{"k:x":"10"}}`, v("10"), true},
	{"equal however written", "operators: Numeric", `{"NumericEquals":{"k:x":10.50}}`, v("+010.5"), true},
	{"noughts are one", "operators: Numeric", `{"NumericEquals":{"k:x":"-0.0"}}`, v("0"), true},
	{"unequal beyond what a float holds", "operators: Numeric", `{"NumericEquals":{"k:x":"9007199254740993"}}`, v("9007199254740992"), false},
	{"text is no number", "operators: Numeric", `{"NumericEquals":{"k:x":"10"}}`, v("ten"), false},
	{"a number with an exponent is text", "operators: Numeric", `{"NumericEquals":{"k:x":"10"}}`, v("1e1"), false},
	{"empty is no number", "operators: Numeric", `{"NumericEquals":{"k:x":"0"}}`, v(""), false},
	{"equal, absent", "operators: key not present", `{"NumericEquals":{"k:x":"10"}}`, nil, false},
	{"equal, several in the policy", "multi-value: OR", `{"NumericEquals":{"k:x":[1,2]}}`, v("2"), true},
	{"equal if exists, absent", "operators: IfExists", `{"NumericEqualsIfExists":{"k:x":"10"}}`, nil, true},
	{"not equal", "operators: Numeric", `{"NumericNotEquals":{"k:x":"10"}}`, v("11"), true},
	{"not equal, equal", "operators: Numeric", `{"NumericNotEquals":{"k:x":"10"}}`, v("10.0"), false},
	{"not equal, absent", "operators: key not present, negated", `{"NumericNotEquals":{"k:x":"10"}}`, nil, true},
	{"not equal, text", "operators: Numeric, negated", `{"NumericNotEquals":{"k:x":"10"}}`, v("ten"), true},
	{"less", "operators: Numeric", `{"NumericLessThan":{"k:x":"10"}}`, v("9.99"), true},
	{"less, longer digits", "operators: Numeric", `{"NumericLessThan":{"k:x":"10"}}`, v("100"), false},
	{"less, equal", "operators: Numeric", `{"NumericLessThan":{"k:x":"10"}}`, v("10"), false},
	{"less, negative", "operators: Numeric", `{"NumericLessThan":{"k:x":"-1"}}`, v("-1.5"), true},
	{"less, absent", "operators: key not present", `{"NumericLessThan":{"k:x":"10"}}`, nil, false},
	{"less or equal", "operators: Numeric", `{"NumericLessThanEquals":{"k:x":"10"}}`, v("10"), true},
	{"less or equal, greater", "operators: Numeric", `{"NumericLessThanEquals":{"k:x":"10"}}`, v("10.01"), false},
	{"greater", "operators: Numeric", `{"NumericGreaterThan":{"k:x":"10"}}`, v("10.01"), true},
	{"greater, equal", "operators: Numeric", `{"NumericGreaterThan":{"k:x":"10"}}`, v("10"), false},
	{"greater, across the sign", "operators: Numeric", `{"NumericGreaterThan":{"k:x":"-10"}}`, v("1"), true},
	{"greater or equal", "operators: Numeric", `{"NumericGreaterThanEquals":{"k:x":"10"}}`, v("10"), true},
	{"greater or equal, less", "operators: Numeric", `{"NumericGreaterThanEquals":{"k:x":"10"}}`, v("9"), false},
	{"greater if exists, absent", "operators: IfExists", `{"NumericGreaterThanIfExists":{"k:x":"10"}}`, nil, true},
}

var dateCases = []conditionCase{
	{"equal", "operators: Date", `{"DateEquals":{"k:x":"2026-01-31T12:00:00Z"}}`, v("2026-01-31T12:00:00Z"), true},
	{"equal in another zone", "operators: Date", `{"DateEquals":{"k:x":"2026-01-31T12:00:00Z"}}`, v("2026-01-31T13:30:00+01:30"), true},
	{"equal in a zone behind", "operators: Date", `{"DateEquals":{"k:x":"2026-01-31T12:00:00Z"}}`, v("2026-01-31T07:00:00-05:00"), true},
	{"equal to epoch time", "operators: Date", `{"DateEquals":{"k:x":"2026-01-31T12:00:00Z"}}`, v("1769860800"), true},
	{"epoch time in the policy", "operators: Date", `{"DateEquals":{"k:x":1769860800}}`, v("2026-01-31T12:00:00Z"), true},
	{"without seconds", "operators: Date, ISO 8601", `{"DateEquals":{"k:x":"2026-01-31T12:00Z"}}`, v("2026-01-31T12:00:00Z"), true},
	{"a day", "operators: Date, ISO 8601", `{"DateEquals":{"k:x":"2026-01-31"}}`, v("2026-01-31T00:00:00Z"), true},
	{"a month", "operators: Date, ISO 8601", `{"DateEquals":{"k:x":"2026-02"}}`, v("2026-02-01T00:00:00Z"), true},
	{"fractions count", "operators: Date, ISO 8601", `{"DateEquals":{"k:x":"2026-01-31T12:00:00.25Z"}}`, v("2026-01-31T12:00:00Z"), false},
	{"four digits are epoch time", "operators: Date", `{"DateEquals":{"k:x":"2026"}}`, v("1970-01-01T00:33:46Z"), true},
	{"text is no date", "operators: Date", `{"DateEquals":{"k:x":"2026-01-31"}}`, v("tomorrow"), false},
	{"30 February is no date", "operators: Date", `{"DateLessThan":{"k:x":"2027-01-01"}}`, v("2026-02-30"), false},
	{"equal, absent", "operators: key not present", `{"DateEquals":{"k:x":"2026-01-31"}}`, nil, false},
	{"not equal", "operators: Date", `{"DateNotEquals":{"k:x":"2026-01-31"}}`, v("2026-02-01"), true},
	{"not equal, equal", "operators: Date", `{"DateNotEquals":{"k:x":"2026-01-31"}}`, v("2026-01-31"), false},
	{"not equal, absent", "operators: key not present, negated", `{"DateNotEquals":{"k:x":"2026-01-31"}}`, nil, true},
	{"before", "operators: Date", `{"DateLessThan":{"k:x":"2026-01-31"}}`, v("2026-01-30T23:59:59.999Z"), true},
	{"before, at", "operators: Date", `{"DateLessThan":{"k:x":"2026-01-31"}}`, v("2026-01-31"), false},
	{"at or before", "operators: Date", `{"DateLessThanEquals":{"k:x":"2026-01-31"}}`, v("2026-01-31"), true},
	{"at or before, after", "operators: Date", `{"DateLessThanEquals":{"k:x":"2026-01-31"}}`, v("2026-01-31T00:00:01Z"), false},
	{"after", "operators: Date", `{"DateGreaterThan":{"k:x":"2020-01-01T00:00:01Z"}}`, v("2026-01-31"), true},
	{"after, absent", "operators: key not present", `{"DateGreaterThan":{"k:x":"2020-01-01T00:00:01Z"}}`, nil, false},
	{"at or after", "operators: Date", `{"DateGreaterThanEquals":{"k:x":"2026-01-31"}}`, v("2026-01-31"), true},
	{"at or after, before", "operators: Date", `{"DateGreaterThanEquals":{"k:x":"2026-01-31"}}`, v("2026-01-30"), false},
	{"after if exists, absent", "operators: IfExists", `{"DateGreaterThanIfExists":{"k:x":"2020-01-01"}}`, nil, true},
}

var otherCases = []conditionCase{
	{"true", "operators: Boolean", `{"Bool":{"k:x":"true"}}`, v("true"), true},
	{"true, written bare", "grammar: quotation marks are optional", `{"Bool":{"k:x":true}}`, v("TRUE"), true},
	{"true, false", "operators: Boolean", `{"Bool":{"k:x":"true"}}`, v("false"), false},
	{"false", "operators: Boolean", `{"Bool":{"k:x":"false"}}`, v("false"), true},
	{"text is not false", "operators: Boolean", `{"Bool":{"k:x":"false"}}`, v("no"), false},
	{"Bool, absent", "operators: key not present", `{"Bool":{"k:x":"false"}}`, nil, false},
	{"Bool, several in the policy", "multi-value: OR", `{"Bool":{"k:x":["true","false"]}}`, v("false"), true},
	{"Bool if exists, absent", "operators: IfExists", `{"BoolIfExists":{"k:x":"true"}}`, nil, true},
	{"Bool if exists, other", "operators: IfExists", `{"BoolIfExists":{"k:x":"true"}}`, v("false"), false},
	{"Bool takes a variable", "operators: Boolean, variable", `{"Bool":{"k:x":"${k:true}"}}`, v("true"), true},

	{"bytes", "operators: Binary", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, v("QmluYXJ5"), true},
	{"bytes, others", "operators: Binary", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, v("YmluYXJ5"), false},
	{"bytes, no base 64", "operators: Binary", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, v("Binary"), false},
	{"bytes, absent", "operators: key not present", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, nil, false},
	{"bytes if exists, absent", "operators: IfExists", `{"BinaryEqualsIfExists":{"k:x":"QmluYXJ5"}}`, nil, true},

	{"in the range", "operators: IP address", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, v("203.0.113.9"), true},
	{"past the range", "operators: IP address", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, v("203.0.114.0"), false},
	{"one address", "operators: IP address, /32", `{"IpAddress":{"k:x":"203.0.113.9"}}`, v("203.0.113.9"), true},
	{"one address, its neighbour", "operators: IP address, /32", `{"IpAddress":{"k:x":"203.0.113.9"}}`, v("203.0.113.8"), false},
	{"host bits of a range do not count", "operators: IP address", `{"IpAddress":{"k:x":"203.0.113.77/24"}}`, v("203.0.113.9"), true},
	{"version 6", "operators: IP address, IPv6", `{"IpAddress":{"k:x":"2001:DB8:1234:5678::/64"}}`, v("2001:db8:1234:5678::1"), true},
	{"version 6, one address", "operators: IP address, IPv6", `{"IpAddress":{"k:x":"2001:db8::1"}}`, v("2001:0db8:0::0:1"), true},
	{"version 4 inside version 6", "operators: IP address", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, v("::ffff:203.0.113.9"), true},
	{"a range of version 4 inside version 6", "operators: IP address", `{"IpAddress":{"k:x":"::ffff:203.0.113.0/120"}}`, v("203.0.113.9"), true},
	{"version 4 is not in a range of version 6", "operators: IP address", `{"IpAddress":{"k:x":"2001:db8::/32"}}`, v("203.0.113.9"), false},
	{"both versions", "operators: IP address", `{"IpAddress":{"k:x":["203.0.113.0/24","2001:db8::/32"]}}`, v("2001:db8::9"), true},
	{"not an address", "operators: IP address", `{"IpAddress":{"k:x":"0.0.0.0/0"}}`, v("localhost"), false},
	{"address, absent", "operators: key not present", `{"IpAddress":{"k:x":"0.0.0.0/0"}}`, nil, false},
	{"address if exists, absent", "operators: IfExists", `{"IpAddressIfExists":{"k:x":"10.0.0.0/8"}}`, nil, true},
	{"outside the range", "operators: IP address", `{"NotIpAddress":{"k:x":"203.0.113.0/24"}}`, v("10.0.0.1"), true},
	{"outside, inside", "operators: IP address", `{"NotIpAddress":{"k:x":"203.0.113.0/24"}}`, v("203.0.113.1"), false},
	{"outside both", "multi-value: NOR", `{"NotIpAddress":{"k:x":["203.0.113.0/24","10.0.0.0/8"]}}`, v("10.0.0.1"), false},
	{"outside, absent", "operators: key not present, negated", `{"NotIpAddress":{"k:x":"203.0.113.0/24"}}`, nil, true},

	{"ARN", "operators: ARN", `{"ArnEquals":{"k:x":"arn:aws:sns:r:111122223333:t"}}`, v("arn:aws:sns:r:111122223333:t"), true},
	{"ARN, case counts", "operators: ARN", `{"ArnEquals":{"k:x":"arn:aws:sns:r:111122223333:t"}}`, v("arn:aws:sns:r:111122223333:T"), false},
	{"ARN, another region", "operators: ARN, six components", `{"ArnLike":{"k:x":"arn:aws:sns:r-1:*:t"}}`, v("arn:aws:sns:r-2:111122223333:t"), false},
	{"ARN, another service", "operators: ARN, six components", `{"ArnLike":{"k:x":"arn:aws:sns:*:*:t"}}`, v("arn:aws:sqs:r-2:111122223333:t"), false},
	{"ARN, another partition", "operators: ARN, six components", `{"ArnLike":{"k:x":"arn:aws:sns:*:*:t"}}`, v("arn:aws-cn:sns:r-2:111122223333:t"), false},
	{"ARN, another account", "operators: ARN, six components", `{"ArnLike":{"k:x":"arn:aws:sns:*:111122223333:t"}}`, v("arn:aws:sns:r-2:444455556666:t"), false},
	{"ArnEquals has wildcards", "operators: ARN, they behave alike", `{"ArnEquals":{"k:x":"arn:aws:sns:*:111122223333:t?p*"}}`, v("arn:aws:sns:r:111122223333:topic"), true},
	{"a field's star stays in its field", "operators: ARN, example", `{"ArnLike":{"k:x":"arn:aws:someservice:*:111122223333:finance/*"}}`, v("arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"), false},
	{"StringLike's star does not", "operators: ARN, example", `{"StringLike":{"k:x":"arn:aws:someservice:*:111122223333:finance/*"}}`, v("arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"), true},
	{"the last field may have colons", "operators: ARN, six components", `{"ArnLike":{"k:x":"arn:aws:logs:*:*:log-group:a*:x"}}`, v("arn:aws:logs:r:111122223333:log-group:ab:y:x"), true},
	{"what is no ARN fits no ARN", "operators: ARN", `{"ArnLike":{"k:x":"arn:*:*:*:*:*"}}`, v("bob"), false},
	{"what has colons is no ARN", "operators: ARN", `{"ArnLike":{"k:x":"*:*:*:*:*:*"}}`, v("a:b:c:d:e:f"), false},
	{"any ARN", "operators: ARN", `{"ArnLike":{"k:x":"*"}}`, v("arn:aws:s3:::b"), true},
	{"any ARN, none", "operators: ARN", `{"ArnLike":{"k:x":"*"}}`, v("a:b:c:d:e:f"), false},
	{"ARN, absent", "operators: key not present", `{"ArnLike":{"k:x":"arn:*:*:*:*:*"}}`, nil, false},
	{"ARN if exists, absent", "operators: IfExists", `{"ArnEqualsIfExists":{"k:x":"arn:aws:s3:::b"}}`, nil, true},
	{"ARN takes a variable", "operators: ARN, variable", `{"ArnLike":{"k:x":"arn:aws:iam::*:user/${aws:username}"}}`, v("arn:aws:iam::111122223333:user/bob"), true},
	{"ARN out of a variable", "operators: ARN, variable", `{"ArnEquals":{"k:x":"${k:arn}"}}`, v("arn:aws:s3:::b/k"), true},
	{"not that ARN", "operators: ARN", `{"ArnNotLike":{"k:x":"arn:aws:s3:::a*"}}`, v("arn:aws:s3:::b"), true},
	{"not that ARN, that one", "operators: ARN", `{"ArnNotLike":{"k:x":["arn:aws:s3:::a*","arn:aws:s3:::b*"]}}`, v("arn:aws:s3:::bc"), false},
	{"not that ARN, absent", "operators: key not present, negated", `{"ArnNotEquals":{"k:x":"arn:aws:s3:::a"}}`, nil, true},
	{"not that ARN, no ARN", "operators: ARN, negated", `{"ArnNotEquals":{"k:x":"arn:aws:s3:::a"}}`, v("bob"), true},

	{"null", "operators: Null", `{"Null":{"k:x":"true"}}`, nil, true},
	{"null, present", "operators: Null", `{"Null":{"k:x":"true"}}`, v("a"), false},
	{"not null", "operators: Null", `{"Null":{"k:x":"false"}}`, v("a"), true},
	{"not null, absent", "operators: Null", `{"Null":{"k:x":false}}`, nil, false},
	{"not null, several", "operators: Null", `{"Null":{"k:x":"false"}}`, v("a", "b"), true},
	{"empty text is null", "multi-value: empty values, Null", `{"Null":{"k:x":"true"}}`, v(""), true},
	{"null or not", "multi-value: OR", `{"Null":{"k:x":["true","false"]}}`, v("a"), true},
	{"null guards ForAllValues", "multi-value: ForAllValues, Null", `{"ForAllValues:StringEquals":{"k:x":"a"},"Null":{"k:x":"false"}}`, nil, false},

	{"variable", "variables", `{"StringEquals":{"k:x":"${aws:username}"}}`, v("bob"), true},
	{"variable amid text", "variables", `{"StringLike":{"k:x":"home/${aws:username}/*"}}`, v("home/bob/x"), true},
	{"variable, other value", "variables", `{"StringEquals":{"k:x":"${aws:username}"}}`, v("eve"), false},
	{"variable names have no case", "variables: key names", `{"StringEquals":{"k:x":"${AWS:UserName}"}}`, v("bob"), true},
	{"variable without value", "variables: no value", `{"StringEquals":{"k:x":"${aws:PrincipalTag/team}"}}`, v("a"), false},
	{"variable without value does not equal its text", "variables: no value", `{"StringEquals":{"k:x":"${aws:PrincipalTag/team}"}}`, v("${aws:PrincipalTag/team}"), false},
	{"variable without value, negated", "variables: no value, inverted operators", `{"StringNotEquals":{"k:x":"${aws:PrincipalTag/team}"}}`, v("a"), true},
	{"variable without value beside another", "variables: no value", `{"StringEquals":{"k:x":["${aws:PrincipalTag/team}","a"]}}`, v("a"), true},
	{"variable of several values", "multi-value: no policy variable", `{"StringLike":{"k:x":"${k:many}"}}`, v("a"), false},
	{"default", "variables: default values", `{"StringEquals":{"k:x":"${aws:PrincipalTag/team, 'none'}"}}`, v("none"), true},
	{"default not needed", "variables: default values", `{"StringEquals":{"k:x":"${aws:username, 'none'}"}}`, v("none"), false},
	{"default of nothing", "variables: default values", `{"StringEquals":{"k:x":"t-${aws:PrincipalTag/team, ''}"}}`, v("t-"), true},
	{"wildcards of a value are literal", "variables: special characters", `{"StringLike":{"k:x":"${k:star}"}}`, v("abc"), false},
	{"wildcards of a value, itself", "variables: special characters", `{"StringLike":{"k:x":"${k:star}"}}`, v("a*"), true},
	{"escaped star", "variables: special characters", `{"StringLike":{"k:x":"a${*}"}}`, v("ab"), false},
	{"escaped star, a star", "variables: special characters", `{"StringLike":{"k:x":"a${*}?"}}`, v("a*b"), true},
	{"escaped mark and dollar", "variables: special characters", `{"StringEquals":{"k:x":"${?}${$}{aws:username}"}}`, v("?${aws:username}"), true},
}

// TestConditions weighs each case as an Allow and as a Deny, and asks the naive
// evaluator too.
func TestConditions(t *testing.T) {
	all := map[string][]conditionCase{"String": stringCases, "Set": setCases, "Numeric": numberCases, "Date": dateCases, "Other": otherCases}
	for group, cases := range all {
		t.Run(group, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) { checkCondition(t, c) })
			}
		})
	}
}

func checkCondition(t *testing.T, c conditionCase) {
	r := policy.Request{Principal: policy.Principal{Kind: policy.User, Account: home}, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Keys: context(c.values)}
	for effect, want := range map[string]policy.Effect{"Allow": policy.Allow, "Deny": policy.ExplicitDeny} {
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":%q,"Action":"*","Resource":"*","Condition":%s}}`, effect, c.condition)
		if !c.holds {
			want = policy.NoAllow
		}
		p := naivePolicies{identity: []object{readObject(text)}}
		if got := policy.Evaluate(compile(t, p), r); got.Effect != want {
			t.Errorf("%s of %q: %v, want %v (%s)", text, c.values, got.Effect, want, c.rule)
		}
		if got, _ := naiveEvaluate(p, r); got != want {
			t.Errorf("the naive evaluator says %v of %s, want %v", got, text, want)
		}
	}
}

// TestVariablesOf2008 shows that the older language has none ("variables").
func TestVariablesOf2008(t *testing.T) {
	for _, version := range []string{`"Version":"2008-10-17",`, ``} {
		text := `{` + version + `"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"k:x":"${aws:username}"}}}}`
		p := compile(t, naivePolicies{identity: []object{readObject(text)}})
		for value, want := range map[string]policy.Effect{"bob": policy.NoAllow, "${aws:username}": policy.Allow} {
			r := policy.Request{Principal: policy.Principal{Kind: policy.User, Account: home}, Action: "s3:GetObject", Resource: "*", Keys: context(v(value))}
			if got := policy.Evaluate(p, r); got.Effect != want {
				t.Errorf("%s of %s: %v, want %v", text, value, got.Effect, want)
			}
		}
	}
}
