package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// unsetEmpty unsets empty variables: unit files, compose files and shells use an
// empty value to disable one.
func unsetEmpty(names []string) {
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok && value == "" {
			os.Unsetenv(name)
		}
	}
}

// decodeTime parses a time.Duration from a flag, a variable or a configuration file.
func decodeTime(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("time")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return fmt.Errorf("%s has no unit; write %q for seconds", text, text+"s")
		}
		return fmt.Errorf(`%q is not a duration; write it like "30s", "5m" or "1h30m"`, text)
	}
	target.SetInt(int64(d))
	return nil
}
