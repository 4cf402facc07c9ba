//go:build tools

// Package kn pins the version of kn, the command line tool of Knative, that the tests drive.
package kn

import _ "knative.dev/client/cmd/kn"
