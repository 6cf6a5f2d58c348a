package invoke

// For the tests of who uses a session's URL.
const EndpointPath = endpointPath

var Label = label
