package invoke

// Label is for the tests of who uses a session's URL.
var Label = label

// SetRegion changes where runtimes are that strangers name by their bare ids.
func (s *Service) SetRegion(region string) { s.region = region }
