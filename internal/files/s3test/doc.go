// Package s3test has only tests.
package s3test
