package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
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

// wholeNumbers has kong parse flags of integers with decodeNumber.
func wholeNumbers() kong.Option {
	return kong.OptionFunc(func(k *kong.Kong) error {
		for kind := reflect.Int; kind <= reflect.Uint64; kind++ {
			if err := kong.KindMapper(kind, kong.MapperFunc(decodeNumber)).Apply(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// decodeNumber parses a whole number from a flag, a variable or a configuration file.
// Kong's errors name Go's types.
func decodeNumber(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("number")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	if target.CanUint() {
		n, err := strconv.ParseUint(text, 0, target.Type().Bits())
		if err != nil {
			return numberError(text, err)
		}
		target.SetUint(n)
		return nil
	}
	n, err := strconv.ParseInt(text, 0, target.Type().Bits())
	if err != nil {
		return numberError(text, err)
	}
	target.SetInt(n)
	return nil
}

func numberError(text string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s is too large or too small; write a whole number that is nearer to zero", text)
	}
	return fmt.Errorf("%q is not a whole number; write it with digits only, such as 100", text)
}

// shellWord returns a text as one word of a POSIX shell, for a command that somebody may copy from a message.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
