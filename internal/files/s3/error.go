package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7"

	"kaban/internal/files"
)

// Codes of errors of services that mean the same here.
var (
	fullCodes   = []string{"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "InsufficientStorage"}
	keyCodes    = []string{"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccountProblem", "AllAccessDisabled"}
	regionCodes = []string{"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "Redirect", "IllegalLocationConstraintException", "InvalidRegion"}
)

// explain returns what an error of a request means.
func (s *Store) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	answer := minio.ToErrorResponse(err)
	status := answer.StatusCode
	advice, final := "see that the endpoint is right and can be reached", false
	switch {
	case isMissing(err):
		return fmt.Errorf("%s: %w", what, files.ErrNotFound)
	case slices.Contains(fullCodes, answer.Code), status == http.StatusInsufficientStorage:
		return fmt.Errorf("%s: %w: %w", what, files.ErrNoSpace, err)
	case answer.Code == minio.NoSuchBucket:
		advice, final = "create the bucket, or correct its name", true
	case answer.Code == "RequestTimeTooSkewed":
		advice = "set the clock of this machine"
	case slices.Contains(regionCodes, answer.Code):
		advice, final = "correct the region of the bucket", true
	case slices.Contains(keyCodes, answer.Code), status == http.StatusForbidden, status == http.StatusUnauthorized:
		advice, final = "see that the keys are right and may list the bucket, and read, write and delete its objects", true
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, answer.Code == "SlowDown":
		advice = "the service is overloaded or broken: try again later"
	case status >= http.StatusBadRequest:
		advice, final = "see that the endpoint speaks S3, and whether it takes the bucket in the host or in the path", true
	}
	return fmt.Errorf("%s: %w", what, &files.UnreachableError{Store: s.name, Advice: advice, Final: final, Err: err})
}
