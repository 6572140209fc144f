package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/alecthomas/kong"

	"kaban/internal/config"
)

// configCommand prints and checks the configuration file.
type configCommand struct {
	Print configPrint `cmd:"" help:"Print a configuration file with every key, its default and what it means."`
	Check configCheck `cmd:"" help:"Check a configuration file: what is wrong, and in which line."`
}

type configPrint struct{}

// Help implements kong.HelpProvider.
func (configPrint) Help() string {
	return "A server with the printed file behaves as one without a file. Keep the keys that you change and delete the others, so that they have the defaults of a later version too:\n\n  kaban config print > kaban.toml\n  kaban serve --config kaban.toml"
}

// configIntro begins the printed file.
const configIntro = `The configuration of "kaban serve --config FILE", with every key and its default.
` + "\n" + `Keep the keys that you change and delete the others, so that they have the defaults of a later version too. Every key outside of a table is a flag as well, with "-" instead of "_"; flags and environment variables override the file. "kaban config check FILE" says what is wrong with a file. SIGHUP has a running server read it again: keys that need a restart are named in its log.`

// Run prints the file.
func (c *configPrint) Run(std streams) error {
	_, serve, err := serveParser(nil)
	if err != nil {
		return err
	}
	var keys []config.Key
	for _, key := range fileKeys(serve) {
		keys = append(keys, key.Key)
	}
	if _, err := std.out.Write(config.Write(configIntro, tables, keys)); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

type configCheck struct {
	File string `arg:"" optional:"" env:"KABAN_CONFIG" help:"The file. Default: that of KABAN_CONFIG."`
}

// Help implements kong.HelpProvider.
func (configCheck) Help() string {
	return "The file is checked by itself: the command line and the environment of a server may override it. The files and directories that it names are not looked at, and whether the addresses are free shows when the server starts. The exit code is 0 if a server can start with it, and 2 if something is wrong."
}

// Run checks a file.
func (c *configCheck) Run(std streams) error {
	if c.File == "" {
		return usagef("name the configuration file: kaban config check FILE")
	}
	next, err := loadFile(c.File)
	if err != nil {
		return usageError{err}
	}
	if _, _, err := next.validate(); err != nil {
		return err
	}
	unseen := ""
	if next.TLSCert != "" {
		unseen = "; the certificate and the key were not looked at"
	}
	_, err = fmt.Fprintf(std.out, "%s is right%s\n", c.File, unseen)
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// loadFile returns what a server with a configuration file alone would do.
func loadFile(path string) (*serveCommand, error) {
	var commands cli
	parser, serve, err := serveParser(&commands)
	if err != nil {
		return nil, err
	}
	for _, flag := range serve.Flags {
		flag.Tag.Envs = nil
	}
	if _, err := parser.Parse([]string{"serve", "--config", path}); err != nil {
		return nil, err
	}
	return &commands.Serve, nil
}

// serveParser returns a parser of its own, and the command serve in it.
func serveParser(commands *cli) (*kong.Kong, *kong.Node, error) {
	if commands == nil {
		commands = new(cli)
	}
	parser, err := newParser(commands, nil, streams{}, func(int) {})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot set up the command line: %w", err)
	}
	i := slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == "serve" })
	if i < 0 {
		return nil, nil, errors.New("there is no command serve")
	}
	return parser, parser.Model.Children[i], nil
}
